"""Accumulates the gradients of weighted token losses, micro-batch by micro-batch.

Shapes: N ragged tokens of all sequences, P tokens of a micro-batch that have a predecessor, D features, K components.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from py_worker.batch import MicroBatch, collate, most_spans, plan_micro_batches, spans_of
from py_worker.errors import WorkerError, is_out_of_memory
from py_worker.loss import Objective, PolicyGradient, Targets, TokenScores
from py_worker.model import Check, Model, mode
from py_worker.network import Inputs, Network, Tokens
from py_worker.protocol import ComponentSums
from py_worker.sequences import (
    WeightedSequences,
    locate,
    require_candidates,
    validate_sequences,
    validate_weights,
)
from py_worker.token_budget import LEAST_TOKENS, free_memory
from py_worker.transfer import to_device, to_host
from py_worker.varlen import Spans

NOTHING = ComponentSums(loss_sum=0.0, weight_sum=0.0, token_count=0)


@dataclass(frozen=True)
class GradientOptions:
    """Settings of one accumulation that do not belong to single tokens."""

    policy: PolicyGradient = field(default_factory=PolicyGradient)
    dropout_seed: int | None = None
    """None: dropout draws from the process-wide generator."""
    logprobs: bool = False
    """Report log-probabilities of all tokens, under dropout where the model has some."""
    entropy: bool = False
    is_reverse: bool = False
    """Of ``match``: KL(model‖given), not KL(given‖model)."""


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

    Memory that runs out halves a token budget that nobody asked for, where no earlier gradients would be lost.
    Raises WorkerError BAD_PARAMS before anything is computed, or NON_FINITE with the index of the sequence. Whenever it
    raises after that, all gradients are cleared, those of earlier calls too: a partial sum must never reach a step.
    """
    lengths = validate_sequences(model, batch.ids, batch.offsets)
    validate_weights(batch, normalizers)
    require_candidates(batch, model.vocab_size)
    if options.policy.kl_coefficient != 0.0 and batch.reference_logprobs is None:
        why = "kl_coefficient is not 0, so reference_logprobs are needed, one per token"
        raise WorkerError("BAD_PARAMS", why)
    is_first = all(parameter.grad is None for parameter in model.network.trainable().values())
    while True:
        try:
            return _accumulate(model, batch, lengths, normalizers, options, check)
        except BaseException as error:
            model.network.clear_gradients()
            can_halve = is_first and model.may_halve_budget and model.token_budget > LEAST_TOKENS
            if not (can_halve and is_out_of_memory(error)):
                raise
        _halve_budget(model)  # here the error, and with it what it held, is gone


def _halve_budget(model: Model) -> None:
    model.token_budget //= 2
    model.notes.append(f"Memory ran out: micro-batches have {model.token_budget} tokens from now on.")
    free_memory()


def _accumulate(
    model: Model,
    batch: WeightedSequences,
    lengths: np.ndarray,
    normalizers: dict[str, float],
    options: GradientOptions,
    check: Check,
) -> GradientReport:
    report = GradientReport(dict.fromkeys(batch.weights, NOTHING))
    if options.logprobs:
        report.logprobs = np.zeros(len(batch.ids), dtype=np.float32)
    if options.entropy:
        report.entropy = np.zeros(len(batch.ids), dtype=np.float32)
    plan = _plan(model, batch, lengths, options)
    report.micro_batches = len(plan)
    objective = Objective(normalizers, options.policy, options.is_reverse, options.entropy)
    found: list[tuple[np.ndarray, TokenScores]] = []
    with mode(model, training=True):
        for index, work in enumerate(_prepare(model, batch, plan, options)):
            check()
            with _dropout_seed(model, options.dropout_seed, index):
                found += _run(model.network, work, objective)
            report.useful_tokens += work.useful_tokens
            report.padded_tokens += work.inputs.ids_BT.numel()
    _record(batch, found, report)
    return report


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


@dataclass(frozen=True)
class _Work:
    """A micro-batch on the device; tokens by their ragged index."""

    inputs: Inputs
    tokens: np.ndarray
    weighted: Tokens
    targets: Targets
    rest_tokens: np.ndarray
    rest: Tokens
    useful_tokens: int


