from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from conftest import Factory, no_check, random_sequences
from safetensors.torch import load_file, save_file

from bench.records import adamw_params, muon_params
from py_worker.errors import WorkerError
from py_worker.model import Model
from py_worker.optim import (
    OptimizerState,
    muon_parameters,
    restore,
    state_tensors,
    step,
    trainable_parameters,
)
from py_worker.protocol import Muon, OptimStepParams
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients
from py_worker.update_counts import SAMPLE, count_lost
from py_worker.wire import decode_params

ADAMW = adamw_params(1e-2, weight_decay=0.1)
MUON = muon_params(2e-2, weight_decay=0.1)


def weight_bytes(model: Model) -> bytes:
    return b"".join(p.detach().numpy().tobytes() for p in model.trained.state_dict().values())


def accumulate(model: Model, seed: int) -> float:
    """Accumulate the mean loss of 29 random tokens and return it."""
    ids, offsets = random_sequences([9, 17, 6], seed)
    weights = np.ones(len(ids), dtype=np.float32)
    weights[offsets[:-1]] = 0
    options, batch = GradientOptions(dropout_seed=seed), WeightedSequences(ids, offsets, {"ce": weights})
    report = accumulate_gradients(model, batch, {"ce": 29.0}, options, no_check)
    return report.components["ce"].loss_sum / 29.0


def train(model: Model, state: OptimizerState, steps: range, muon: Muon | None) -> list[float]:
    norms = []
    for index in steps:
        accumulate(model, index)
        adamw = adamw_params(1e-2 * (1 - index / 40), weight_decay=0.1)
        norms.append(step(model, state, adamw, muon, 1.0).grad_norm)
    return norms


def set_gradients(model: Model, value: float) -> None:
    for parameter in trainable_parameters(model).values():
        parameter.grad = torch.full_like(parameter, value)


def test_the_first_adamw_step_moves_by_the_learning_rate(tiny_model: Factory):
    model, state = tiny_model(), OptimizerState()
    before = {name: p.detach().clone() for name, p in trainable_parameters(model).items()}
    set_gradients(model, 0.5)
    count = sum(p.numel() for p in before.values())
    norm = step(model, state, adamw_params(0.1, epsilon=0.0, weight_decay=0.2), None, None).grad_norm
    assert norm == pytest.approx(0.5 * math.sqrt(count), rel=1e-5)
    for name, parameter in trainable_parameters(model).items():
        # decoupled decay of 0.1 * 0.2, but not of norms; then lr * m / sqrt(v) = 0.1 * 0.5 / 0.5
        kept = 1.0 if "norm" in name else 0.98
        torch.testing.assert_close(parameter.detach(), before[name] * kept - 0.1, rtol=1e-5, atol=1e-6)
        assert parameter.grad is None


def test_without_a_gradient_muon_only_decays_its_matrices(tiny_model: Factory):
    model, state = tiny_model(), OptimizerState()
    before = {name: p.detach().clone() for name, p in trainable_parameters(model).items()}
    set_gradients(model, 0.0)
    step(model, state, adamw_params(0.5), muon_params(0.5, weight_decay=0.25), None)
    matrices = muon_parameters(model)
    assert 0 < len(matrices) < len(before)
    for name, parameter in trainable_parameters(model).items():
        expected = before[name] * (0.875 if name in matrices else 1.0)  # 1 - 0.5 * 0.25
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-6, atol=1e-7)


def test_clipping_scales_gradients_to_the_norm(tiny_model: Factory):
    model, state = tiny_model(), OptimizerState()
    set_gradients(model, 3.0)
    norm = step(model, state, adamw_params(0.0), None, 1.0).grad_norm
    tensors, _ = state_tensors(model, state)
    # after one step exp_avg is (1 - beta1) times the clipped gradient
    expected = 0.1 * 3.0 / norm
    assert tensors["adamw/exp_avg/model.norm.weight"].tolist() == pytest.approx([expected] * 32, rel=1e-4)


def test_hyper_parameters_of_a_step_hold_for_that_step(tiny_model: Factory):
    model, state = tiny_model(), OptimizerState()
    for learning_rate, moves in ((0.1, True), (0.0, False), (0.1, True)):
        before = weight_bytes(model)
        set_gradients(model, 1.0)
        step(model, state, adamw_params(learning_rate), None, None)
        assert (weight_bytes(model) != before) is moves


