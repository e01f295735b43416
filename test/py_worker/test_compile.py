"""Compiled decoder layers: what is learned, saved and sampled is what the layers as written give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Factory, Sequences, no_check
from plain_loop import NORMALIZERS, gradients, weighted

from py_worker.compile import compile_layers
from py_worker.errors import WorkerError
from py_worker.model import Model
from py_worker.network import Inputs
from py_worker.train import GradientOptions, accumulate_gradients


def test_compiled_layers_give_the_losses_and_gradients_of_layers_as_written(
    tiny_model: Factory, sequences: Sequences
):
    backend, calls = counted()
    model = tiny_model(lora={"r": 4, "init_lora_weights": False}, token_budget=40)
    model.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    names = list(model.trained.state_dict())
    written = learned(model, sequences)
    ids_BT = torch.tensor([[1, 2, 3], [4, 5, 6]])
    logits = model.network.next_logits(Inputs(ids_BT))
    compile_layers(model, backend)
    assert all(gradient is None for gradient in (p.grad for p in model.network.trainable().values()))
    calls.clear()
    loss, found = learned(model, sequences)
    assert len(calls) > 0
    assert loss == pytest.approx(written[0], rel=1e-6)
    assert found.keys() == written[1].keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, written[1][name], rtol=1e-4, atol=1e-6)
    calls.clear()
    assert torch.equal(model.network.next_logits(Inputs(ids_BT)), logits)
    assert calls == []
    assert list(model.trained.state_dict()) == names


def test_layers_that_do_not_compile_are_refused_with_what_to_do(tiny_model: Factory):
    said = r"cannot be compiled .*no C\+\+ compiler.*install.*torch_compile to false"
    with pytest.raises(WorkerError, match=said) as caught:
        compile_layers(tiny_model(), missing_compiler)
    assert caught.value.code == "BAD_PARAMS"


def missing_compiler(*_: Any) -> None:
    raise RuntimeError("no C++ compiler")


def counted() -> tuple[Callable[..., Any], list[int]]:
    """Let what is compiled run as it is traced, and note every run of it."""
    calls: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        def run(*args: Any) -> Any:
            calls.append(1)
            return graph(*args)

        return run

    return backend, calls


def learned(model: Model, sequences: Sequences) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the loss and the gradients, and clear them."""
    report = accumulate_gradients(model, weighted(sequences), NORMALIZERS, GradientOptions(), no_check)
    found = {name: gradient.clone() for name, gradient in gradients(model).items()}
    model.network.clear_gradients()
    return float(np.sum([sums.loss_sum for sums in report.components.values()])), found
