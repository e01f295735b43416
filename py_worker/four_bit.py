"""Weights in 4 bits under an adapter (QLoRA, arXiv 2305.14314), by a library that is not always there."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from py_worker.errors import WorkerError, from_library, one_line
from py_worker.protocol import Quantization


def four_bits(
    asked: Quantization | None, *, is_adapter: bool, compute_dtype: torch.dtype
) -> BitsAndBytesConfig | None:
    """Return what transformers loads weights in 4 bits by; None: as they are.

    Raises BAD_PARAMS where nothing but the weights would learn, NOT_FOUND where the library cannot be loaded.
    """
    if asked is None:
        return None
    if not is_adapter:
        raise WorkerError(
            "BAD_PARAMS",
            "quantization: weights in 4 bits do not learn, and there is no adapter. Train one (use_peft: true), or load the weights "
            "as they are (load_in_4bit: false).",
        )
    fix = "load the weights as they are (load_in_4bit: false)"
    with from_library(lambda error: without_bitsandbytes("load_in_4bit", error, fix)):
        importlib.import_module("bitsandbytes")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=asked.quant_type,
        bnb_4bit_use_double_quant=asked.double_quant,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def without_bitsandbytes(what: str, error: BaseException, instead: str) -> WorkerError:
    """Return the refusal of something that needs the library."""
    return WorkerError(
        "NOT_FOUND",
        f"{what} needs the Python package bitsandbytes ({one_line(error)}): run `npx tms setup --with bitsandbytes`, or {instead}",
    )


def count(parameter: nn.Parameter) -> int:
    """Return how many weights a parameter stands for: one in 4 bits has two in a byte."""
    state: Any = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else state.shape.numel()
