from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import Factory, no_check, random_sequences
from plain_loop import NORMALIZERS, assert_like_reference, gradients, weighted

from py_worker.errors import WorkerError
from py_worker.model import Model
from py_worker.token_budget import default_token_budget, token_bytes, tokens_on_card
from py_worker.train import GradientOptions, accumulate_gradients

MIB = 1 << 20


@pytest.mark.parametrize(
    ("bytes_a_token", "beside", "tokens"),
    [
        (MIB, 40_960 * MIB, 32_768),  # 0.8 × 40,960 = 32,768 tokens: exactly
        (MIB, 40_959 * MIB, 16_384),
        (2 * MIB, 20_000 * MIB, 4_096),  # 8,000 would fit
        (MIB, 100 * MIB, 512),  # too little for anything: micro-batches as small as they come
    ],
)
def test_as_many_tokens_as_fit_beside_the_weights(bytes_a_token: int, beside: int, tokens: int):
    assert tokens_on_card(bytes_a_token, beside) == tokens


def test_a_cpu_takes_what_is_fast_enough_there(tiny_model: Factory):
    assert default_token_budget(tiny_model()) == 2048


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("shape", [{}, {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 6}])
def test_what_a_token_leaves_is_what_autograd_keeps(
    tiny_model: Factory, checkpointed: bool, shape: dict[str, int]
):
    model = tiny_model(config=shape)
    few, many = (_kept_bytes(model, tokens, checkpointed=checkpointed) for tokens in (32, 96))
    kept = (many - few) / 64
    assert 0.5 < token_bytes(model, checkpointed=checkpointed) / kept < 2.0


def _kept_bytes(model: Model, tokens: int, *, checkpointed: bool) -> int:
    """Return the bytes of everything that a forward pass of the backbone keeps for the backward pass, weights aside."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.network.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = tensor
        return tensor

    if checkpointed:
        model.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    model.network.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model.network.backbone(
            input_ids=torch.zeros((1, tokens), dtype=torch.int64), use_cache=False
        )
        at_most = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
        if checkpointed:  # all of a layer is there while its backward pass runs
            kept.clear()
            decoder: Any = model.causal_lm.get_decoder()
            model.causal_lm.gradient_checkpointing_disable()
            positions = torch.arange(tokens)[None]
            rotary = decoder.rotary_emb(output.last_hidden_state, positions)
            again = decoder.layers[0](
                output.last_hidden_state.detach().requires_grad_(), position_embeddings=rotary
            )
            at_most += sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
            del again
    model.network.eval()
    return at_most


def _narrow(model: Model, monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let memory run out for every micro-batch with more tokens than ``most``; return the sizes that were tried."""
    tried: list[int] = []
    plain = model.network.token_losses

    def token_losses(inputs: Any, *arguments: Any) -> Any:
        tried.append(inputs.ids_BT.numel())
        if tried[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return plain(inputs, *arguments)

    monkeypatch.setattr(model.network, "token_losses", token_losses)
    return tried


MANY = random_sequences([33] * 70)


def test_memory_that_runs_out_halves_the_budget_for_good(
    tiny_model: Factory, monkeypatch: pytest.MonkeyPatch
):
    model = tiny_model(token_budget=2048, may_halve_budget=True)
    tried = _narrow(model, monkeypatch, 600)
    assert_like_reference(model, weighted(MANY), GradientOptions())
    assert model.token_budget == 512
    assert model.notes == [f"Memory ran out: micro-batches have {n} tokens from now on." for n in (1024, 512)]
    tried.clear()
    model.network.clear_gradients()
    accumulate_gradients(model, weighted(MANY), NORMALIZERS, GradientOptions(), no_check)
    assert max(tried) <= 600


def test_a_budget_that_was_asked_for_stays(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    model = tiny_model(token_budget=2048)
    _narrow(model, monkeypatch, 600)
    with pytest.raises(torch.OutOfMemoryError):
        accumulate_gradients(model, weighted(MANY), NORMALIZERS, GradientOptions(), no_check)
    assert (model.token_budget, gradients(model)) == (2048, {})


def test_earlier_gradients_are_not_lost_in_silence(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    model = tiny_model(token_budget=2048, may_halve_budget=True)
    few = weighted(random_sequences([5, 6]))
    accumulate_gradients(model, few, NORMALIZERS, GradientOptions(), no_check)
    _narrow(model, monkeypatch, 600)
    with pytest.raises(torch.OutOfMemoryError):
        accumulate_gradients(model, weighted(MANY), NORMALIZERS, GradientOptions(), no_check)
    assert gradients(model) == {}


def test_it_ends_where_nothing_smaller_would_help(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    model = tiny_model(token_budget=2048, may_halve_budget=True)
    _narrow(model, monkeypatch, 10)
    with pytest.raises(torch.OutOfMemoryError):
        accumulate_gradients(model, weighted(MANY), NORMALIZERS, GradientOptions(), no_check)
    assert model.token_budget == 512


def test_other_failures_are_not_tried_again(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    model = tiny_model(token_budget=2048, may_halve_budget=True)

    def cancelled() -> None:
        raise WorkerError("CANCELLED", "enough")

    with pytest.raises(WorkerError, match="enough"):
        accumulate_gradients(model, weighted(MANY), NORMALIZERS, GradientOptions(), cancelled)
    assert model.token_budget == 2048
