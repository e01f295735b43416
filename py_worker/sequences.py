"""Ragged sequences as they come from the client, and the border check of everything that belongs to their tokens.

``ids`` int32 [N] and ``offsets`` [n+1]: sequence i is ``ids[offsets[i]:offsets[i+1]]``. Per-token arrays are float32 [N], or [N, J]
of J candidates in the place of each token.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from py_worker.errors import WorkerError
from py_worker.model import Known

COMPONENTS = ("ce", "dft", "policy_gradient", "match")


@dataclass(frozen=True)
class WeightedSequences:
    """Sequences with what their losses need; a value stands at the token whose prediction it belongs to."""

    ids: np.ndarray
    offsets: np.ndarray
    weights: dict[str, np.ndarray]
    """Loss weight of each token in each component; 0 at the first token of a sequence."""
    advantages: np.ndarray | None = None
    old_logprobs: np.ndarray | None = None
    """Absent: the ratio is 1 in value and only its gradient counts."""
    reference_logprobs: np.ndarray | None = None
    candidates: np.ndarray | None = None
    """int32 [N, J]: different ids in the place of a token."""
    given: np.ndarray | None = None
    """Log-probability of each candidate in the distribution that ``match`` is about."""


def validate_sequences(model: Known, ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the lengths int64 [n] of the sequences; raise WorkerError BAD_PARAMS for what ``model`` cannot take."""
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(ids):
        raise WorkerError(
            "BAD_PARAMS",
            f"offsets must start at 0, end at the number of ids ({len(ids)}) and bound at least one sequence",
        )
    lengths = np.diff(np.asarray(offsets).astype(np.int64))
    if (lengths <= 0).any():
        sequence = int(np.argmax(lengths <= 0))
        raise _bad_token(
            f"sequence {sequence} has {lengths[sequence]} tokens; at least 1 is needed", sequence
        )
    if model.max_positions is not None and (lengths > model.max_positions).any():
        sequence = int(np.argmax(lengths > model.max_positions))
        found = f"sequence {sequence} has {lengths[sequence]} tokens"
        raise _bad_token(f"{found}; the model has {model.max_positions} positions: shorten it", sequence)
    outside_N = (ids < 0) | (ids >= model.vocab_size)
    if outside_N.any():
        sequence, token = locate(offsets, int(np.argmax(outside_N)))
        found = f"token {token} of sequence {sequence} has id {ids[np.argmax(outside_N)]}"
        raise _bad_token(f"{found}; the vocabulary has ids 0 to {model.vocab_size - 1}", sequence, token)
    return lengths


