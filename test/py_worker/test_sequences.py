from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Factory, Sequences, no_check
from plain_loop import NORMALIZERS, POLICY, gradients, weighted

from py_worker.errors import WorkerError
from py_worker.sequences import WeightedSequences, validate_sequences
from py_worker.train import GradientOptions, accumulate_gradients


@pytest.mark.parametrize(
    ("ids", "offsets", "message"),
    [
        ([1, 2], [0, 1], "end at the number of ids"),
        ([], [0], "at least one sequence"),
        ([1, 2], [0, 2, 2], "sequence 1 has 0 tokens"),
        ([1, 97], [0, 1, 2], "token 0 of sequence 1 has id 97; the vocabulary has ids 0 to 96"),
        ([1, 2, -4], [0, 3], "token 2 of sequence 0 has id -4"),
        ([1] * 129, [0, 129], "sequence 0 has 129 tokens; the model has 128 positions"),
    ],
)
def test_impossible_sequences_are_refused(
    tiny_model: Factory, ids: list[int], offsets: list[int], message: str
):
    with pytest.raises(WorkerError, match=message) as caught:
        validate_sequences(tiny_model(), np.array(ids, dtype=np.int32), np.array(offsets))
    assert caught.value.code == "BAD_PARAMS"


def _set(component: str, index: int, value: float) -> Callable[[WeightedSequences], WeightedSequences]:
    def change(batch: WeightedSequences) -> WeightedSequences:
        batch.weights[component][index] = value
        return batch

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("ce", 6, np.nan), "ce weights: token 1 of sequence 1 has nan"),
        (_set("ce", 6, np.inf), "ce weights: token 1 of sequence 1 has inf"),
        (_set("ce", 5, 1.5), "ce weight of token 0 of sequence 1 is 1.5"),
        (lambda b: replace(b, weights={"ce": 0 * b.weights["ce"]}), "every loss weight is 0"),
        (
            lambda b: replace(b, weights={"ce": b.weights["ce"][1:]}),
            r"ce weights have shape \(89,\), ids \(90,\)",
        ),
        (lambda b: replace(b, weights={"mse": b.weights["ce"]}), r"found \['mse'\]"),
        (lambda b: replace(b, weights={}), "found none"),
        (
            lambda b: replace(b, weights={"policy_gradient": b.weights["ce"]}, advantages=None),
            "needs advantages",
        ),
        (lambda b: replace(b, reference_logprobs=None), "reference_logprobs are needed"),
        (lambda b: replace(b, ids=b.ids + 97), "has id"),
    ],
)
def test_impossible_losses_are_refused_and_gradients_kept(
    tiny_model: Factory,
    sequences: Sequences,
    change: Callable[[WeightedSequences], WeightedSequences],
    message: str,
):
    model = tiny_model()
    accumulate_gradients(model, weighted(sequences), NORMALIZERS, GradientOptions(), no_check)
    before = gradients(model)
    with pytest.raises(WorkerError, match=message) as caught:
        accumulate_gradients(
            model, change(weighted(sequences)), NORMALIZERS, GradientOptions(POLICY), no_check
        )
    assert caught.value.code == "BAD_PARAMS"
    assert all(torch.equal(gradient, before[name]) for name, gradient in gradients(model).items())


@pytest.mark.parametrize("normalizers", [{"ce": 0.0}, {"ce": -1.0}, {"ce": float("nan")}, {"dft": 1.0}])
def test_a_normalizer_must_be_finite_and_positive(
    tiny_model: Factory, sequences: Sequences, normalizers: dict[str, float]
):
    with pytest.raises(WorkerError, match="normalizer of ce is"):
        accumulate_gradients(tiny_model(), weighted(sequences), normalizers, GradientOptions(), no_check)
