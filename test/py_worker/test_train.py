from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import Factory, Sequences, no_check, random_sequences
from plain_loop import NORMALIZERS, POLICY, assert_like_reference, gradients, weighted

from py_worker.errors import WorkerError
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients


@pytest.mark.parametrize("layout", ["bucket", "pack"])
@pytest.mark.parametrize("budget", [1, 40, 10_000])
@pytest.mark.parametrize(
    "components", [("ce",), ("dft",), ("policy_gradient",), ("policy_gradient", "dft", "ce")]
)
def test_gradients_equal_a_plain_loop(
    tiny_model: Factory, sequences: Sequences, layout: str, budget: int, components: tuple[str, ...]
):
    model = tiny_model(layout=layout, token_budget=budget)
    assert_like_reference(model, weighted(sequences, components), GradientOptions(POLICY))


@pytest.mark.parametrize("is_reverse", [False, True])
@pytest.mark.parametrize("components", [("match",), ("ce", "match")])
def test_gradients_of_divergences_equal_a_plain_loop(
    tiny_model: Factory, sequences: Sequences, components: tuple[str, ...], is_reverse: bool
):
    model = tiny_model(layout="pack", token_budget=40)
    assert_like_reference(model, weighted(sequences, components), GradientOptions(is_reverse=is_reverse))


def test_a_divergence_needs_candidates_that_are_ids_and_probabilities(
    tiny_model: Factory, sequences: Sequences
):
    batch = weighted(sequences, ("match",))
    assert batch.candidates is not None
    assert batch.given is not None
    place = int(np.flatnonzero(batch.weights["match"])[0])

    def changed(values: np.ndarray, at: Any, value: float) -> np.ndarray:
        values = values.copy()
        values[at] = value
        return values

    def refuse(match: str, **changes: Any) -> None:
        with pytest.raises(WorkerError, match=match):
            accumulate_gradients(
                tiny_model(), replace(batch, **changes), NORMALIZERS, GradientOptions(), no_check
            )

    refuse("needs targetIds", candidates=None)
    refuse("k values a token", given=batch.given[:, :3])
    refuse("vocabulary has ids", candidates=changed(batch.candidates, (place, 1), 97))
    twice = changed(batch.candidates, (place, 1), float(batch.candidates[place, 0]))
    refuse("one stands twice", candidates=twice)
    refuse("at most 1 together", given=changed(batch.given, (place, 1), 0.0))
    refuse("finite", given=changed(batch.given, (place, 1), np.nan))


@pytest.mark.parametrize("asked", [False, True])
def test_gradients_without_old_log_probabilities_or_clip(
    tiny_model: Factory, sequences: Sequences, asked: bool
):
    batch = replace(weighted(sequences, ("policy_gradient",)), old_logprobs=None, reference_logprobs=None)
    assert_like_reference(tiny_model(), batch, GradientOptions(logprobs=asked, entropy=asked))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("gemma", [True, False])
def test_gradients_of_tied_untied_and_soft_capped_heads(
    tiny_model: Factory, sequences: Sequences, tied: bool, gemma: bool
):
    model = tiny_model(gemma=gemma, config={"tie_word_embeddings": tied, "initializer_range": 0.5})
    assert model.network.head.finish.cap == (30.0 if gemma else None)
    assert_like_reference(model, weighted(sequences, ("ce", "dft")), GradientOptions())


@pytest.mark.parametrize("targets", [["q_proj", "down_proj"], ["q_proj", "lm_head"]])
def test_gradients_of_lora(tiny_model: Factory, sequences: Sequences, targets: list[str]):
    lora = {"r": 4, "target_modules": targets, "init_lora_weights": False}
    model = tiny_model(lora=lora, config={"tie_word_embeddings": False})
    assert_like_reference(model, weighted(sequences), GradientOptions())
    assert all("lora_" in name for name in gradients(model))


def test_gradients_of_a_head_over_a_frozen_backbone(tiny_model: Factory, sequences: Sequences):
    model = tiny_model(config={"tie_word_embeddings": False})
    model.trained.requires_grad_(False)
    cast(torch.nn.Module, model.causal_lm.get_output_embeddings()).requires_grad_(True)
    assert_like_reference(model, weighted(sequences), GradientOptions())


@pytest.mark.parametrize("lora", [None, {"r": 4, "target_modules": ["q_proj"], "lora_dropout": 0.3}])
def test_gradient_checkpointing_gives_the_same_gradients(
    tiny_model: Factory, sequences: Sequences, lora: dict[str, Any] | None
):
    model, options = tiny_model(lora=lora), GradientOptions(dropout_seed=3)
    accumulate_gradients(model, weighted(sequences), NORMALIZERS, options, no_check)
    plain = gradients(model)
    model.network.clear_gradients()
    model.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    accumulate_gradients(model, weighted(sequences), NORMALIZERS, options, no_check)
    assert all(torch.equal(gradient, plain[name]) for name, gradient in gradients(model).items())
    assert not model.network.training


def test_bfloat16_stays_near_float32(tiny_model: Factory, sequences: Sequences):
    model = tiny_model()
    accumulate_gradients(model, weighted(sequences), NORMALIZERS, GradientOptions(), no_check)
    exact = gradients(model)
    model = tiny_model(compute=torch.bfloat16)
    accumulate_gradients(model, weighted(sequences), NORMALIZERS, GradientOptions(), no_check)
    for name, gradient in gradients(model).items():
        assert gradient.dtype == torch.float32
        assert torch.cosine_similarity(gradient.flatten(), exact[name].flatten(), dim=0) > 0.99


