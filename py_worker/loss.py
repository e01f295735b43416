"""Per-token losses as functions of log-probabilities. Shapes: P predicted tokens, C tokens of a chunk, K loss components."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class PolicyGradient:
    """Settings of the ``policy_gradient`` component; the defaults leave the ratio unclipped and add no KL.

    The protocol's record has its normaliser too, which here stands with those of the other components.
    """

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
class Objective:
    """What is made of the values of single tokens."""

    normalizers: dict[str, float]
    """Each component's weighted losses are divided by its own."""
    policy: PolicyGradient = field(default_factory=PolicyGradient)
    entropy: bool = False
    """Report entropies too."""


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


def weigh(
    logprobs_C: torch.Tensor, targets: Targets, objective: Objective
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return weighted losses [K, C], their normalised sum, and its slope [C] in the log-probabilities, second."""
    logprobs_C = logprobs_C.detach().requires_grad_()
    with torch.enable_grad():
        losses = [
            weights_C * component_loss(component, logprobs_C, targets, objective.policy)
            for component, weights_C in targets.weights.items()
        ]
        total = torch.stack(
            [
                loss_C.sum() / objective.normalizers[name]
                for name, loss_C in zip(targets.weights, losses, strict=True)
            ]
        ).sum()
        (slope_C,) = torch.autograd.grad(total, logprobs_C)
    return torch.stack(losses).detach(), slope_C, total.detach()


def part(targets: Targets, chunk: slice) -> Targets:
    """Return the targets of some of the tokens."""

    def of(values_P: torch.Tensor | None) -> torch.Tensor | None:
        return None if values_P is None else values_P[chunk]

    return Targets(
        targets.ids_P[chunk],
        {component: weights_P[chunk] for component, weights_P in targets.weights.items()},
        of(targets.advantages_P),
        of(targets.old_logprobs_P),
        of(targets.reference_logprobs_P),
    )


def join(parts: list[TokenScores]) -> TokenScores:
    """Put the values of chunks together."""
    entropies = [part.entropy_P for part in parts if part.entropy_P is not None]
    losses = [part.losses_KP for part in parts if part.losses_KP is not None]
    return TokenScores(
        torch.cat([part.logprobs_P for part in parts]),
        torch.cat(entropies) if entropies else None,
        torch.cat(losses, dim=1) if losses else None,
    )
