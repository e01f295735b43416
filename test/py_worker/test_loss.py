from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from conftest import SHAPE
from transformers import LlamaConfig, LlamaForCausalLM

from py_worker import head
from py_worker.head import Finish, Head
from py_worker.loss import Objective, PolicyGradient, Targets, component_loss, match_loss
from py_worker.network import Inputs, Network, Tokens

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


def test_match_is_the_divergence_over_candidates_and_the_rest():
    given_CJ = torch.tensor([[0.5, 0.3]]).log()  # 0.2 for all others
    for is_reverse, loss, slopes in (
        # .5 ln 2 + .3 ln 1.2 + .2 ln .4; slopes -p + (.2/.5)·q
        (False, 0.2180120, [-0.4, -0.2]),
        # .25 ln .5 + .25 ln (.25/.3) + .5 ln 2.5; slopes q·(ln (q/p) - ln 2.5)
        (True, 0.2392782, [-0.4023595, -0.2746533]),
    ):
        logprobs_CJ = torch.tensor([[0.25, 0.25]]).log().requires_grad_()
        found_C = match_loss(logprobs_CJ, given_CJ, is_reverse=is_reverse, has_rest=True)
        (slope_CJ,) = torch.autograd.grad(found_C.sum(), logprobs_CJ)
        assert found_C.tolist() == pytest.approx([loss], abs=1e-6)
        assert slope_CJ.tolist()[0] == pytest.approx(slopes, abs=1e-6)


def test_match_over_the_whole_vocabulary_is_the_whole_divergence():
    logits_PV = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    given_PV = torch.log_softmax(torch.randn(4, 6, generator=torch.Generator().manual_seed(1)), -1)
    layer = torch.nn.Linear(6, 6, bias=False)
    layer.weight.data = torch.eye(6)
    all_ids_PV = torch.arange(6).flip(0).expand(4, 6)
    targets = Targets(
        torch.zeros(4, dtype=torch.int64),
        {"match": torch.ones(4)},
        candidates_PJ=all_ids_PV,
        given_PJ=given_PV.gather(1, all_ids_PV),
    )
    loss, _ = Head(layer).losses(logits_PV, targets, Objective({"match": 4.0}))
    expected = torch.nn.functional.kl_div(
        torch.log_softmax(logits_PV, -1), given_PV, log_target=True, reduction="batchmean"
    )
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    torch.testing.assert_close(
        torch.autograd.grad(loss, logits_PV)[0], torch.autograd.grad(expected, logits_PV)[0]
    )


def test_match_lets_nothing_below_a_float_through():
    """A certain token, given and found: no NaN of 0·log 0, and no gradient."""
    for is_reverse in (False, True):
        logprobs_CJ = torch.tensor([[0.0, -torch.inf]]).requires_grad_()
        found_C = match_loss(logprobs_CJ, torch.tensor([[0.0, -90.0]]), is_reverse=is_reverse, has_rest=True)
        (slope_CJ,) = torch.autograd.grad(found_C.sum(), logprobs_CJ)
        assert found_C.tolist() == pytest.approx([0.0], abs=1e-6)
        assert slope_CJ[0, 1] == 0
        assert torch.isfinite(slope_CJ).all()


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