def _prepare(
    model: Model, batch: WeightedSequences, plan: list[MicroBatch], options: GradientOptions
) -> list[_Work]:
    """Lay out all micro-batches of a request, and bring them to the device at once."""
    parts = [collate(micro_batch, batch.ids, batch.offsets) for micro_batch in plan]
    spans = [spans_of(part, batch.offsets, most_spans(plan)) for part in plan] if model.varlen else []
    is_weighted_N = _is_weighted(batch)
    chosen, arrays = [], []
    for part in parts:
        weighted_P = is_weighted_N[part.predicted_P]
        rest_P = ~weighted_P if options.logprobs or options.entropy else np.zeros_like(weighted_P)
        tokens, rest_tokens = part.predicted_P[weighted_P], part.predicted_P[rest_P]
        chosen.append((tokens, rest_tokens))
        arrays.append([part.ids_BT, *([] if part.position_ids_BT is None else [part.position_ids_BT])])
        for of, which_P in ((tokens, weighted_P), (rest_tokens, rest_P)):
            arrays[-1] += [part.predictor_slots_P[which_P], batch.ids[of].astype(np.int64)]
        arrays[-1] += [values_N[tokens].astype(np.float32) for values_N in _values(batch)]
        arrays[-1] += _candidates_at(batch, tokens)
    bounds = [bounds for bounds, _ in spans]
    sent = iter(to_device([*bounds, *(array for group in arrays for array in group)], model.device))
    told = [Spans(next(sent), longest) for _, longest in spans] or [None] * len(parts)
    works = []
    for part, named, (tokens, rest_tokens) in zip(parts, told, chosen, strict=True):
        ids_BT = next(sent)
        inputs = Inputs(ids_BT, None if part.position_ids_BT is None else next(sent), spans=named)
        weighted, rest = Tokens(next(sent), next(sent)), Tokens(next(sent), next(sent))
        targets = _targets(batch, weighted, sent)
        works.append(_Work(inputs, tokens, weighted, targets, rest_tokens, rest, len(part.tokens_R)))
    return works


def _values(batch: WeightedSequences) -> list[np.ndarray]:
    """Return what is there per token, in the order of ``_targets``."""
    others = (batch.advantages, batch.old_logprobs, batch.reference_logprobs)
    return [*batch.weights.values(), *(values_N for values_N in others if values_N is not None)]


def _candidates_at(batch: WeightedSequences, tokens: np.ndarray) -> list[np.ndarray]:
    """Return candidates of some tokens and what is given of them; zeros for tokens without a weight, which may hold anything."""
    if batch.candidates is None or batch.given is None:
        return []
    is_weighted = batch.weights["match"][tokens, None] != 0
    candidates = np.where(is_weighted, batch.candidates[tokens], 0).astype(np.int64)
    return [candidates, np.where(is_weighted, batch.given[tokens], 0.0).astype(np.float32)]


def _targets(batch: WeightedSequences, tokens: Tokens, sent: Iterator[torch.Tensor]) -> Targets:
    weights = {component: next(sent) for component in batch.weights}
    others = (batch.advantages, batch.old_logprobs, batch.reference_logprobs)
    values = [None if values_N is None else next(sent) for values_N in others]
    candidates = [None, None] if batch.candidates is None else [next(sent), next(sent)]
    return Targets(tokens.ids_P, weights, *values, *candidates)


def _run(network: Network, work: _Work, objective: Objective) -> list[tuple[np.ndarray, TokenScores]]:
    """Add the gradients of one micro-batch; return what it found, still on the device."""
    if not len(work.tokens):
        scores = network.token_logprobs(work.inputs, work.rest, entropy=objective.entropy)
        return [(work.rest_tokens, scores)]
    loss, scores, rest = network.token_losses(work.inputs, work.weighted, work.targets, objective, work.rest)
    loss.backward()
    return [(work.tokens, scores), (work.rest_tokens, rest)]


def _record(
    batch: WeightedSequences, found: list[tuple[np.ndarray, TokenScores]], report: GradientReport
) -> None:
    """Read the values of all micro-batches: the one wait for the device in a request."""
    tensors = [
        tensor
        for _, scores in found
        for tensor in (scores.logprobs_P, scores.entropy_P, scores.losses_KP)
        if tensor is not None
    ]
    arrays = iter(to_host(tensors))
    for tokens, scores in found:
        logprobs_P = next(arrays)
        entropy_P = None if scores.entropy_P is None else next(arrays)
        if report.logprobs is not None:
            report.logprobs[tokens] = logprobs_P
        if report.entropy is not None and entropy_P is not None:
            report.entropy[tokens] = entropy_P
        if scores.losses_KP is not None:
            _record_losses(batch, tokens, next(arrays), report)


def _record_losses(
    batch: WeightedSequences, tokens: np.ndarray, losses_KP: np.ndarray, report: GradientReport
) -> None:
    if not np.isfinite(losses_KP).all():
        sequence, token = locate(batch.offsets, int(tokens[np.argmax(~np.isfinite(losses_KP).all(axis=0))]))
        raise WorkerError(
            "NON_FINITE",
            f"loss of token {token} of sequence {sequence} is not finite; all gradients are cleared",
            {"sequence": sequence, "token": token},
        )
    for (component, weights_N), losses_P in zip(batch.weights.items(), losses_KP, strict=True):
        before = report.components[component]
        report.components[component] = ComponentSums(
            loss_sum=before.loss_sum + float(losses_P.sum(dtype=np.float64)),
            weight_sum=before.weight_sum + float(weights_N[tokens].sum(dtype=np.float64)),
            token_count=before.token_count + int(np.count_nonzero(weights_N[tokens])),
        )


def _is_weighted(batch: WeightedSequences) -> np.ndarray:
    return np.any([weights_N != 0 for weights_N in batch.weights.values()], axis=0)


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
