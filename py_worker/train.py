"""Accumulates the gradients of weighted token losses, micro-batch by micro-batch.

Shapes: N ragged tokens of all sequences, P tokens of a micro-batch that have a predecessor, D features, K components.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from py_worker.batch import Collated, MicroBatch, collate, plan_micro_batches
from py_worker.errors import WorkerError
from py_worker.loss import Objective, PolicyGradient, Targets, TokenScores
from py_worker.model import Check, Model, mode
from py_worker.network import Tokens
from py_worker.sequences import WeightedSequences, locate, validate_sequences, validate_weights


@dataclass(frozen=True)
class GradientOptions:
    """Settings of one accumulation that do not belong to single tokens."""

    policy: PolicyGradient = field(default_factory=PolicyGradient)
    dropout_seed: int | None = None
    """None: dropout draws from the process-wide generator."""
    logprobs: bool = False
    """Report log-probabilities of all tokens, under dropout where the model has some."""
    entropy: bool = False


@dataclass
class ComponentSums:
    """Sums over the tokens with a nonzero weight; ``loss_sum`` is weighted and not divided by the normaliser."""

    loss_sum: float = 0.0
    weight_sum: float = 0.0
    token_count: int = 0


@dataclass
class GradientReport:
    """What one accumulation did; sequences without any weight are skipped unless per-token values are asked for."""

    components: dict[str, ComponentSums]
    useful_tokens: int = 0
    padded_tokens: int = 0
    """Slots that went through the model, useful ones included."""
    micro_batches: int = 0
    logprobs: np.ndarray | None = None
    """float32 [N]; 0 at the first token of each sequence."""
    entropy: np.ndarray | None = None


def accumulate_gradients(
    model: Model,
    batch: WeightedSequences,
    normalizers: dict[str, float],
    options: GradientOptions,
    check: Check,
) -> GradientReport:
    """Add the gradient of sum over components of (weighted loss sum / normaliser) to the parameters' gradients.

    Raises WorkerError BAD_PARAMS before anything is computed, or NON_FINITE with the index of the sequence. Whenever it
    raises after that, all gradients are cleared, those of earlier calls too: a partial sum must never reach a step.
    """
    lengths = validate_sequences(model, batch.ids, batch.offsets)
    validate_weights(batch, normalizers)
    if options.policy.kl_coefficient != 0.0 and batch.reference_logprobs is None:
        raise WorkerError(
            "BAD_PARAMS", "kl_coefficient is not 0, so reference_logprobs are needed, one per token"
        )
    report = GradientReport({component: ComponentSums() for component in batch.weights})
    if options.logprobs:
        report.logprobs = np.zeros(len(batch.ids), dtype=np.float32)
    if options.entropy:
        report.entropy = np.zeros(len(batch.ids), dtype=np.float32)
    try:
        with mode(model, training=True):
            for index, micro_batch in enumerate(_plan(model, batch, lengths, options)):
                check()
                with _dropout_seed(model, options.dropout_seed, index):
                    _accumulate(model, batch, normalizers, options, micro_batch, report)
    except BaseException:
        clear_gradients(model)
        raise
    return report


def clear_gradients(model: Model) -> None:
    """Set every gradient to None, so that a step without a new gradient would move nothing."""
    model.network.clear_gradients()


def _plan(
    model: Model, batch: WeightedSequences, lengths: np.ndarray, options: GradientOptions
) -> list[MicroBatch]:
    if options.logprobs or options.entropy:
        return plan_micro_batches(model, lengths)
    weighted = np.flatnonzero(np.add.reduceat(_is_weighted(batch), batch.offsets[:-1], dtype=np.int64))
    plan = plan_micro_batches(model, lengths[weighted])
    return [
        MicroBatch(tuple(int(weighted[i]) for i in part.sequences), part.rows, part.width) for part in plan
    ]


def _accumulate(
    model: Model,
    batch: WeightedSequences,
    normalizers: dict[str, float],
    options: GradientOptions,
    micro_batch: MicroBatch,
    report: GradientReport,
) -> None:
    collated = collate(micro_batch, batch.ids, batch.offsets, model.device)
    weighted_P = _is_weighted(batch)[collated.predicted_P]
    rest_P = ~weighted_P if options.logprobs or options.entropy else np.zeros_like(weighted_P)
    tokens, weighted = _tokens(model, batch, collated, weighted_P)
    rest_tokens, rest = _tokens(model, batch, collated, rest_P)
    if len(tokens):
        objective = Objective(normalizers, options.policy, options.entropy)
        loss, scores, rest_scores = model.network.token_losses(
            collated.inputs, weighted, _targets(model, batch, tokens), objective, rest
        )
        loss.backward()
        _record_losses(batch, tokens, scores, report)
        _record_tokens(tokens, scores, report)
    else:
        rest_scores = model.network.token_logprobs(collated.inputs, rest, entropy=options.entropy)
    _record_tokens(rest_tokens, rest_scores, report)
    report.useful_tokens += len(collated.tokens_R)
    report.padded_tokens += collated.inputs.ids_BT.numel()
    report.micro_batches += 1


def _tokens(
    model: Model, batch: WeightedSequences, collated: Collated, which_P: np.ndarray
) -> tuple[np.ndarray, Tokens]:
    """Return some of the predicted tokens by their ragged index, and as the network wants them."""
    tokens = collated.predicted_P[which_P]
    return tokens, Tokens(
        _index(model, collated.predictor_slots_P[which_P]), _index(model, batch.ids[tokens])
    )


def _targets(model: Model, batch: WeightedSequences, tokens: np.ndarray) -> Targets:
    def floats(values_N: np.ndarray | None) -> torch.Tensor | None:
        if values_N is None:
            return None
        return torch.from_numpy(values_N[tokens].astype(np.float32)).to(model.device)

    weights = {component: floats(weights_N) for component, weights_N in batch.weights.items()}
    return Targets(
        _index(model, batch.ids[tokens]),
        {component: weights_P for component, weights_P in weights.items() if weights_P is not None},
        floats(batch.advantages),
        floats(batch.old_logprobs),
        floats(batch.reference_logprobs),
    )


def _record_losses(
    batch: WeightedSequences, tokens: np.ndarray, scores: TokenScores, report: GradientReport
) -> None:
    assert scores.losses_KP is not None
    losses_KP = scores.losses_KP.cpu().numpy()  # the one wait for the device in a micro-batch
    if not np.isfinite(losses_KP).all():
        sequence, token = locate(batch.offsets, int(tokens[np.argmax(~np.isfinite(losses_KP).all(axis=0))]))
        raise WorkerError(
            "NON_FINITE",
            f"loss of token {token} of sequence {sequence} is not finite; all gradients are cleared",
            {"sequence": sequence, "token": token},
        )
    for (component, weights_N), losses_P in zip(batch.weights.items(), losses_KP, strict=True):
        sums = report.components[component]
        sums.loss_sum += float(losses_P.sum(dtype=np.float64))
        sums.weight_sum += float(weights_N[tokens].sum(dtype=np.float64))
        sums.token_count += int(np.count_nonzero(weights_N[tokens]))


def _record_tokens(tokens: np.ndarray, scores: TokenScores, report: GradientReport) -> None:
    if report.logprobs is not None:
        report.logprobs[tokens] = scores.logprobs_P.cpu().numpy()
    if report.entropy is not None and scores.entropy_P is not None:
        report.entropy[tokens] = scores.entropy_P.cpu().numpy()


def _is_weighted(batch: WeightedSequences) -> np.ndarray:
    return np.any([weights_N != 0 for weights_N in batch.weights.values()], axis=0)


def _index(model: Model, values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(model.device)


@contextmanager
def _dropout_seed(model: Model, seed: int | None, micro_batch: int) -> Iterator[None]:
    """Seed dropout of one micro-batch, and leave the process-wide generators as they were."""
    if seed is None:
        yield
        return
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(np.random.SeedSequence([seed, micro_batch]).generate_state(1, np.uint64)[0]))
        yield