@pytest.mark.parametrize("muon", [None, MUON])
@pytest.mark.parametrize(
    "lora", [None, {"r": 4, "target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.1}]
)
def test_forty_steps_are_bit_equal_repeated_and_restored(
    tiny_model: Factory, tmp_path: Path, muon: Muon | None, lora: dict[str, Any] | None
):
    runs = []
    for _ in range(2):
        model = tiny_model(lora=lora)
        norms = train(model, OptimizerState(), range(40), muon)
        runs.append((norms, weight_bytes(model)))
    first, state = tiny_model(lora=lora), OptimizerState()
    norms = train(first, state, range(20), muon)
    tensors, description = state_tensors(first, state)
    save_file(tensors, tmp_path / "optimizer.safetensors")
    text = json.dumps(description)
    second = tiny_model(lora=lora, seed=9)
    second.network.load_state_dict(first.network.state_dict())
    restored = restore(second, load_file(tmp_path / "optimizer.safetensors"), json.loads(text))
    norms += train(second, restored, range(20, 40), muon)
    assert runs[0] == runs[1] == (norms, weight_bytes(second))


def test_two_threads_give_the_bits_of_one(tiny_model: Factory):
    weights = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        model = tiny_model()
        train(model, OptimizerState(), range(5), None)
        weights.append(weight_bytes(model))
    torch.set_num_threads(1)
    assert weights[0] == weights[1]


def test_training_lowers_the_loss_with_either_optimizer(tiny_model: Factory):
    for muon in (None, MUON):
        model, state = tiny_model(), OptimizerState()
        losses = []
        for _ in range(20):
            losses.append(accumulate(model, seed=0))
            step(model, state, ADAMW, muon, None)
        assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("tied", [True, False])
def test_muon_takes_hidden_matrices_only(tiny_model: Factory, tied: bool):
    model = tiny_model(config={"tie_word_embeddings": tied})
    modules = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    names = set(muon_parameters(model))
    assert len(names) == 2 * len(modules)
    assert all(name.split(".")[-2] in modules for name in names)
    state = OptimizerState()
    set_gradients(model, 1.0)
    step(model, state, ADAMW, MUON, None)
    tensors, description = state_tensors(model, state)
    assert description == {"kind": "muon"}
    assert {key.split("/")[2] for key in tensors if key.startswith("muon/")} == names
    rest = {key.split("/")[2] for key in tensors if key.startswith("adamw/")}
    assert rest == set(trainable_parameters(model)) - names
    assert "model.embed_tokens.weight" in rest


def test_muon_leaves_adapters_of_embedding_and_head_to_adamw(tiny_model: Factory):
    lora = {"r": 4, "target_modules": ["q_proj", "embed_tokens", "lm_head"]}
    model = tiny_model(lora=lora, config={"tie_word_embeddings": False})
    names = set(muon_parameters(model))
    assert len(names) == 4
    assert all("q_proj.lora_" in name for name in names)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_non_finite_gradient_refuses_the_step(tiny_model: Factory, bad: float):
    model, state = tiny_model(), OptimizerState()
    train(model, state, range(2), MUON)
    weights, before = weight_bytes(model), {k: t.clone() for k, t in state_tensors(model, state)[0].items()}
    accumulate(model, 2)
    gradient = next(iter(trainable_parameters(model).values())).grad
    assert gradient is not None
    gradient[0, 0] = bad
    with pytest.raises(WorkerError, match="norm is") as caught:
        step(model, state, ADAMW, MUON, 1.0)
    assert caught.value.code == "NON_FINITE"
    assert weight_bytes(model) == weights
    assert all(torch.equal(tensor, before[key]) for key, tensor in state_tensors(model, state)[0].items())
    assert all(p.grad is None for p in trainable_parameters(model).values())


def test_a_refused_step_changes_no_weight(tiny_model: Factory):
    model, state = tiny_model(), OptimizerState()
    train(model, state, range(1), None)
    weights = weight_bytes(model)
    accumulate(model, 1)
    with pytest.raises(WorkerError, match="being trained with adamw; a step asked for muon") as caught:
        step(model, state, ADAMW, MUON, None)
    assert caught.value.code == "BAD_PARAMS"
    assert weight_bytes(model) == weights


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"adamw": adamw_params(-1.0)}, "adamw.learningRate"),
        ({"adamw": adamw_params(math.nan)}, "adamw.learning_?[rR]ate"),
        ({"adamw": adamw_params(0.1, beta1=1.0)}, "adamw.beta1"),
        ({"adamw": adamw_params(0.1, weight_decay=-0.1)}, "adamw.weightDecay"),
        ({"max_grad_norm": 0.0}, "maxGradNorm"),
        ({"muon": muon_params(0.1, ns_steps=100)}, "muon.nsSteps"),
        ({"muon": muon_params(0.1, momentum=1.5)}, "muon.momentum"),
        ({"muon": muon_params(0.1, adjust_learning_rate="other")}, "muon.adjustLearningRate"),
    ],
)
def test_impossible_settings_do_not_cross_the_wire(changes: dict[str, Any], path: str):
    none = {"muon": None, "max_grad_norm": None, "count_updates": False}
    params = OptimStepParams(**({"depends_on": [1], "adamw": ADAMW} | none | changes))
    with pytest.raises(WorkerError, match=rf"at `\$.{path}`") as caught:
        decode_params(msgspec.msgpack.encode(params), OptimStepParams)
    assert caught.value.code == "BAD_PARAMS"