def asked_tokens(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Say of each token [N] whether it stands at or behind the start of its sequence; raise WorkerError BAD_PARAMS for a start without a token before it."""
    if starts.shape != lengths.shape:
        found = f"there are {len(starts)} starts for {len(lengths)} sequences"
        raise WorkerError("BAD_PARAMS", f"{found}; each needs one")
    bad = (starts < 1) | (starts > lengths)
    if bad.any():
        sequence = int(np.argmax(bad))
        found = f"sequence {sequence} starts at {starts[sequence]} and has {lengths[sequence]} tokens"
        raise _bad_token(f"{found}; a start from 1 to that number is needed", sequence)
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) >= np.repeat(ends - lengths + starts, lengths)


ROUNDING = 1e-3
"""How far the probabilities of candidates may sum beyond 1."""


def require_candidates(batch: WeightedSequences, vocab_size: int) -> None:
    """Raise WorkerError BAD_PARAMS where a candidate with a weight is no id, or stands twice in the place of one token."""
    if "match" not in batch.weights or batch.candidates is None:
        return
    places = np.flatnonzero(batch.weights["match"])
    candidates = np.sort(batch.candidates[places], axis=1)
    outside = ((candidates < 0) | (candidates >= vocab_size)).any(axis=1)
    twice = (np.diff(candidates, axis=1) == 0).any(axis=1)
    for bad, why in ((outside, f"the vocabulary has ids 0 to {vocab_size - 1}"), (twice, "one stands twice")):
        if bad.any():
            sequence, token = locate(batch.offsets, int(places[np.argmax(bad)]))
            found = f"targetIds of token {token} of sequence {sequence} cannot be: {why}"
            raise _bad_token(found, sequence, token)


def _validate_candidates(batch: WeightedSequences) -> None:
    candidates, given = batch.candidates, batch.given
    if candidates is None or given is None:
        raise WorkerError("BAD_PARAMS", "match needs targetIds and targetLogprobs, k a token")
    rows = len(batch.ids)
    if candidates.shape != given.shape or len(candidates) != rows or candidates.shape[1] == 0:
        found = f"targetIds have shape {candidates.shape}, targetLogprobs {given.shape}"
        raise WorkerError("BAD_PARAMS", f"{found}; both need [{rows}, k], k values a token")
    places = np.flatnonzero(batch.weights["match"])
    sums = np.exp(given[places].astype(np.float64)).sum(axis=1)
    bad = ~(np.isfinite(given[places]).all(axis=1) & (sums <= 1.0 + ROUNDING))
    if bad.any():
        sequence, token = locate(batch.offsets, int(places[np.argmax(bad)]))
        found = f"targetLogprobs of token {token} of sequence {sequence} sum to {sums[np.argmax(bad)]:.4g} as probabilities"
        raise _bad_token(f"{found}; finite ones of at most 1 together are needed", sequence, token)


def validate_weights(batch: WeightedSequences, normalizers: dict[str, float]) -> None:
    """Raise WorkerError BAD_PARAMS where weights, per-token values or normalisers cannot make a loss."""
    unknown = sorted(set(batch.weights) - set(COMPONENTS))
    if unknown or not batch.weights:
        raise WorkerError(
            "BAD_PARAMS", f"loss components are {', '.join(COMPONENTS)}; found {unknown or 'none'}"
        )
    if "policy_gradient" in batch.weights and batch.advantages is None:
        raise WorkerError("BAD_PARAMS", "policy_gradient needs advantages, one per token")
    _validate_values(batch)
    if "match" in batch.weights:
        _validate_candidates(batch)
    firsts = np.asarray(batch.offsets[:-1])
    for component, weights_N in batch.weights.items():
        normalizer = normalizers.get(component)
        if normalizer is None or not 0.0 < normalizer < np.inf:
            raise WorkerError(
                "BAD_PARAMS", f"normalizer of {component} is {normalizer}; a finite number above 0 is needed"
            )
        if (weights_N[firsts] != 0).any():
            sequence = int(np.argmax(weights_N[firsts] != 0))
            found = f"{component} weight of token 0 of sequence {sequence} is {weights_N[firsts[sequence]]}"
            raise _bad_token(f"{found}; nothing predicts a first token: its weight must be 0", sequence, 0)
    if not any(weights_N.any() for weights_N in batch.weights.values()):
        raise WorkerError("BAD_PARAMS", "every loss weight is 0; at least one token must have a weight")


def _validate_values(batch: WeightedSequences) -> None:
    """Check length and finiteness of every per-token array."""
    others = {
        "advantages": batch.advantages,
        "old_logprobs": batch.old_logprobs,
        "reference_logprobs": batch.reference_logprobs,
    }
    arrays = {f"{component} weights": weights_N for component, weights_N in batch.weights.items()}
    arrays |= {name: values_N for name, values_N in others.items() if values_N is not None}
    for name, values_N in arrays.items():
        if values_N.shape != batch.ids.shape:
            found = f"{name} have shape {values_N.shape}, ids {batch.ids.shape}"
            raise WorkerError("BAD_PARAMS", f"{found}; one value per token is needed")
        if not np.isfinite(values_N).all():
            index = int(np.argmax(~np.isfinite(values_N)))
            sequence, token = locate(batch.offsets, index)
            found = f"{name}: token {token} of sequence {sequence} has {values_N[index]}"
            raise _bad_token(f"{found}; a finite value is needed", sequence, token)


def locate(offsets: np.ndarray, index: int) -> tuple[int, int]:
    """Return the sequence that holds a ragged token, and the token's index in it."""
    sequence = int(np.searchsorted(offsets, index, side="right")) - 1
    return sequence, index - int(offsets[sequence])


def _bad_token(message: str, sequence: int, token: int | None = None) -> WorkerError:
    return WorkerError("BAD_PARAMS", message, {"sequence": sequence, "token": token})
