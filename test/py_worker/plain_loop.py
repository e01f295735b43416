"""The slow, plain computation of losses and gradients that the worker's is compared with."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from conftest import VOCAB_SIZE, Sequences, no_check

from py_worker.loss import PolicyGradient
from py_worker.model import Model
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients

POLICY = PolicyGradient(clip_low=0.2, clip_high=0.3, kl_coefficient=0.05)
NORMALIZERS = {"ce": 30.0, "dft": 7.0, "policy_gradient": 11.0, "match": 13.0}


def weighted(sequences: Sequences, components: tuple[str, ...] = ("ce",)) -> WeightedSequences:
    """Give two thirds of the tokens random weights, a different set in each component."""
    ids, offsets = sequences
    rng = np.random.default_rng(1)
    weights = {}
    for component in components:
        weights[component] = (rng.uniform(0.1, 2.0, len(ids)) * (rng.random(len(ids)) < 0.67)).astype(
            np.float32
        )
        weights[component][offsets[:-1]] = 0
    values = [rng.normal(0, 1, len(ids)).astype(np.float32) for _ in range(3)]
    batch = WeightedSequences(ids, offsets, weights, values[0], values[1] - 6, values[2] - 6)
    if "match" not in components:
        return batch
    candidates = np.stack([rng.permutation(VOCAB_SIZE)[:4] for _ in ids]).astype(np.int32)
    given = np.log(rng.dirichlet(np.ones(5), len(ids))[:, :4]).astype(np.float32)
    without = weights["match"] == 0
    candidates[without], given[without] = -1, np.nan  # nobody may read them
    return replace(batch, candidates=candidates, given=given)


def kl_with_rest(
    logprobs_TV: torch.Tensor, batch: WeightedSequences, span: slice, *, is_reverse: bool
) -> torch.Tensor:
    """Return the divergence of each token with a weight from what is given, one token and one id at a time; 0 of others."""
    assert batch.candidates is not None
    assert batch.given is not None
    losses = []
    for row, token in enumerate(range(span.start, span.stop)):
        if batch.weights["match"][token] == 0:
            losses.append(torch.zeros(()))
            continue
        given = [float(value) for value in np.exp(batch.given[token])]
        own = [logprobs_TV[row, id_].exp() for id_ in batch.candidates[token].tolist()]
        given, own = [*given, 1 - sum(given)], [*own, 1 - sum(own)]
        pairs = [(q, torch.as_tensor(p)) for q, p in zip(own, given, strict=True)]
        if not is_reverse:
            pairs = [(p, q) for q, p in pairs]
        losses.append(torch.stack([of * (of / other).log() for of, other in pairs]).sum())
    return torch.stack(losses)


def reference_loss(
    model: Model,
    batch: WeightedSequences,
    normalizers: dict[str, float],
    policy: PolicyGradient,
    *,
    is_reverse: bool = False,
) -> torch.Tensor:
    """Add up the losses one sequence at a time from full logits, by the formulas of the papers."""
    total = torch.zeros(())
    for start, end in pairwise(batch.offsets):
        ids = torch.tensor(batch.ids[start:end]).long()
        logits_TV = model.causal_lm(input_ids=ids[None]).logits[0, :-1].float()
        logprobs_TV = torch.log_softmax(logits_TV, -1)
        logp = logprobs_TV[torch.arange(len(ids) - 1), ids[1:]]

        def at(values: np.ndarray | None, start: int = start, end: int = end) -> torch.Tensor:
            assert values is not None
            return torch.from_numpy(values[start + 1 : end])

        for component, weights in batch.weights.items():
            if component == "ce":
                losses = -logp
            elif component == "dft":
                losses = -(logp.exp().detach() * logp)
            elif component == "match":
                if len(ids) == 1:
                    continue
                losses = kl_with_rest(logprobs_TV, batch, slice(start + 1, end), is_reverse=is_reverse)
            else:
                ratio = torch.exp(
                    logp - (logp.detach() if batch.old_logprobs is None else at(batch.old_logprobs))
                )
                clipped = ratio.clamp(1 - (policy.clip_low or 9), 1 + (policy.clip_high or 1e9))
                losses = -torch.minimum(ratio * at(batch.advantages), clipped * at(batch.advantages))
                if policy.kl_coefficient:
                    difference = at(batch.reference_logprobs) - logp
                    losses = losses + policy.kl_coefficient * (difference.exp() - difference - 1)
            total = total + (losses * at(weights)).sum() / normalizers[component]
    return total


def gradients(model: Model) -> dict[str, torch.Tensor]:
    """Return copies of the gradients that exist, by parameter."""
    return {name: p.grad.clone() for name, p in model.network.trainable().items() if p.grad is not None}


def assert_like_reference(model: Model, batch: WeightedSequences, options: GradientOptions) -> None:
    """Compare the gradients of every parameter within float32 rounding of its largest entry."""
    reference_loss(model, batch, NORMALIZERS, options.policy, is_reverse=options.is_reverse).backward()
    expected = gradients(model)
    model.network.clear_gradients()
    accumulate_gradients(model, batch, NORMALIZERS, options, no_check)
    found = gradients(model)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert float((found[name] - gradient).abs().max()) <= 1e-5 * float(gradient.abs().max()), name
