"""Compile the decoder layers of a model for training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from py_worker.errors import WorkerError, from_library, one_line
from py_worker.model import Model
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients


def compile_layers(model: Model, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile every decoder layer in place, and try it: what does not compile is refused now, as BAD_PARAMS, not at the first step.

    Layers keep their names. Like layers share what is compiled, for every length: it depends on the trial, never on the order
    of batches, so a run that goes on computes as it did.
    """
    layers = _decoder_layers(model)
    torch.compiler.reset()  # of a model loaded before: what is compiled for one function is limited
    for layer in layers:
        layer.compile(dynamic=True, backend=backend)
    model.network.is_compiled = True
    with from_library(_explain):
        _try_out(model)


def _decoder_layers(model: Model) -> nn.ModuleList:
    count = model.causal_lm.config.get_text_config().num_hidden_layers
    for module in model.network.backbone.modules():  # outermost first
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    name = type(model.causal_lm).__name__
    raise WorkerError(
        "BAD_PARAMS",
        f"torch_compile finds no list of {count} decoder layers in {name}; set torch_compile to false.",
    )


def _try_out(model: Model) -> None:
    """Make gradients of two rows and of one, which are compiled apart, and drop them."""
    length = min(8, model.max_positions or 8)
    for count in (2, 1):
        ids_N = np.arange(count * length, dtype=np.int32) % model.vocab_size
        offsets = np.arange(count + 1, dtype=np.int64) * length
        weights_N = np.ones(len(ids_N), dtype=np.float32)
        weights_N[offsets[:-1]] = 0
        batch = WeightedSequences(ids_N, offsets, {"ce": weights_N})
        accumulate_gradients(model, batch, {"ce": 1.0}, GradientOptions(), lambda: None)
    model.network.clear_gradients()


def _explain(error: BaseException) -> WorkerError:
    fix = "install a C++ compiler (g++) and, on a GPU, Triton, or set torch_compile to false"
    return WorkerError("BAD_PARAMS", f"The decoder layers cannot be compiled ({one_line(error)}): {fix}.")