def test_accumulation_adds_to_earlier_gradients(tiny_model: Factory, sequences: Sequences):
    model, batch = tiny_model(), weighted(sequences)
    accumulate_gradients(model, batch, NORMALIZERS, GradientOptions(), no_check)
    once = gradients(model)
    accumulate_gradients(model, batch, NORMALIZERS, GradientOptions(), no_check)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, 2 * once[name], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("layout", ["bucket", "pack"])
def test_the_report_holds_sums_counts_and_values_per_token(
    tiny_model: Factory, sequences: Sequences, layout: str
):
    model, batch = tiny_model(layout=layout), weighted(sequences)
    options = GradientOptions(logprobs=True, entropy=True)
    report = accumulate_gradients(model, batch, NORMALIZERS, options, no_check)
    logprobs, entropy = np.zeros(len(batch.ids)), np.zeros(len(batch.ids))
    for start, end in pairwise(batch.offsets):
        ids = torch.tensor(batch.ids[start:end]).long()
        log_softmax = torch.log_softmax(model.causal_lm(input_ids=ids[None]).logits[0, :-1], -1).detach()
        logprobs[start + 1 : end] = log_softmax[torch.arange(len(ids) - 1), ids[1:]]
        entropy[start + 1 : end] = -(log_softmax.exp() * log_softmax).sum(-1)
    assert report.logprobs is not None
    assert report.entropy is not None
    np.testing.assert_allclose(report.logprobs, logprobs, atol=1e-5)
    np.testing.assert_allclose(report.entropy, entropy, atol=1e-5)
    sums, weights = report.components["ce"], batch.weights["ce"]
    assert sums.loss_sum == pytest.approx(float(-(weights * logprobs).sum()), rel=1e-5)
    assert sums.weight_sum == pytest.approx(float(weights.sum()), rel=1e-6)
    assert sums.token_count == np.count_nonzero(weights)
    assert report.useful_tokens == len(batch.ids) == 90
    # lengths 33, 20, 12, 12, 7, 5, 1 and 64 tokens: rows of 33, 20 and five of 12; or 33+20+7+1 and 12+12+5
    expected = {"bucket": (33 + 20 + 5 * 12, 3), "pack": (90, 2)}[layout]
    assert (report.padded_tokens, report.micro_batches) == expected


def test_sequences_without_weight_are_skipped(tiny_model: Factory):
    ids, offsets = random_sequences([6, 50, 4])
    weights = np.zeros(60, dtype=np.float32)
    weights[[5, 59]] = 1
    report = accumulate_gradients(
        tiny_model(),
        WeightedSequences(ids, offsets, {"ce": weights}),
        {"ce": 2.0},
        GradientOptions(),
        no_check,
    )
    assert (report.useful_tokens, report.components["ce"].token_count) == (10, 2)


def test_dropout_is_decided_by_its_seed_alone(tiny_model: Factory, sequences: Sequences):
    lora = {"r": 4, "target_modules": ["q_proj"], "init_lora_weights": False, "lora_dropout": 0.5}
    model, found = tiny_model(lora=lora), []
    for seed in (5, 5, 6):
        state = torch.random.get_rng_state()
        options = GradientOptions(dropout_seed=seed)
        accumulate_gradients(model, weighted(sequences), NORMALIZERS, options, no_check)
        assert torch.equal(state, torch.random.get_rng_state())
        found.append(torch.cat([gradient.flatten() for gradient in gradients(model).values()]))
        model.network.clear_gradients()
        torch.rand(3)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_non_finite_loss_names_its_sequence_and_clears_gradients(tiny_model: Factory, sequences: Sequences):
    model = tiny_model()
    embedding = cast(torch.nn.Embedding, model.causal_lm.get_input_embeddings())
    ids, offsets = sequences
    ids = np.where(ids == 96, 95, ids)
    ids[offsets[4] + 3] = 96
    batch = weighted((ids, offsets))
    batch.weights["ce"][offsets[4] + 1 : offsets[5]] = 1
    head = cast(torch.nn.Linear, model.causal_lm.get_output_embeddings())
    head.weight = torch.nn.Parameter(embedding.weight.detach().clone())
    embedding.weight.data[96] = float("nan")
    with pytest.raises(WorkerError, match="of sequence 4 is not finite") as caught:
        accumulate_gradients(model, batch, NORMALIZERS, GradientOptions(), no_check)
    assert caught.value.code == "NON_FINITE"
    assert caught.value.data is not None
    assert caught.value.data["sequence"] == 4
    assert gradients(model) == {}
    assert not model.network.training


def test_an_overflowing_ratio_is_non_finite(tiny_model: Factory, sequences: Sequences):
    batch = weighted(sequences, ("policy_gradient",))
    assert batch.old_logprobs is not None
    batch.old_logprobs[:] = -1000
    with pytest.raises(WorkerError, match="not finite"):
        accumulate_gradients(tiny_model(), batch, NORMALIZERS, GradientOptions(), no_check)


def test_cancelling_between_micro_batches_clears_gradients(tiny_model: Factory, sequences: Sequences):
    model, calls = tiny_model(token_budget=1), []

    def cancel_third() -> None:
        calls.append(1)
        if len(calls) == 3:
            assert gradients(model) != {}
            raise WorkerError("CANCELLED", "cancelled")

    with pytest.raises(WorkerError, match="cancelled"):
        accumulate_gradients(model, weighted(sequences), NORMALIZERS, GradientOptions(), cancel_third)
    assert gradients(model) == {}
