"""Log-probabilities and entropies of given sequences. N ragged tokens, P predicted tokens of a micro-batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from py_worker.batch import Collated, collate, most_spans, plan_micro_batches, spans_of
from py_worker.model import Check, Model, mode
from py_worker.network import Inputs, Tokens
from py_worker.sequences import validate_sequences
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
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return float32 [N] log-probabilities, and entropies (nats) if asked for; 0 at the first token of each sequence.

    Raises WorkerError BAD_PARAMS for sequences that the model cannot take.
    """
    lengths = validate_sequences(model, ids, offsets)
    logprobs_N = np.zeros(len(ids), dtype=np.float32)
    entropy_N = np.zeros(len(ids), dtype=np.float32) if entropy else None
    top = top or Top(0)
    if top.count > 0:
        shape = (len(ids), min(top.count, model.vocab_size))
        top.ids, top.logprobs = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    plan = plan_micro_batches(model, lengths)
    collated = [(one, collate(one, ids, offsets)) for one in plan]
    parts = [part for _, part in collated if len(part.predicted_P)]
    rows = [one for one, part in collated if len(part.predicted_P)]
    spans = [spans_of(one, offsets, most_spans(plan)) for one in rows] if model.varlen else []
    found, distances = [], []
    with mode(model, training=False):
        for part, inputs, tokens in _sent(model, parts, spans, ids):
            check()
            found.append((part, model.network.token_logprobs(inputs, tokens, entropy=entropy, top=top.count)))
            if divergence is not None:
                distances.append(model.network.divergences(inputs, tokens, divergence.other))
    values = [
        score for _, scores in found for score in (scores.logprobs_P, scores.entropy_P) if score is not None
    ]
    arrays = iter(to_host(values))
    for part, _ in found:
        logprobs_N[part.predicted_P] = next(arrays)
        if entropy_N is not None:
            entropy_N[part.predicted_P] = next(arrays)
    if divergence is not None:
        divergence.to_other, divergence.from_other = np.zeros_like(logprobs_N), np.zeros_like(logprobs_N)
        for part, (to_P, from_P) in zip(parts, distances, strict=True):
            divergence.to_other[part.predicted_P] = to_P.cpu().numpy()
            divergence.from_other[part.predicted_P] = from_P.cpu().numpy()
    if top.ids is not None and top.logprobs is not None:
        for part, scores in found:
            assert scores.top_ids_PJ is not None
            assert scores.top_logprobs_PJ is not None
            top.ids[part.predicted_P] = scores.top_ids_PJ.cpu().numpy()
            top.logprobs[part.predicted_P] = scores.top_logprobs_PJ.cpu().numpy()
    return logprobs_N, entropy_N


def _sent(
    model: Model, parts: list[Collated], spans: list[tuple[np.ndarray, int]], ids: np.ndarray
) -> Iterator[tuple[Collated, Inputs, Tokens]]:
    """Bring all micro-batches to the device at once."""
    arrays = [bounds for bounds, _ in spans]
    for part in parts:
        arrays += [part.ids_BT, part.predictor_slots_P, ids[part.predicted_P].astype(np.int64)]
        arrays += [] if part.position_ids_BT is None else [part.position_ids_BT]
    sent = iter(to_device(arrays, model.device))
    told = [Spans(next(sent), longest) for _, longest in spans] or [None] * len(parts)
    for part, named in zip(parts, told, strict=True):
        ids_BT, tokens = next(sent), Tokens(next(sent), next(sent))
        positions = None if part.position_ids_BT is None else next(sent)
        yield part, Inputs(ids_BT, positions, spans=named), tokens
