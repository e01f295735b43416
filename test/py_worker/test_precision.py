from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import make_tiny_model, no_check, random_sequences
from transformers import AutoModelForCausalLM

from bench.records import adamw_params, muon_params
from py_worker.digest import weights_digest
from py_worker.errors import WorkerError
from py_worker.masters import Masters
from py_worker.model import Model
from py_worker.optim import OptimizerState, restore, state_tensors, step
from py_worker.rounding import RoundingAdamw, stochastically_rounded
from py_worker.save import save_weights
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients

CONFIG = {"hidden_size": 64, "initializer_range": 0.02, "tie_word_embeddings": True}
BATCH = random_sequences([32] * 8)


def in_bfloat16(rounding: str = "stochastic") -> Model:
    """Return a model whose weights are held in bfloat16, without originals."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        return make_tiny_model(config=CONFIG, compute=torch.bfloat16, rounding=rounding)
    finally:
        torch.set_default_dtype(before)


def train(model: Model, state: OptimizerState, steps: int, rate: float = 1e-5) -> None:
    ids, offsets = BATCH
    weights = np.ones(len(ids), np.float32)
    weights[offsets[:-1]] = 0
    batch = WeightedSequences(ids, offsets, {"ce": weights})
    for _ in range(steps):
        accumulate_gradients(model, batch, {"ce": float(weights.sum())}, GradientOptions(), no_check)
        step(model, state, adamw_params(rate), None, 1.0)


def exact_loss(model: Model) -> float:
    """Return the mean loss that plain transformers computes in float32 with what was trained."""
    plain = make_tiny_model(config=CONFIG).causal_lm
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(model.network.trainable()[name])
        ids_BT = torch.from_numpy(BATCH[0].reshape(8, 32).astype(np.int64))
        return float(plain(input_ids=ids_BT, labels=ids_BT).loss)


def drop_of(model: Model) -> float:
    before = exact_loss(model)
    train(model, OptimizerState(), 30)
    return before - exact_loss(model)


def test_training_in_bfloat16_learns_what_float32_learns():
    expected = drop_of(make_tiny_model(config=CONFIG))
    assert drop_of(make_tiny_model(config=CONFIG, compute=torch.bfloat16)) == pytest.approx(
        expected, rel=0.01
    )
    assert drop_of(in_bfloat16()) == pytest.approx(expected, rel=0.05)
    assert drop_of(in_bfloat16("nearest")) < 0.5 * expected


def test_originals_are_float32_and_the_network_computes_with_their_roundings():
    model, state = make_tiny_model(config=CONFIG, compute=torch.bfloat16), OptimizerState()
    for name, parameter in make_tiny_model(config=CONFIG).trained.named_parameters():
        assert torch.equal(model.network.trainable()[name], parameter)  # as loaded: no bit is rounded away
    train(model, state, 2)
    for name, parameter in model.trained.named_parameters():
        master = model.network.trainable()[name]
        assert (parameter.dtype, master.dtype) == (torch.bfloat16, torch.float32)
        assert torch.equal(parameter, master.to(torch.bfloat16))
        assert parameter.grad is None
    tensors, _ = state_tensors(model, state)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def test_what_is_saved_are_the_originals(tmp_path: Path):
    model = make_tiny_model(config=CONFIG, compute=torch.bfloat16)
    train(model, OptimizerState(), 2)
    saved = save_weights(model, tmp_path / "saved")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert plain.dtype == torch.float32
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, model.network.trainable()[name])
    assert saved["weights_digest"] == weights_digest(model)
    assert next(model.trained.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ["originals", "stochastic"])
def test_steps_in_bfloat16_are_bit_equal_when_resumed(kind: str):
    def fresh() -> Model:
        return (
            in_bfloat16() if kind == "stochastic" else make_tiny_model(config=CONFIG, compute=torch.bfloat16)
        )

    def weights(model: Model) -> list[torch.Tensor]:
        return [parameter.detach().clone() for parameter in model.network.trainable().values()]

    whole, half, state = fresh(), fresh(), OptimizerState()
    train(whole, OptimizerState(), 6, 1e-3)
    train(half, state, 3, 1e-3)
    tensors, description = state_tensors(half, state)
    resumed = fresh()
    with torch.no_grad():
        for name, parameter in resumed.network.trainable().items():
            parameter.copy_(half.network.trainable()[name])
    resumed.network.take_over()
    train(resumed, restore(resumed, {k: t.clone() for k, t in tensors.items()}, description), 3, 1e-3)
    assert all(map(torch.equal, weights(resumed), weights(whole)))
    assert not all(map(torch.equal, weights(half), weights(whole)))


def test_an_adapter_has_float32_originals_over_a_frozen_bfloat16_base():
    lora = {"r": 4, "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}
    model = make_tiny_model(lora=lora, config=CONFIG | {"tie_word_embeddings": False}, compute=torch.bfloat16)
    assert {parameter.dtype for parameter in model.trained.parameters()} == {torch.bfloat16}
    trainable = model.network.trainable()
    assert len(trainable) == 5
    assert {parameter.dtype for parameter in trainable.values()} == {torch.float32}
    embedding = cast(torch.nn.Embedding, model.causal_lm.get_input_embeddings())
    frozen = embedding.weight.clone()
    train(model, OptimizerState(), 2, 1e-3)
    assert torch.equal(embedding.weight, frozen)


def test_stochastic_rounding_is_right_on_average_and_exact_where_nothing_is_lost():
    generator = torch.Generator().manual_seed(0)
    # between 1 and the next bfloat16, 1 + 2**-7, a quarter of the way; and the same below zero
    values = torch.full((40_000,), 1 + 2**-9)
    for sign in (1, -1):
        rounded = stochastically_rounded(sign * values, generator)
        assert set(rounded.tolist()) == {sign * 1.0, sign * (1 + 2**-7)}
        assert (rounded != sign).float().mean().item() == pytest.approx(0.25, abs=0.01)
    exact = torch.tensor([0.0, -1.5, 3.0, 2.0**-100])
    assert torch.equal(stochastically_rounded(exact, generator).float(), exact)


def test_every_step_and_every_parameter_draw_bits_of_their_own():
    parameters = {
        name: torch.nn.Parameter(torch.ones(4096, dtype=torch.bfloat16)) for name in ("one", "other")
    }
    groups = [{"params": [parameter], "lr": 2**-7 / 64} for parameter in parameters.values()]
    optimizer = RoundingAdamw(parameters, groups)
    for _ in range(64):  # each moves a weight a 64th of the way to the next bfloat16 above 1
        for parameter in parameters.values():
            parameter.grad = -torch.ones_like(parameter)
        optimizer.step()
    one, other = parameters.values()
    for parameter in (one, other):
        assert (parameter > 1).float().mean().item() == pytest.approx(1 - (1 - 1 / 64) ** 64, abs=0.03)
    both = ((one > 1) & (other > 1)).float().mean().item()
    assert both == pytest.approx((1 - (1 - 1 / 64) ** 64) ** 2, abs=0.03)


def test_steps_on_bfloat16_weights_are_those_of_adamw_to_the_last_bit_but_one(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("py_worker.rounding.PART", 1000)  # a weight is updated in five parts
    generator = torch.Generator().manual_seed(0)
    start = (torch.randn(4500, generator=generator) + 4).to(torch.bfloat16)
    held, plain = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.float())
    settings: dict[str, Any] = {"lr": 0.5, "betas": (0.9, 0.95), "weight_decay": 0.2}
    ours = RoundingAdamw({"held": held}, [{"params": [held], "eps": 1e-8, **settings}])
    theirs = torch.optim.AdamW([plain], eps=1e-8, **settings)
    for _ in range(2):
        gradient = torch.randn(4500, generator=generator).to(torch.bfloat16)
        held.grad, plain.grad = gradient, gradient.float()
        ours.step()
        theirs.step()
    assert (held.float() - plain).abs().max() < 0.1  # two roundings of weights and moments; decay is 0.4 each


def test_what_a_model_wants_in_float32_stays_there():
    causal_lm = make_tiny_model(config=CONFIG).causal_lm
    causal_lm._keep_in_fp32_modules_strict = {"norm"}
    Masters(causal_lm, causal_lm, torch.bfloat16)
    exact = {name for name, part in causal_lm.named_parameters() if part.dtype == torch.float32}
    assert exact == {"model.norm.weight"}


def test_muon_on_bfloat16_weights_wants_another_rounding():
    model = in_bfloat16()
    for parameter in model.network.trainable().values():
        parameter.grad = torch.ones_like(parameter)
    with pytest.raises(WorkerError, match="rounding nearest"):
        step(model, OptimizerState(), adamw_params(0.1), muon_params(0.1), None)


def test_losing_updates_is_counted_only_where_they_are_lost():
    found: dict[str, Any] = {}
    for rounding in ("stochastic", "nearest"):
        model = in_bfloat16(rounding)
        for parameter in model.network.trainable().values():
            parameter.grad = torch.ones_like(parameter)
        found[rounding] = step(
            model, OptimizerState(), adamw_params(1e-5), None, None, count_updates=True
        ).updates
    assert found["stochastic"] is None
    assert found["nearest"].lost > 0.5 * found["nearest"].counted
