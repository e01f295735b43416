"""Continuations of one context, against plain transformers on one sequence at a time; `test_families.py` has every architecture."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Factory, no_check, random_sequences
from plain_loop import assert_like_reference, weighted
from test_score import reference
from transformers import Phi3Config, Phi3ForCausalLM

from py_worker import contexts, kept
from py_worker.errors import WorkerError
from py_worker.model import Model
from py_worker.network import Network
from py_worker.score import Divergence, Top, score
from py_worker.train import GradientOptions

LONGROPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "max_position_embeddings": 256,
    "original_max_position_embeddings": 16,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0] * 4,
        "long_factor": [8.0] * 4,
        "original_max_position_embeddings": 16,
        "factor": 16.0,
    },
}
CONTEXT = [11, 42, 7, 88, 3, 19, 64]


def ragged(*rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(rows).astype(np.int32), np.cumsum([0, *map(len, rows)]).astype(np.int32)


def starts_at(*starts: int) -> np.ndarray:
    return np.array(starts, np.int32)


def passed_tokens(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of tokens, padding included, of each forward pass."""
    sizes: list[int] = []
    features = model.network._features

    def counted(inputs: Any) -> torch.Tensor:
        sizes.append(inputs.ids_BT.numel())
        return features(inputs)

    monkeypatch.setattr(model.network, "_features", counted)
    return sizes


@pytest.mark.parametrize("layout", ["bucket", "pack"])
@pytest.mark.parametrize("budget", [1, 40, 10_000])
@pytest.mark.parametrize("gemma", [False, True])
def test_values_are_those_of_each_sequence_alone(tiny_model: Factory, layout: str, budget: int, gemma: bool):
    model = tiny_model(layout=layout, token_budget=budget, gemma=gemma)
    other = [90, 2, 5]
    rows = ragged(
        [*CONTEXT, 1, 2, 3], [*CONTEXT, 4], [*CONTEXT, 1, 2, 3], [*other, 6, 7], [*other, 8], [50, 51]
    )
    starts = starts_at(7, 7, 7, 3, 3, 1)
    top = Top(4)
    logprobs, entropy = score(model, *rows, True, no_check, top=top, starts=starts)
    expected, expected_entropy = reference(model, *rows)
    assert model.has_trees
    assert entropy is not None
    assert top.ids is not None
    whole = Top(4)
    score(model, *rows, False, no_check, top=whole)
    assert whole.ids is not None
    for (first, end), start in zip(pairwise(rows[1]), starts, strict=True):
        assert not logprobs[first : first + start].any()
        np.testing.assert_allclose(logprobs[first + start : end], expected[first + start : end], atol=2e-5)
        np.testing.assert_allclose(
            entropy[first + start : end], expected_entropy[first + start : end], atol=2e-5
        )
        assert (top.ids[first + start : end] == whole.ids[first + start : end]).all()


