"""Continuations of one context, against plain transformers on one sequence at a time; `test_families.py` has every architecture."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Factory, no_check
from test_score import reference

from py_worker import contexts
from py_worker.errors import WorkerError
from py_worker.model import Model
from py_worker.score import Top, score

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


def test_rows_stay_within_the_positions_of_the_model():
    rows = ragged(*([*CONTEXT, *[k] * 6] for k in range(4)))
    starts = starts_at(7, 7, 7, 7)
    assert contexts.grow_trees(*rows, starts, 18) == ([], [0, 1, 2, 3])
    trees, alone = contexts.grow_trees(*rows, starts, 24)
    assert [len(tree.tokens_T) for tree in trees] == [7 + 5 + 5, 7 + 5 + 5]
    assert alone == []


def test_a_long_group_is_cut_before_its_mask_costs_more_than_it_saves():
    answers = [[k % 90] * 300 for k in range(4)]
    rows = ragged(*([*CONTEXT, *answer] for answer in answers))
    trees, alone = contexts.grow_trees(*rows, starts_at(7, 7, 7, 7), None)
    assert (trees, alone) == ([], [0, 1, 2, 3])


def test_masks_stay_within_their_limit(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(contexts, "MOST_CELLS", 400)
    model = tiny_model(token_budget=1000)
    rows = ragged(*([k, *CONTEXT, k, end] for k in range(1, 9) for end in (1, 2)))
    starts = np.full(16, 8, np.int32)
    trees, _ = contexts.grow_trees(*rows, starts, None)
    forests = contexts.plant(model, trees, rows[0])
    assert [forest.ids_BT.shape for forest in forests] == [(4, 10), (4, 10)]


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
