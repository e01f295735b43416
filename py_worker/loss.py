"""Per-token losses, and the head applied in chunks so that full logits never exist.

Every loss is a function of a token's log-probability alone. Its slope dL/dlogp therefore gives the whole gradient with
respect to the logits, slope * (onehot - softmax), and the softmax of one chunk is all that is ever held.
Shapes: P predicted tokens, C tokens of a chunk, D features, V vocabulary, K loss components.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from py_worker.model import Model, autocast, logits

CHUNK_BYTES = {"cpu": 64 * 2**20, "cuda": 512 * 2**20}
"""Size of one chunk of float32 logits. CPU: measured on SmolLM2-135M (341 rows)."""


@dataclass(frozen=True)
class PolicyGradient:
    """Settings of the ``policy_gradient`` component; the defaults leave the ratio unclipped and add no KL."""

    clip_low: float | None = None
    """Lower clip of the ratio is 1 - clip_low."""
    clip_high: float | None = None
    kl_coefficient: float = 0.0


@dataclass(frozen=True)
class Targets:
    """What the losses of P predicted tokens need; every tensor is [P] on the model's device."""

    ids_P: torch.Tensor
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    """Weight of a token in each component."""
    advantages_P: torch.Tensor | None = None
    old_logprobs_P: torch.Tensor | None = None
    reference_logprobs_P: torch.Tensor | None = None


@dataclass(frozen=True)
class TokenScores:
    """Values of P predicted tokens."""

    logprobs_P: torch.Tensor
    entropy_P: torch.Tensor | None
    losses_KP: torch.Tensor | None = None
    """Weighted loss per component, in the order of ``Targets.weights``; not divided by the normaliser."""


def component_loss(
    component: str, logprobs_P: torch.Tensor, targets: Targets, policy: PolicyGradient
) -> torch.Tensor:
    """Return the unweighted loss of each token, differentiable in ``logprobs_P``."""
    if component == "ce":
        return -logprobs_P
    if component == "dft":  # arXiv 2508.05629: the token's own probability, held constant, scales its loss
        return -logprobs_P.detach().exp() * logprobs_P
    return _policy_gradient(logprobs_P, targets, policy)


def _policy_gradient(logprobs_P: torch.Tensor, targets: Targets, policy: PolicyGradient) -> torch.Tensor:
    """Clipped surrogate (arXiv 1707.06347 eq. 7) plus the k3 estimate of KL(policy‖reference)."""
    assert targets.advantages_P is not None
    old_P = logprobs_P.detach() if targets.old_logprobs_P is None else targets.old_logprobs_P
    ratio_P = (logprobs_P - old_P).exp()
    gain_P = targets.advantages_P * ratio_P
    if policy.clip_low is not None or policy.clip_high is not None:
        low = None if policy.clip_low is None else 1.0 - policy.clip_low
        high = None if policy.clip_high is None else 1.0 + policy.clip_high
        gain_P = torch.minimum(gain_P, targets.advantages_P * ratio_P.clamp(low, high))
    if policy.kl_coefficient == 0.0:
        return -gain_P
    assert targets.reference_logprobs_P is not None
    log_ratio_P = targets.reference_logprobs_P - logprobs_P
    return policy.kl_coefficient * (log_ratio_P.exp() - log_ratio_P - 1.0) - gain_P