def test_a_step_without_gradients_is_refused(tiny_model: Factory):
    model = tiny_model()
    with pytest.raises(WorkerError, match="none were accumulated"):
        step(model, OptimizerState(), ADAMW, None, None)


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("adamw/exp_avg/model.other.weight", [32], "belongs to no trained parameter"),
        ("muon/momentum_buffer/model.norm.weight", [32], "belongs to no trained parameter"),
        ("adamw/exp_avg/model.norm.weight", [31], r"has shape \[31\], the parameter \[32\]"),
    ],
)
def test_a_foreign_optimizer_state_is_refused(tiny_model: Factory, key: str, shape: list[int], message: str):
    with pytest.raises(WorkerError, match=message):
        restore(tiny_model(), {key: torch.zeros(shape)}, {"kind": "adamw"})


def test_a_state_before_the_first_step_is_restored_empty(tiny_model: Factory):
    model = tiny_model()
    tensors, description = state_tensors(model, OptimizerState())
    assert (tensors, restore(model, tensors, description)) == ({}, OptimizerState())


def test_updates_that_bfloat16_rounds_away_are_counted(tiny_model: Factory):
    model, state = tiny_model(rounding="nearest"), OptimizerState()
    model.trained.to(torch.bfloat16)
    parameters = list(trainable_parameters(model).values())
    for index, parameter in enumerate(parameters):
        parameter.data.fill_(1.0 if index % 2 else 0.01)
    set_gradients(model, 0.5)
    still = parameters[0]
    assert still.grad is not None
    still.grad.view(-1)[3:] = 0
    # Adam moves by the learning rate, 1e-4: below half a unit in the last place of 1 (2**-9), above that of 0.01 (2**-15)
    report = step(model, state, adamw_params(1e-4), None, None, count_updates=True)
    of_one = sum(p.numel() for p in parameters[1::2])
    of_hundredth = 3 + sum(p.numel() for p in parameters[2::2])
    assert report.updates is not None
    assert (report.updates.counted, report.updates.lost) == (of_one + of_hundredth, of_one)
    assert all(p[0].flatten()[0] == 1.0 for p in parameters[1::2])


def test_float32_loses_no_update_of_usual_size_and_all_that_are_tiny(tiny_model: Factory):
    model, state = tiny_model(), OptimizerState()
    count = sum(p.numel() for p in trainable_parameters(model).values())
    for rate, lost in ((1e-4, 0), (1e-30, count)):
        for parameter in trainable_parameters(model).values():
            parameter.data.fill_(0.02)
        set_gradients(model, 0.5)
        report = step(model, state, adamw_params(rate), None, None, count_updates=True)
        assert report.updates is not None
        assert (report.updates.counted, report.updates.lost) == (count, lost)
    set_gradients(model, 0.5)
    assert step(model, state, adamw_params(1e-4), None, None).updates is None


def test_counting_looks_at_all_columns_of_a_large_matrix_and_changes_no_step():
    parameter = torch.nn.Parameter(torch.zeros(1024, 1024))
    parameter.grad = torch.ones(1024, 1024)

    def update() -> None:
        parameter.data[:, ::2] += 1  # every other column stays

    counts = count_lost([parameter], update)
    assert 0.9 * SAMPLE <= counts.counted <= 1.1 * SAMPLE
    assert counts.lost == pytest.approx(counts.counted / 2, rel=0.01)


def eight_bit_run(model: Model, state: OptimizerState, steps: range) -> None:
    for index in steps:
        accumulate(model, index)
        step(model, state, adamw_params(1e-2, weight_decay=0.1, eight_bit=True), None, 1.0)


def test_moments_in_eight_bits_learn_and_go_on_bit_equal_after_a_restart(tiny_model: Factory, tmp_path: Path):
    pytest.importorskip("bitsandbytes", reason="tms setup --with bitsandbytes")
    shape = {"hidden_size": 64, "intermediate_size": 128}
    first, state = tiny_model(config=shape), OptimizerState()
    before = accumulate(first, 0)
    first.network.clear_gradients()
    eight_bit_run(first, state, range(3))
    tensors, description = state_tensors(first, state)
    assert description == {"kind": "adamw_8bit"}
    dtypes = {key.split("/")[2]: tensors[key].dtype for key in tensors if key.startswith("adamw/state1/")}
    assert dtypes["model.layers.0.mlp.up_proj.weight"] == torch.uint8
    assert dtypes["model.embed_tokens.weight"] == torch.float32
    save_file({key: tensor.clone() for key, tensor in tensors.items()}, tmp_path / "state.safetensors")
    second = tiny_model(config=shape)
    second.trained.load_state_dict(first.trained.state_dict())
    again = restore(second, load_file(tmp_path / "state.safetensors"), description)
    eight_bit_run(first, state, range(3, 6))
    eight_bit_run(second, again, range(3, 6))
    assert weight_bytes(first) == weight_bytes(second)
    assert accumulate(first, 0) < before - 0.05


def test_without_its_library_eight_bits_are_refused_with_what_to_install(
    tiny_model: Factory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    model, state = tiny_model(), OptimizerState()
    set_gradients(model, 1.0)
    weights = weight_bytes(model)
    with pytest.raises(
        WorkerError, match=r"tms setup --with bitsandbytes.*or use optim adamw_torch"
    ) as caught:
        step(model, state, adamw_params(0.1, eight_bit=True), None, None)
    assert caught.value.code == "NOT_FOUND"
    assert (state, weight_bytes(model)) == (OptimizerState(), weights)
