from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import Factory, Sequences, no_check, random_sequences

from py_worker.errors import WorkerError
from py_worker.model import Model
from py_worker.score import score


@torch.no_grad()
def reference(model: Model, ids: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logprobs, entropy = np.zeros(len(ids)), np.zeros(len(ids))
    for start, end in pairwise(offsets):
        row = torch.tensor(ids[start:end]).long()
        log_softmax = torch.log_softmax(model.causal_lm(input_ids=row[None]).logits[0, :-1], -1)
        logprobs[start + 1 : end] = log_softmax[torch.arange(len(row) - 1), row[1:]]
        entropy[start + 1 : end] = -(log_softmax.exp() * log_softmax).sum(-1)
    return logprobs, entropy


@pytest.mark.parametrize("layout", ["bucket", "pack"])
@pytest.mark.parametrize("budget", [1, 40, 10_000])
@pytest.mark.parametrize("gemma", [False, True])
def test_scores_equal_one_sequence_at_a_time(
    tiny_model: Factory, sequences: Sequences, layout: str, budget: int, gemma: bool
):
    model = tiny_model(layout=layout, token_budget=budget, gemma=gemma)
    logprobs, entropy = score(model, *sequences, True, no_check)
    expected = reference(model, *sequences)
    np.testing.assert_allclose(logprobs, expected[0], atol=2e-5)
    assert entropy is not None
    np.testing.assert_allclose(entropy, expected[1], atol=2e-5)
    assert logprobs.dtype == entropy.dtype == np.float32


def test_a_flat_model_scores_the_logarithm_of_its_vocabulary(tiny_model: Factory):
    model = tiny_model()
    for parameter in model.trained.parameters():
        parameter.data.zero_()
    logprobs, entropy = score(model, *random_sequences([3, 2]), True, no_check)
    flat = math.log(97)
    assert logprobs.tolist() == pytest.approx([0, -flat, -flat, 0, -flat])
    assert entropy is not None
    assert entropy.tolist() == pytest.approx([0, flat, flat, 0, flat])


def test_entropy_is_left_out_unless_asked_for(tiny_model: Factory, sequences: Sequences):
    assert score(tiny_model(), *sequences, False, no_check)[1] is None


def test_single_tokens_score_zero(tiny_model: Factory):
    logprobs, _ = score(tiny_model(), *random_sequences([1, 1]), False, no_check)
    assert logprobs.tolist() == [0, 0]


def test_scoring_switches_dropout_off(tiny_model: Factory, sequences: Sequences):
    lora = {"r": 4, "target_modules": ["q_proj"], "init_lora_weights": False, "lora_dropout": 0.5}
    model = tiny_model(lora=lora)
    expected, _ = score(model, *sequences, False, no_check)
    model.network.train()
    found, _ = score(model, *sequences, False, no_check)
    assert np.array_equal(found, expected)
    assert not model.network.training


def test_a_sequence_beyond_the_vocabulary_is_refused(tiny_model: Factory):
    with pytest.raises(WorkerError, match="token 1 of sequence 0 has id 97"):
        score(tiny_model(), np.array([1, 97], dtype=np.int32), np.array([0, 2]), False, no_check)


def test_a_cancelled_request_stops_between_micro_batches(tiny_model: Factory, sequences: Sequences):
    def cancel() -> None:
        raise WorkerError("CANCELLED", "cancelled")

    with pytest.raises(WorkerError, match="cancelled"):
        score(tiny_model(), *sequences, False, cancel)
