"""Tiny random models and ragged sequences, made the same in every test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig

from py_worker.mkl import set_branch
from py_worker.model import Model
from py_worker.network import Network

set_branch()  # as in the worker

Factory = Callable[..., Model]
Sequences = tuple[np.ndarray, np.ndarray]
"""Ids int32 [N] and offsets int64 [n+1]."""
VOCAB_SIZE = 97
SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def tiny_model() -> Factory:
    """Return ``make_tiny_model``."""
    return make_tiny_model


def make_tiny_model(
    *,
    seed: int = 0,
    gemma: bool = False,
    lora: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    compute: torch.dtype = torch.float32,
    **overrides: Any,
) -> Model:
    """Return a random Llama (or Gemma 2, which bends its logits) of hidden size 32 with 2 layers.

    ``lora`` holds settings of a LoraConfig, ``config`` of the model's, ``compute`` is its compute dtype; ``overrides`` are fields of ``Model``.
    """
    torch.manual_seed(seed)
    settings = SHAPE | {"initializer_range": 0.2, "tie_word_embeddings": True} | (config or {})
    network_config = Gemma2Config(head_dim=8, **settings) if gemma else LlamaConfig(**settings)
    causal_lm = AutoModelForCausalLM.from_config(network_config).eval()
    trained = get_peft_model(causal_lm, LoraConfig(**lora)) if lora is not None else causal_lm
    fields: dict[str, Any] = {
        "network": Network(trained, causal_lm, compute),
        "tokenizer": None,
        "device": torch.device("cpu"),
        "vocab_size": VOCAB_SIZE,
        "max_positions": 128,
        "token_budget": 64,
    }
    model = Model(**(fields | overrides))
    model.network.find_head(VOCAB_SIZE)
    return model


@pytest.fixture
def sequences() -> Sequences:
    """Return ids and offsets of seven random sequences of 1 to 33 tokens."""
    return random_sequences([5, 12, 33, 1, 12, 20, 7])


def random_sequences(lengths: list[int], seed: int = 0) -> Sequences:
    """Return ids int32 [N] and offsets [n+1] of random sequences."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, VOCAB_SIZE, sum(lengths), dtype=np.int32)
    return ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def no_check() -> None:
    """Cancel nothing."""
