"""A copy of the weights beside those that are trained: what it answers, how it moves, that it outlives a save."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from builders import write_model
from conftest import Factory, Sequences, no_check, random_sequences

from bench.records import adapter_params, load_params
from py_worker import head
from py_worker.errors import WorkerError
from py_worker.kept import keep, keep_other, other_weights, shown, split_state, state_of
from py_worker.load import find_other, load_model
from py_worker.model import Model
from py_worker.score import Divergence, Top, score


def load(path: Path | str, **options: Any) -> Model:
    return load_model(load_params(str(path), determinism="seeded", device="cpu", **options))


def logprobs(model: Model, sequences: Sequences) -> np.ndarray:
    return score(model, *sequences, False, no_check)[0]


def nudge(model: Model, size: float) -> None:
    with torch.no_grad():
        for parameter in model.network.trainable().values():
            parameter.add_(size * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    model.network.take_over()


@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_it_answers_as_the_weights_did_and_leaves_those_alone(
    tiny_model: Factory, sequences: Sequences, compute: torch.dtype
):
    model = tiny_model(compute=compute)
    before = logprobs(model, sequences)
    kept = keep(model, None, 1.0)
    nudge(model, 0.1)
    after = logprobs(model, sequences)
    with shown(model, kept):
        assert np.array_equal(logprobs(model, sequences), before)
    assert np.array_equal(logprobs(model, sequences), after)
    assert not np.array_equal(after, before)


def test_moved_by_a_share_it_is_an_average(tiny_model: Factory):
    model = tiny_model()
    kept = keep(model, None, 1.0)
    first = {name: tensor.clone() for name, tensor in kept.items()}
    nudge(model, 0.1)
    kept = keep(model, kept, 0.25)
    for name, parameter in model.network.trainable().items():
        torch.testing.assert_close(kept[name], 0.75 * first[name] + 0.25 * parameter.detach())
    with pytest.raises(WorkerError, match="nothing is kept that could be moved"):
        keep(model, None, 0.25)
    rest, again = split_state(model, state_of(kept) | {"exp_avg.x": torch.ones(1)})
    assert list(rest) == ["exp_avg.x"]
    assert again is not None
    assert all(torch.equal(again[name], tensor) for name, tensor in kept.items())


def test_it_moves_by_a_small_share_where_weights_are_bfloat16():
    weight = torch.full((4, 4), 0.02, dtype=torch.bfloat16)
    model = SimpleNamespace(network=SimpleNamespace(trainable=lambda: {"w": weight}))
    kept = keep(cast(Model, model), None, 1.0)
    first = float(weight[0, 0])
    weight.fill_(0.022)
    for _ in range(100):
        kept = keep(cast(Model, model), kept, 0.01)
    expected = first + (1 - 0.99**100) * (float(weight[0, 0]) - first)
    torch.testing.assert_close(kept["w"], torch.full((4, 4), expected))


@pytest.mark.parametrize("with_adapter", [False, True])
def test_another_model_can_be_kept(tmp_path: Path, with_adapter: bool):
    base, other = write_model(tmp_path / "base"), write_model(tmp_path / "other", seed=1)
    sequences = random_sequences([9, 4])
    model = load(base, adapter=adapter_params() if with_adapter else None)
    nudge(model, 0.1)
    wanted = base if with_adapter else other
    others = {
        path: find_other(load_params(str(path), device="cpu"), str(path), None) for path in (base, other)
    }
    with shown(model, keep_other(model, others[wanted], 1.0)):
        np.testing.assert_allclose(logprobs(model, sequences), logprobs(load(wanted), sequences), atol=1e-5)
    if with_adapter:
        with pytest.raises(WorkerError, match="the model that it stands on"):
            keep_other(model, others[other], 1.0)
    else:
        wide = write_model(tmp_path / "wide", intermediate_size=96)
        with pytest.raises(WorkerError, match="other names or shapes"):
            keep_other(model, find_other(load_params(str(wide), device="cpu"), str(wide), None), 1.0)


@pytest.mark.parametrize("count", [3, 500])
def test_the_likeliest_ids_are_those_of_the_whole_distribution(
    tiny_model: Factory, sequences: Sequences, count: int
):
    model, top = tiny_model(), Top(count)
    ids, offsets = sequences
    score(model, ids, offsets, False, no_check, top=top)
    assert top.ids is not None
    assert top.logprobs is not None
    assert top.ids.shape == (len(ids), min(count, 97))
    row = torch.tensor(ids[offsets[2] : offsets[3]]).long()
    plain = torch.log_softmax(model.causal_lm(input_ids=row[None]).logits[0].float(), -1)
    expected = plain[:-1].topk(min(count, 97), dim=-1)
    place = slice(int(offsets[2]) + 1, int(offsets[3]))
    assert np.array_equal(top.ids[place], expected.indices.numpy())
    np.testing.assert_allclose(top.logprobs[place], expected.values.detach().numpy(), atol=1e-5)
    assert not top.ids[offsets[2]].any()


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({}, 1e-5),
        ({"compute_dtype": "bfloat16"}, 0.02),
        ({"adapter": adapter_params(use_dora=True, modules_to_save=["lm_head"])}, 1e-5),
    ],
    ids=["float32", "bf16", "an adapter that holds more than A and B"],
)
def test_distributions_are_held_against_those_of_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], tolerance: float
):
    monkeypatch.setitem(head.CHUNK_BYTES, "cpu", 4 * 97 * 3)  # three tokens at once
    base = write_model(tmp_path / "base")
    model = load(base, **settings)
    nudge(model, 0.05)
    ids, offsets = random_sequences([9, 1, 4])
    rows = [torch.tensor(row)[None].long() for row in np.split(ids, offsets[1:-1])]

    def distributions(of: Model) -> list[torch.Tensor]:
        with torch.no_grad():
            return [torch.log_softmax(of.trained(input_ids=row).logits[0, :-1].float(), -1) for row in rows]

    def between(p: list[torch.Tensor], q: list[torch.Tensor]) -> list[float]:
        kl = torch.nn.functional.kl_div
        both = zip(p, q, strict=True)
        return [
            x for a, b in both for x in (0.0, *kl(b, a, reduction="none", log_target=True).sum(-1).tolist())
        ]

    own, plain = (
        distributions(model),
        distributions(load(base, compute_dtype=settings.get("compute_dtype", "float32"))),
    )
    other = find_other(load_params(str(base), device="cpu", **settings), str(base), None)
    divergence = Divergence(other_weights(model, other))
    score(model, ids, offsets, False, no_check, divergence=divergence)
    for found, expected in (
        (divergence.to_other, between(own, plain)),
        (divergence.from_other, between(plain, own)),
    ):
        assert found is not None
        assert max(expected) > 5 * tolerance
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=tolerance)
    assert all(torch.equal(one, two) for one, two in zip(distributions(model), own, strict=True))
    same = Divergence(
        other_weights(load(base), find_other(load_params(str(base), device="cpu"), str(base), None))
    )
    score(load(base), ids, offsets, False, no_check, divergence=same)
    assert same.to_other is not None
    assert not same.to_other.any()