def test_a_context_goes_through_the_model_once(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    model = tiny_model(token_budget=1000)
    model.has_trees = True
    sizes = passed_tokens(model, monkeypatch)
    score(model, *ragged([*CONTEXT, 1, 2, 3], [*CONTEXT, 4, 5]), False, no_check, starts=starts_at(7, 7))
    assert sizes == [7 + 2 + 1]  # nothing is predicted from a last token
    score(model, *ragged([*CONTEXT, 1], [*CONTEXT, 2]), False, no_check, starts=starts_at(7, 7))
    assert sizes[1:] == [7]
    score(model, *ragged([*CONTEXT, 1], [9, *CONTEXT, 2]), False, no_check, starts=starts_at(7, 8))
    assert sum(sizes[2:]) >= 8 + 9


def test_equal_continuations_have_equal_bits(tiny_model: Factory):
    rows = ragged([*CONTEXT, 1, 2, 3], [*CONTEXT, 9, 9], [*CONTEXT, 1, 2, 3])
    logprobs, _ = score(tiny_model(), *rows, False, no_check, starts=starts_at(7, 7, 7))
    assert logprobs[7:10].tolist() == logprobs[19 + 7 :].tolist()
    assert logprobs[7:10].all()


def test_rows_stay_within_the_positions_of_the_model(tiny_model: Factory):
    rows = ragged(*([*CONTEXT, *[k] * 6] for k in range(4)))
    starts = starts_at(7, 7, 7, 7)
    narrow, wide = (tiny_model(token_budget=1000, max_positions=positions) for positions in (18, 24))
    assert contexts.grow_trees(narrow, *rows, starts) == ([], [0, 1, 2, 3])
    trees, alone = contexts.grow_trees(wide, *rows, starts)
    assert [len(tree.tokens_T) for tree in trees] == [7 + 5 + 5, 7 + 5 + 5]
    assert alone == []


def test_rows_stay_within_the_token_budget(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    model = tiny_model(token_budget=64)
    model.has_trees = True
    sizes = passed_tokens(model, monkeypatch)
    rows = ragged(*([*CONTEXT, *[k] * 8] for k in range(40)))
    score(model, *rows, False, no_check, starts=np.full(40, 7, np.int32))
    assert max(sizes) <= 64
    assert sum(sizes) < 40 * 15 / 1.5


def test_a_long_group_is_cut_before_its_mask_costs_more_than_it_saves(tiny_model: Factory):
    rows = ragged(*([*CONTEXT, *[k] * 300] for k in range(4)))
    model = tiny_model(token_budget=10_000, max_positions=None)
    assert contexts.grow_trees(model, *rows, starts_at(7, 7, 7, 7)) == ([], [0, 1, 2, 3])


def test_a_first_token_in_common_is_not_worth_a_mask(tiny_model: Factory):
    rows = ragged(*([2, k, k + 1, k + 2] for k in range(4)))
    model = tiny_model(token_budget=1000)
    assert contexts.grow_trees(model, *rows, starts_at(1, 1, 1, 1)) == ([], [0, 1, 2, 3])


def test_nothing_is_asked_where_all_is_context(tiny_model: Factory):
    rows, top = ragged(CONTEXT, CONTEXT), Top(3)
    logprobs, entropy = score(tiny_model(), *rows, True, no_check, top=top, starts=starts_at(7, 7))
    assert entropy is not None
    assert top.ids is not None
    assert not logprobs.any()
    assert not entropy.any()
    assert not top.ids.any()


def longrope_model(**fields: Any) -> Model:
    """Return a model all of whose angles are others as soon as one sequence of a pass is longer than 16 tokens."""
    torch.manual_seed(0)
    causal_lm = Phi3ForCausalLM(Phi3Config(**LONGROPE)).eval()
    network = Network(causal_lm, causal_lm, torch.float32)
    network.find_head(97)
    return Model(network, None, torch.device("cpu"), 97, 256, token_budget=1000, **fields)


def test_a_long_sequence_leaves_the_angles_of_its_neighbours_alone():
    model = longrope_model()
    context = [*CONTEXT, *CONTEXT]
    rows = ragged([*context, 5], [*context, 5, 6], [*context, *range(20, 32)], [*context, 9, 9])
    expected, _ = reference(model, *rows)
    asked = np.concatenate([np.arange(end - first) >= 14 for first, end in pairwise(rows[1])])
    found, _ = score(model, *rows, False, no_check, starts=starts_at(14, 14, 14, 14))
    np.testing.assert_allclose(found[asked], expected[asked], atol=2e-5)
    assert model.has_trees
    np.testing.assert_allclose(score(model, *rows, False, no_check)[0], expected, atol=2e-5)


@pytest.mark.parametrize(
    "lora", [None, {"r": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}]
)
def test_what_is_told_of_other_weights_is_that_of_each_sequence_alone(
    tiny_model: Factory, lora: dict[str, Any] | None
):
    model = tiny_model(lora=lora, token_budget=1000)
    held = {name: 0.8 * parameter.detach() for name, parameter in model.network.trainable().items()}
    rows = ragged([*CONTEXT, 1, 2, 3], [*CONTEXT, 4, 5])
    shared, whole = (Divergence(lambda: kept.shown(model, held)) for _ in range(2))
    logprobs, _ = score(model, *rows, False, no_check, divergence=shared, starts=starts_at(7, 7))
    expected, _ = score(model, *rows, False, no_check, divergence=whole)
    assert model.has_trees
    pairs = ((logprobs, expected), (shared.to_other, whole.to_other), (shared.from_other, whole.from_other))
    for found, alone in pairs:
        assert found is not None
        assert alone is not None
        for first, end in pairwise(rows[1]):
            np.testing.assert_allclose(found[first + 7 : end], alone[first + 7 : end], atol=2e-5)
            assert not found[first : first + 7].any()


def test_masks_stay_within_their_limit(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(contexts, "MOST_CELLS", 400)
    model = tiny_model(token_budget=1000)
    rows = ragged(*([k, *CONTEXT, k, end] for k in range(1, 9) for end in (1, 2)))
    starts = np.full(16, 8, np.int32)
    trees, _ = contexts.grow_trees(model, *rows, starts)
    passes = contexts.passes_of(model, trees, rows[0])
    assert [part.ids_BT.shape for part in passes] == [(4, 10), (4, 10)]


def test_a_model_that_cannot_share_scores_one_by_one(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    model = tiny_model(token_budget=1)
    monkeypatch.setattr(contexts, "has_plain_layers", lambda _: False)
    sizes = passed_tokens(model, monkeypatch)
    rows = ragged([*CONTEXT, 1, 2, 3], [*CONTEXT, 4, 5])
    logprobs, _ = score(model, *rows, False, no_check, starts=starts_at(7, 7))
    assert not model.has_trees
    assert sizes == [10, 9]
    expected, _ = reference(model, *rows)
    np.testing.assert_allclose(logprobs[7:10], expected[7:10], atol=2e-5)
    assert not logprobs[:7].any()


@pytest.mark.parametrize("error", [AttributeError("ndim"), TypeError("mask")])
def test_a_model_that_takes_no_mask_of_ours_is_noticed(
    tiny_model: Factory, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    model = tiny_model()

    def refuse(*_: object) -> torch.Tensor:
        raise error

    monkeypatch.setattr(model.network, "next_logits", refuse)
    assert not contexts.probe_trees(model)


def test_a_lack_of_memory_says_nothing_of_the_model(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    model = tiny_model()

    def fail(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model.network, "next_logits", fail)
    with pytest.raises(torch.OutOfMemoryError):
        contexts.probe_trees(model)


def test_a_row_whose_continuations_see_each_other_is_noticed(
    tiny_model: Factory, monkeypatch: pytest.MonkeyPatch
):
    assert contexts.probe_trees(tiny_model())
    masks_of = contexts.masks_of

    def leaky(model: Model, kind: Any, hidden: torch.Tensor, behind: Any) -> Any:
        positions = torch.arange(hidden.shape[1])
        return masks_of(model, kind, (positions[None, :] > positions[:, None])[None], behind)

    monkeypatch.setattr(contexts, "masks_of", leaky)
    assert not contexts.probe_trees(tiny_model())


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        ((7, 0), "sequence 1 starts at 0 and has 8 tokens"),
        ((7, 9), "sequence 1 starts at 9 and has 8 tokens"),
        ((7,), "there are 1 starts for 2 sequences"),
    ],
)
def test_a_start_that_cannot_be_is_refused(tiny_model: Factory, starts: tuple[int, ...], said: str):
    rows = ragged([*CONTEXT, 1], [*CONTEXT, 2])
    with pytest.raises(WorkerError, match=said):
        score(tiny_model(), *rows, False, no_check, starts=starts_at(*starts))


@pytest.mark.parametrize("layout", ["bucket", "pack"])
def test_gradients_of_short_sequences_do_not_depend_on_a_long_one(layout: str):
    rows = random_sequences([5, 30, 12, 16, 17])
    assert_like_reference(longrope_model(layout=layout), weighted(rows), GradientOptions(logprobs=True))
