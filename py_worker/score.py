"""Log-probabilities and entropies of given sequences. N ragged tokens, P predicted tokens of a micro-batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from py_worker.batch import Pass, collate, most_spans, plan_micro_batches, spans_of
from py_worker.contexts import grow_trees, passes_of, probe_trees, tree_masks
from py_worker.model import Check, Model, mode
from py_worker.network import Inputs, Tokens
from py_worker.sequences import asked_tokens, validate_sequences
from py_worker.transfer import to_device, to_host
from py_worker.varlen import Spans


@dataclass
class Top:
    """The likeliest ids in the place of each token, filled in by ``score``: J, or the whole vocabulary where that is less."""

    count: int
    ids: np.ndarray | None = None
    """int32 [N, J]; 0 at the first token of each sequence."""
    logprobs: np.ndarray | None = None


@dataclass
class Divergence:
    """How far the distributions in the place of each token are from those of other weights, filled in by ``score``."""

    other: Callable[[], AbstractContextManager[Any]]
    """Lets the network compute with the other weights."""
    to_other: np.ndarray | None = None
    """float32 [N] KL(model‖other) over the vocabulary; 0 at the first token of each sequence."""
    from_other: np.ndarray | None = None


@torch.inference_mode()
def score(
    model: Model,
    ids: np.ndarray,
    offsets: np.ndarray,
    entropy: bool,
    check: Check,
    *,
    top: Top | None = None,
    divergence: Divergence | None = None,
    starts: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return float32 [N] log-probabilities, and entropies (nats) if asked for; 0 at the first token of each sequence.

    With ``starts`` [n] only of the tokens from there on, 0 before; neighbours that are equal up to there go through the model as one, which
    may round otherwise. Raises WorkerError BAD_PARAMS for sequences that the model cannot take.
    """
    lengths = validate_sequences(model, ids, offsets)
    logprobs_N = np.zeros(len(ids), dtype=np.float32)
    entropy_N = np.zeros(len(ids), dtype=np.float32) if entropy else None
    top = top or Top(0)
    if top.count > 0:
        shape = (len(ids), min(top.count, model.vocab_size))
        top.ids, top.logprobs = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    found, distances = [], []
    with mode(model, training=False):
        passes = _passes(model, ids, offsets, lengths, starts)
        for inputs, tokens in _sent(model, passes, ids):
            check()
            found.append(model.network.token_logprobs(inputs, tokens, entropy=entropy, top=top.count))
            if divergence is not None:
                distances.append(model.network.divergences(inputs, tokens, divergence.other))
    values = [
        score for scores in found for score in (scores.logprobs_P, scores.entropy_P) if score is not None
    ]
    arrays = iter(to_host(values))
    for part in passes:
        logprobs_N[part.predicted_P] = next(arrays)
        if entropy_N is not None:
            entropy_N[part.predicted_P] = next(arrays)
    if divergence is not None:
        divergence.to_other, divergence.from_other = np.zeros_like(logprobs_N), np.zeros_like(logprobs_N)
        for part, (to_P, from_P) in zip(passes, distances, strict=True):
            divergence.to_other[part.predicted_P] = to_P.cpu().numpy()
            divergence.from_other[part.predicted_P] = from_P.cpu().numpy()
    if top.ids is not None and top.logprobs is not None:
        for part, scores in zip(passes, found, strict=True):
            assert scores.top_ids_PJ is not None
            assert scores.top_logprobs_PJ is not None
            top.ids[part.predicted_P] = scores.top_ids_PJ.cpu().numpy()
            top.logprobs[part.predicted_P] = scores.top_logprobs_PJ.cpu().numpy()
    return logprobs_N, entropy_N


def _passes(
    model: Model, ids: np.ndarray, offsets: np.ndarray, lengths: np.ndarray, starts: np.ndarray | None
) -> list[Pass]:
    """Return the passes that bring all that is asked for."""
    sequences = np.arange(len(lengths))
    if starts is None:
        return _whole(model, ids, offsets, sequences, np.ones(len(ids), bool))
    is_asked_N = asked_tokens(starts, lengths)
    if model.has_trees is None:
        model.has_trees = probe_trees(model)
    if not model.has_trees:
        return _whole(model, ids, offsets, sequences, is_asked_N)
    trees, alone = grow_trees(model, ids, offsets, starts)
    passes = [part for part in passes_of(model, trees, ids) if len(part.predicted_P)]
    return passes + _whole(model, ids, offsets, np.array(alone, np.int64), is_asked_N)


def _whole(
    model: Model, ids: np.ndarray, offsets: np.ndarray, sequences: np.ndarray, is_asked_N: np.ndarray
) -> list[Pass]:
    """Return passes of ``sequences`` as they are."""
    plan = plan_micro_batches(model, np.diff(offsets), sequences)
    count = most_spans(plan) if model.varlen and plan else 0
    passes = []
    for part in plan:
        rows = collate(part, ids, offsets)
        is_asked_P = is_asked_N[rows.predicted_P]
        asked = (rows.predicted_P[is_asked_P], rows.predictor_slots_P[is_asked_P])
        spans = spans_of(part, offsets, count) if model.varlen else None
        if len(asked[0]):
            passes.append(Pass(rows.ids_BT, rows.position_ids_BT, *asked, spans=spans))
    return passes


def _sent(model: Model, passes: list[Pass], ids: np.ndarray) -> Iterator[tuple[Inputs, Tokens]]:
    """Bring all passes to the device at once."""
    arrays: list[np.ndarray] = []
    for part in passes:
        arrays += [part.ids_BT, part.predictor_slots_P, ids[part.predicted_P].astype(np.int64)]
        given = (part.position_ids_BT, part.branches_BT, part.spans and part.spans[0])
        arrays += [array for array in given if array is not None]
    sent = iter(to_device(arrays, model.device))
    for part in passes:
        ids_BT, tokens = next(sent), Tokens(next(sent), next(sent))
        positions_BT = None if part.position_ids_BT is None else next(sent)
        branches_BT = None if part.branches_BT is None else next(sent)
        spans = None if part.spans is None else Spans(next(sent), part.spans[1])
        masks = None
        if positions_BT is not None and branches_BT is not None:
            masks = tree_masks(model, positions_BT, branches_BT)
        yield Inputs(ids_BT, positions_BT, masks, spans=spans), tokens