def test_scores_and_gradients_of_a_hand_made_head(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(head, "CHUNK_BYTES", {"cpu": 1})  # one row per chunk
    layer = torch.nn.Linear(97, 97, bias=False)
    layer.weight.data = torch.eye(97)  # features are logits
    logits_PV = torch.full((2, 97), -1e30)
    logits_PV[0, :2] = torch.tensor([0.0, math.log(3.0)])  # probabilities 1/4, 3/4
    logits_PV[1, 5:9] = 1.0  # four times 1/4
    logits_PV.requires_grad_()
    targets = Targets(torch.tensor([1, 5]), {"ce": torch.tensor([1.0, 2.0]), "dft": torch.tensor([0.0, 1.0])})
    objective = Objective({"ce": 4.0, "dft": 0.5}, entropy=True)
    loss, scores = Head(layer).losses(logits_PV, targets, objective)
    loss.backward()
    assert scores.logprobs_P.tolist() == pytest.approx([math.log(0.75), math.log(0.25)])
    assert scores.entropy_P is not None
    assert scores.entropy_P.tolist() == pytest.approx([0.5623351, math.log(4)])
    assert scores.losses_KP is not None
    assert scores.losses_KP.flatten().tolist() == pytest.approx([0.2876821, 2.7725887, 0.0, 0.3465736])
    assert loss.item() == pytest.approx((0.2876821 + 2.7725887) / 4 + 0.3465736 / 0.5)
    gradient = logits_PV.grad
    assert gradient is not None
    # slopes: -1/4 and -2/4 - 0.25/0.5 = -1; times (onehot - softmax)
    assert gradient[0, :3].tolist() == pytest.approx([0.25 * 0.25, -0.25 * 0.25, 0.0])
    assert gradient[1, 4:10].tolist() == pytest.approx([0.0, -0.75, 0.25, 0.25, 0.25, 0.0])


@pytest.mark.parametrize("rows", [1, 3, 10, 50])
def test_the_size_of_a_chunk_changes_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch, rows: int):
    monkeypatch.setattr(head, "CHUNK_BYTES", {"cpu": rows * 4 * 97})
    torch.manual_seed(1)
    layer, features_PD, ids_P = torch.nn.Linear(32, 97, bias=False), torch.randn(10, 32), torch.arange(10)
    expected = torch.log_softmax(features_PD @ layer.weight.detach().T, -1)
    scores = Head(layer).score(features_PD, ids_P, entropy=True)
    torch.testing.assert_close(scores.logprobs_P, expected[ids_P, ids_P])
    torch.testing.assert_close(scores.entropy_P, -(expected.exp() * expected).sum(-1))
    Head(layer).losses(features_PD, Targets(ids_P, {"ce": torch.ones(10)}), Objective({"ce": 1.0}))[
        0
    ].backward()
    slope_PV = expected.exp() - torch.eye(97)[:10]
    torch.testing.assert_close(layer.weight.grad, slope_PV.T @ features_PD, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("finish", [Finish(0.25), Finish(cap=3.0), Finish(2.0, 3.0)])
@pytest.mark.parametrize("is_traced", [False, True])
def test_gradients_through_what_a_model_does_to_its_logits(finish: Finish, is_traced: bool):
    torch.manual_seed(1)
    layer, features_PD, ids_P = (
        torch.nn.Linear(16, 23),
        torch.randn(9, 16, requires_grad=True),
        torch.arange(9),
    )
    wanted = [features_PD, layer.weight, layer.bias]
    logits_PV = layer(features_PD) * finish.scale
    if finish.cap is not None:
        logits_PV = finish.cap * torch.tanh(logits_PV / finish.cap)
    expected = torch.autograd.grad(torch.nn.functional.cross_entropy(logits_PV, ids_P), wanted)
    whole = (lambda features_CD: finish(layer(features_CD))) if is_traced else None
    tried = Head(layer, finish, whole)
    loss, _ = tried.losses(features_PD, Targets(ids_P, {"ce": torch.ones(9)}), Objective({"ce": 9.0}))
    for found, gradient in zip(torch.autograd.grad(2 * loss, wanted), expected, strict=True):
        torch.testing.assert_close(found, 2 * gradient)


class Rooted(LlamaForCausalLM):
    """Does to its logits what nobody foresaw."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output: Any = super().forward(*args, **kwargs)
        output.logits = output.logits.sign() * output.logits.abs().sqrt() + self.lm_head.weight[:, 0]
        return output


def test_an_unknown_function_behind_the_head_is_run_as_the_model_has_it():
    torch.manual_seed(0)
    causal_lm = Rooted(LlamaConfig(**SHAPE, initializer_range=0.2)).eval()
    network = Network(causal_lm, causal_lm, torch.float32)
    network.find_head(97)
    ids_BT, weights = torch.arange(12).reshape(2, 6), {"ce": torch.ones(10)}
    slots_P = torch.tensor([0, 1, 2, 3, 4, 6, 7, 8, 9, 10])
    plain = causal_lm(input_ids=ids_BT).logits
    assert torch.equal(network.next_logits(Inputs(ids_BT)), plain.flatten(0, 1))
    torch.nn.functional.cross_entropy(plain.flatten(0, 1)[slots_P], slots_P + 1).backward()
    expected = {name: parameter.grad for name, parameter in causal_lm.named_parameters()}
    causal_lm.zero_grad()
    tokens, none = Tokens(slots_P, slots_P + 1), Tokens(slots_P[:0], slots_P[:0])
    targets, objective = Targets(slots_P + 1, weights), Objective({"ce": 10})
    loss, *_ = network.token_losses(Inputs(ids_BT), tokens, targets, objective, none)
    loss.backward()
    for name, parameter in causal_lm.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)
