from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Factory, Sequences, make_tiny_model, no_check
from plain_loop import assert_like_reference, weighted
from transformers import MistralConfig, MistralForCausalLM

from py_worker.batch import MicroBatch, most_spans, plan_micro_batches, probe_varlen, spans_of
from py_worker.model import Model
from py_worker.network import Network
from py_worker.score import score
from py_worker.train import GradientOptions
from py_worker.varlen import install

WINDOW = 5


def slow_kernel(
    query_THD: torch.Tensor, key_THD: torch.Tensor, value_THD: torch.Tensor, *bounds: Any, **settings: Any
) -> torch.Tensor:
    """Attend one sequence, head and query at a time, as torch's kernel is documented."""
    output_THD = torch.zeros_like(query_THD)
    back, ahead = settings["window_size"]
    assert ahead == 0
    outputs = []
    for start, end in pairwise(bounds[0].tolist()):
        assert end - start <= bounds[2]
        for place in range(start, end):
            first = start if back < 0 else max(start, place - back)
            scores_HS = torch.einsum("hd,shd->hs", query_THD[place], key_THD[first : place + 1])
            weights_HS = (scores_HS * settings["scale"]).softmax(-1)
            outputs.append(torch.einsum("hs,shd->hd", weights_HS, value_THD[first : place + 1]))
    assert len(outputs) == len(output_THD)
    return torch.stack(outputs)


def windowed() -> Model:
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=WINDOW,
        initializer_range=0.2,
    )
    causal_lm = MistralForCausalLM(config).eval()
    network = Network(causal_lm, causal_lm, torch.float32)
    network.find_head(97)
    return Model(network, None, torch.device("cpu"), 97, 128, token_budget=64)


def named(model: Model, kernel: Any = slow_kernel) -> Model:
    model.layout, model.varlen = "pack", True
    install(model.causal_lm.config, kernel)
    return model


@pytest.mark.parametrize("make", [make_tiny_model, windowed])
@pytest.mark.parametrize("budget", [1, 64])
def test_gradients_through_variable_length_attention_are_those_of_plain_transformers(
    sequences: Sequences, make: Any, budget: int
):
    model = named(make())
    model.token_budget = budget
    assert probe_varlen(model)
    assert_like_reference(model, weighted(sequences), GradientOptions(logprobs=True))


def test_checkpointed_layers_are_told_of_the_sequences_again(sequences: Sequences):
    model = named(make_tiny_model())
    model.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    assert_like_reference(model, weighted(sequences), GradientOptions())


def test_log_probabilities_are_those_of_a_mask(sequences: Sequences):
    expected, _ = score(windowed(), *sequences, False, no_check)
    found, _ = score(named(windowed()), *sequences, False, no_check)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_kernel_that_lets_sequences_see_each_other_or_is_not_there_is_not_used():
    def leaking(*arguments: Any, **settings: Any) -> torch.Tensor:
        bounds = arguments[3][[0, -1]]
        width = int(bounds[-1])
        return slow_kernel(*arguments[:3], bounds, bounds, width, width, **settings)

    def absent(*_: Any, **__: Any) -> torch.Tensor:
        raise NotImplementedError

    assert not probe_varlen(named(make_tiny_model(), leaking))
    assert not probe_varlen(named(make_tiny_model(), absent))
    assert probe_varlen(named(make_tiny_model()))


def test_packs_have_few_widths_and_one_number_of_bounds(tiny_model: Factory):
    model = tiny_model(layout="pack", token_budget=80, varlen=True)
    plan = plan_micro_batches(model, np.array([33, 20, 12, 12, 7, 5, 1]))
    assert [(part.sequences, part.width) for part in plan] == [((0, 1, 2, 3, 6), 80), ((4, 5), 20)]
    assert most_spans(plan) == 16
    bounds, longest = spans_of(MicroBatch((1, 0), 1, 20), np.array([0, 4, 9]), 4)
    assert (bounds.dtype, bounds.tolist(), longest) == (np.int32, [0, 5, 9, 20, 20], 11)
