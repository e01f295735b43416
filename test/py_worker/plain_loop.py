"""The slow, plain computation of losses and gradients that the worker's is compared with."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from conftest import Sequences, no_check

from py_worker.loss import PolicyGradient
from py_worker.model import Model
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients

POLICY = PolicyGradient(clip_low=0.2, clip_high=0.3, kl_coefficient=0.05)
NORMALIZERS = {"ce": 30.0, "dft": 7.0, "policy_gradient": 11.0}


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
    return WeightedSequences(ids, offsets, weights, values[0], values[1] - 6, values[2] - 6)


def reference_loss(
    model: Model, batch: WeightedSequences, normalizers: dict[str, float], policy: PolicyGradient
) -> torch.Tensor:
    """Add up the losses one sequence at a time from full logits, by the formulas of the papers."""
    total = torch.zeros(())
    for start, end in pairwise(batch.offsets):
        ids = torch.tensor(batch.ids[start:end]).long()
        logits_TV = model.causal_lm(input_ids=ids[None]).logits[0, :-1].float()
        logp = torch.log_softmax(logits_TV, -1)[torch.arange(len(ids) - 1), ids[1:]]

        def at(values: np.ndarray | None, start: int = start, end: int = end) -> torch.Tensor:
            assert values is not None
            return torch.from_numpy(values[start + 1 : end])

        for component, weights in batch.weights.items():
            if component == "ce":
                losses = -logp
            elif component == "dft":
                losses = -(logp.exp().detach() * logp)
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
    reference_loss(model, batch, NORMALIZERS, options.policy).backward()
    expected = gradients(model)
    model.network.clear_gradients()
    accumulate_gradients(model, batch, NORMALIZERS, options, no_check)
    found = gradients(model)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert float((found[name] - gradient).abs().max()) <= 1e-5 * float(gradient.abs().max()), name