def backward_head(
    model: Model,
    features_PD: torch.Tensor,
    targets: Targets,
    normalizers: dict[str, float],
    policy: PolicyGradient,
    *,
    entropy: bool,
) -> tuple[TokenScores, torch.Tensor]:
    """Compute losses chunk by chunk and their gradients at once; return scores and the gradient of ``features_PD``.

    The head's own gradients are accumulated into its parameters. Each weighted loss is divided by its normaliser.
    """
    parts: list[TokenScores] = []
    gradients: list[torch.Tensor] = []
    with autocast(model):  # one context, so that the head's weight is cast once
        for chunk in _chunks(model, len(features_PD)):
            leaf_CD = features_PD[chunk].detach().requires_grad_()
            logits_CV = logits(model, leaf_CD)
            chunk_targets = _slice(targets, chunk)
            scores, log_softmax_CV = _score_logits(logits_CV.detach(), chunk_targets.ids_P, entropy=entropy)
            losses_KC, slope_C = _losses(scores.logprobs_P, chunk_targets, normalizers, policy)
            gradient_CV = log_softmax_CV.exp_().mul_(-slope_C[:, None])
            gradient_CV.scatter_add_(1, chunk_targets.ids_P[:, None], slope_C[:, None])
            torch.autograd.backward(logits_CV, gradient_CV)
            assert leaf_CD.grad is not None
            gradients.append(leaf_CD.grad)
            parts.append(TokenScores(scores.logprobs_P, scores.entropy_P, losses_KC))
    return _join(parts), torch.cat(gradients)


@torch.no_grad()
def score_head(model: Model, features_PD: torch.Tensor, ids_P: torch.Tensor, *, entropy: bool) -> TokenScores:
    """Return log-probabilities, and entropies if asked for, of tokens predicted from ``features_PD``."""
    with autocast(model):
        parts = [
            _score_logits(logits(model, features_PD[chunk]), ids_P[chunk], entropy=entropy)[0]
            for chunk in _chunks(model, len(features_PD))
        ]
    return _join(parts)


def _losses(
    logprobs_C: torch.Tensor, targets: Targets, normalizers: dict[str, float], policy: PolicyGradient
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weighted losses [K, C] and the slope [C] of their normalised sum in the log-probabilities."""
    logprobs_C = logprobs_C.detach().requires_grad_()
    with torch.enable_grad():
        losses = [
            weights_C * component_loss(component, logprobs_C, targets, policy)
            for component, weights_C in targets.weights.items()
        ]
        total = torch.stack(
            [loss_C.sum() / normalizers[name] for name, loss_C in zip(targets.weights, losses, strict=True)]
        ).sum()
        (slope_C,) = torch.autograd.grad(total, logprobs_C)
    return torch.stack(losses).detach(), slope_C


def _score_logits(
    logits_CV: torch.Tensor, ids_C: torch.Tensor, *, entropy: bool
) -> tuple[TokenScores, torch.Tensor]:
    log_softmax_CV = torch.log_softmax(logits_CV, dim=-1)
    logprobs_C = log_softmax_CV.gather(1, ids_C[:, None])[:, 0]
    entropy_C = None
    if entropy:
        entropy_C = torch.special.entr(log_softmax_CV.exp()).sum(-1)  # right for logits of -inf too
    return TokenScores(logprobs_C, entropy_C), log_softmax_CV


def _chunks(model: Model, count: int) -> Iterator[slice]:
    rows = max(1, CHUNK_BYTES.get(model.device.type, CHUNK_BYTES["cpu"]) // (4 * model.vocab_size))
    return (slice(start, start + rows) for start in range(0, count, rows))


def _slice(targets: Targets, chunk: slice) -> Targets:
    def part(values_P: torch.Tensor | None) -> torch.Tensor | None:
        return None if values_P is None else values_P[chunk]

    return Targets(
        targets.ids_P[chunk],
        {component: weights_P[chunk] for component, weights_P in targets.weights.items()},
        part(targets.advantages_P),
        part(targets.old_logprobs_P),
        part(targets.reference_logprobs_P),
    )


def _join(parts: list[TokenScores]) -> TokenScores:
    entropies = [part.entropy_P for part in parts if part.entropy_P is not None]
    losses = [part.losses_KP for part in parts if part.losses_KP is not None]
    return TokenScores(
        torch.cat([part.logprobs_P for part in parts]),
        torch.cat(entropies) if entropies else None,
        torch.cat(losses, dim=1) if losses else None,
    )
