from __future__ import annotations

import math
from typing import cast

import pytest
import torch
from conftest import Factory

from py_worker import loss
from py_worker.loss import PolicyGradient, Targets, backward_head, component_loss, score_head

HALF, TENTH = math.log(0.5), math.log(0.1)


def slope(component: str, targets: Targets, policy: PolicyGradient, logprobs: list[float]) -> list[float]:
    leaf = torch.tensor(logprobs, requires_grad=True)
    component_loss(component, leaf, targets, policy).sum().backward()
    assert leaf.grad is not None
    return leaf.grad.tolist()


def value(component: str, targets: Targets, policy: PolicyGradient, logprobs: list[float]) -> list[float]:
    return component_loss(component, torch.tensor(logprobs), targets, policy).tolist()


def policy_targets(
    advantages: list[float], old: list[float] | None, reference: list[float] | None = None
) -> Targets:
    return Targets(
        torch.zeros(len(advantages), dtype=torch.int64),
        {},
        torch.tensor(advantages),
        None if old is None else torch.tensor(old),
        None if reference is None else torch.tensor(reference),
    )


NONE = Targets(torch.zeros(2, dtype=torch.int64))


def test_ce_is_the_negative_log_probability():
    assert value("ce", NONE, PolicyGradient(), [HALF, TENTH]) == pytest.approx([0.693147, 2.302585])
    assert slope("ce", NONE, PolicyGradient(), [HALF, TENTH]) == [-1, -1]


def test_dft_scales_by_the_probability_without_a_gradient_through_it():
    assert value("dft", NONE, PolicyGradient(), [HALF, TENTH]) == pytest.approx([0.3465736, 0.2302585])
    assert slope("dft", NONE, PolicyGradient(), [HALF, TENTH]) == pytest.approx([-0.5, -0.1])


def test_policy_gradient_multiplies_advantage_and_ratio():
    targets = policy_targets([2.0, -1.0], old=[math.log(0.25), TENTH])
    assert value("policy_gradient", targets, PolicyGradient(), [HALF, TENTH]) == pytest.approx([-4.0, 1.0])
    assert slope("policy_gradient", targets, PolicyGradient(), [HALF, TENTH]) == pytest.approx([-4.0, 1.0])


def test_policy_gradient_without_old_log_probabilities_has_ratio_one():
    targets = policy_targets([2.0, -1.0], old=None)
    assert value("policy_gradient", targets, PolicyGradient(), [HALF, TENTH]) == [-2.0, 1.0]
    assert slope("policy_gradient", targets, PolicyGradient(), [HALF, TENTH]) == [-2.0, 1.0]


def test_clipping_stops_only_moves_that_gain():
    # ratios 2, 2, 0.5, 0.5 with clips 0.2 below and 0.3 above
    targets = policy_targets([1.0, -1.0, 1.0, -1.0], old=[math.log(0.25)] * 2 + [math.log(0.5)] * 2)
    logprobs = [math.log(0.5)] * 2 + [math.log(0.25)] * 2
    policy = PolicyGradient(clip_low=0.2, clip_high=0.3)
    assert value("policy_gradient", targets, policy, logprobs) == pytest.approx([-1.3, 2.0, -0.5, 0.8])
    assert slope("policy_gradient", targets, policy, logprobs) == pytest.approx([0.0, 2.0, -0.5, 0.0])


def test_one_sided_clip_leaves_the_other_side_free():
    targets = policy_targets([1.0, -1.0], old=[math.log(0.25), math.log(0.5)])
    policy = PolicyGradient(clip_high=0.3)
    logprobs = [math.log(0.5), math.log(0.25)]
    assert value("policy_gradient", targets, policy, logprobs) == pytest.approx([-1.3, 0.5])


def test_kl_is_the_k3_estimate():
    targets = policy_targets([0.0], old=None, reference=[math.log(0.25)])
    policy = PolicyGradient(kl_coefficient=0.1)
    # 0.25/0.5 - log(0.25/0.5) - 1 = 0.5 + 0.693147 - 1
    assert value("policy_gradient", targets, policy, [HALF]) == pytest.approx([0.01931472])
    assert slope("policy_gradient", targets, policy, [HALF]) == pytest.approx([0.1 * (1 - 0.5)])


def test_scores_and_gradients_of_a_hand_made_head(tiny_model: Factory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loss, "CHUNK_BYTES", {"cpu": 1})  # one row per chunk
    model = tiny_model(split_head=False)  # features are logits
    logits_PV = torch.full((2, 97), -1e30)
    logits_PV[0, :2] = torch.tensor([0.0, math.log(3.0)])  # probabilities 1/4, 3/4
    logits_PV[1, 5:9] = 1.0  # four times 1/4
    targets = Targets(torch.tensor([1, 5]), {"ce": torch.tensor([1.0, 2.0]), "dft": torch.tensor([0.0, 1.0])})
    normalizers = {"ce": 4.0, "dft": 0.5}
    scores, gradient = backward_head(model, logits_PV, targets, normalizers, PolicyGradient(), entropy=True)
    assert scores.logprobs_P.tolist() == pytest.approx([math.log(0.75), math.log(0.25)])
    assert scores.entropy_P is not None
    assert scores.entropy_P.tolist() == pytest.approx([0.5623351, math.log(4)])
    assert scores.losses_KP is not None
    assert scores.losses_KP.flatten().tolist() == pytest.approx([0.2876821, 2.7725887, 0.0, 0.3465736])
    # slopes: -1/4 and -2/4 - 0.25/0.5 = -1; times (onehot - softmax)
    assert gradient[0, :3].tolist() == pytest.approx([0.25 * 0.25, -0.25 * 0.25, 0.0])
    assert gradient[1, 4:10].tolist() == pytest.approx([0.0, -0.75, 0.25, 0.25, 0.25, 0.0])


@pytest.mark.parametrize("rows", [1, 3, 10, 50])
def test_the_size_of_a_chunk_changes_nothing_but_rounding(
    tiny_model: Factory, monkeypatch: pytest.MonkeyPatch, rows: int
):
    model = tiny_model()
    monkeypatch.setattr(loss, "CHUNK_BYTES", {"cpu": rows * 4 * 97})
    features_PD = torch.randn(10, 32, generator=torch.Generator().manual_seed(1))
    ids_P = torch.arange(10)
    weight = cast(torch.nn.Linear, model.causal_lm.get_output_embeddings()).weight
    expected = torch.log_softmax(features_PD @ weight.detach().T, -1)
    scores = score_head(model, features_PD, ids_P, entropy=True)
    torch.testing.assert_close(scores.logprobs_P, expected[ids_P, ids_P])
    torch.testing.assert_close(scores.entropy_P, -(expected.exp() * expected).sum(-1))
    backward_head(
        model,
        features_PD,
        Targets(ids_P, {"ce": torch.ones(10)}),
        {"ce": 1.0},
        PolicyGradient(),
        entropy=False,
    )
    slope_PV = expected.exp() - torch.eye(97)[:10]
    torch.testing.assert_close(weight.grad, slope_PV.T @ features_PD, rtol=1e-4, atol=1e-5)
