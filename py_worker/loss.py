"""Per-token losses as functions of log-probabilities.

Shapes: P predicted tokens, C tokens of a chunk, K loss components, J candidates: ids in the place of a token.
"""

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


LEAST_REST = 1e-6
"""Of the ids that are no candidates, together: what rounding leaves of less is no number to take the logarithm of."""
LEAST_LOGPROB = -80.0
"""Below this a probability is as good as none, and has no gradient."""


@dataclass(frozen=True)
class Targets:
    """What the losses of P predicted tokens need; every tensor is [P] or [P, J] on the model's device."""

    ids_P: torch.Tensor
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    """Weight of a token in each component."""
    advantages_P: torch.Tensor | None = None
    old_logprobs_P: torch.Tensor | None = None
    reference_logprobs_P: torch.Tensor | None = None
    candidates_PJ: torch.Tensor | None = None
    """Ids over which a distribution is given."""
    given_PJ: torch.Tensor | None = None
    """Log-probability of each in that distribution."""


@dataclass(frozen=True)
class Objective:
    """What is made of the values of single tokens."""

    normalizers: dict[str, float]
    """Each component's weighted losses are divided by its own."""
    policy: PolicyGradient = field(default_factory=PolicyGradient)
    is_reverse: bool = False
    """Of ``match``: KL(model‖given), not KL(given‖model)."""
    entropy: bool = False
    """Report entropies too."""


@dataclass(frozen=True)
class TokenScores:
    """Values of P predicted tokens."""

    logprobs_P: torch.Tensor
    entropy_P: torch.Tensor | None
    losses_KP: torch.Tensor | None = None
    """Weighted loss per component, in the order of ``Targets.weights``; not divided by the normaliser."""
    top_ids_PJ: torch.Tensor | None = None
    """The likeliest ids in the place of each token, the likeliest first."""
    top_logprobs_PJ: torch.Tensor | None = None


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


def match_loss(
    logprobs_CJ: torch.Tensor, given_CJ: torch.Tensor, *, is_reverse: bool, has_rest: bool
) -> torch.Tensor:
    """Return KL(given‖model) of each token, or KL(model‖given), over its candidates and one place for all other ids.

    By the log-sum inequality that is at most the divergence over all ids, and equal to it where there are no others (``has_rest``).
    """
    own_CJ = _with_rest(logprobs_CJ) if has_rest else logprobs_CJ.clamp_min(LEAST_LOGPROB)
    given_CJ = _with_rest(given_CJ) if has_rest else given_CJ.clamp_min(LEAST_LOGPROB)
    of, other = (own_CJ, given_CJ) if is_reverse else (given_CJ, own_CJ)
    return (of.exp() * (of - other)).sum(-1)


def _with_rest(logprobs_CJ: torch.Tensor) -> torch.Tensor:
    rest_C = (1.0 - logprobs_CJ.exp().sum(-1)).clamp_min(LEAST_REST).log()
    return torch.cat([logprobs_CJ.clamp_min(LEAST_LOGPROB), rest_C[:, None]], dim=-1)


@dataclass(frozen=True)
class Weighed:
    """Losses of a chunk and their slopes."""

    losses_KC: torch.Tensor
    slope_C: torch.Tensor
    """Of the total in the log-probability of each token."""
    slope_CJ: torch.Tensor | None
    """The same in those of its candidates; None where nothing depends on them."""
    total: torch.Tensor
    """Sum over components of weighted losses over the normaliser."""


def weigh(
    logprobs_C: torch.Tensor,
    logprobs_CJ: torch.Tensor | None,
    targets: Targets,
    objective: Objective,
    *,
    has_rest: bool = True,
) -> Weighed:
    """Weigh the losses of a chunk, given the log-probabilities of its tokens and of their candidates."""
    logprobs_C = logprobs_C.detach().requires_grad_()
    leaves = [logprobs_C]
    if logprobs_CJ is not None:
        logprobs_CJ = logprobs_CJ.detach().requires_grad_()
        leaves.append(logprobs_CJ)
    losses = []
    with torch.enable_grad():
        for component, weights_C in targets.weights.items():
            if component == "match":
                assert logprobs_CJ is not None
                assert targets.given_PJ is not None
                loss_C = match_loss(
                    logprobs_CJ, targets.given_PJ, is_reverse=objective.is_reverse, has_rest=has_rest
                )
                loss_C = torch.where(weights_C == 0, 0.0, loss_C)  # where it has no weight nothing is given
            else:
                loss_C = component_loss(component, logprobs_C, targets, objective.policy)
            losses.append(weights_C * loss_C)
        total = torch.stack(
            [
                loss_C.sum() / objective.normalizers[name]
                for name, loss_C in zip(targets.weights, losses, strict=True)
            ]
        ).sum()
        slopes = torch.autograd.grad(total, leaves, allow_unused=True)
    slope_C = torch.zeros_like(logprobs_C) if slopes[0] is None else slopes[0]
    slope_CJ = slopes[1] if len(slopes) > 1 else None
    return Weighed(torch.stack(losses).detach(), slope_C, slope_CJ, total.detach())


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
        of(targets.candidates_PJ),
        of(targets.given_PJ),
    )


def join(parts: list[TokenScores]) -> TokenScores:
    """Put the values of chunks together."""

    def together(values: list[torch.Tensor | None], dim: int = 0) -> torch.Tensor | None:
        there = [value for value in values if value is not None]
        return torch.cat(there, dim=dim) if there else None

    return TokenScores(
        torch.cat([part.logprobs_P for part in parts]),
        together([part.entropy_P for part in parts]),
        together([part.losses_KP for part in parts], dim=1),
        together([part.top_ids_PJ for part in parts]),
        together([part.top_logprobs_PJ for part in parts]),
    )
