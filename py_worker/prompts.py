"""The border check of what is asked of a sampler, whichever engine samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from py_worker.errors import WorkerError
from py_worker.model import Known
from py_worker.sampling import Sampling


def require_sampling(
    model: Known, sampling: Sampling, max_new_tokens: int, stop_ids: Sequence[int], max_rows: int | None
) -> None:
    """Raise BAD_PARAMS for what no answer can be sampled with."""
    if not (math.isfinite(sampling.temperature) and sampling.temperature >= 0):
        raise _bad(f"temperature must be a number ≥ 0, found {sampling.temperature}")
    if not 0 < sampling.top_p <= 1:
        raise _bad(f"top_p must lie in (0, 1], found {sampling.top_p}; 1 keeps all tokens")
    if sampling.top_k < 0:
        raise _bad(f"top_k must be ≥ 0, found {sampling.top_k}; 0 keeps all tokens")
    if max_new_tokens < 1:
        raise _bad(f"max_new_tokens must be ≥ 1, found {max_new_tokens}")
    if max_rows is not None and max_rows < 1:
        raise _bad(f"max_rows must be ≥ 1, found {max_rows}")
    for index, stop in enumerate(stop_ids):
        if not 0 <= stop < model.vocab_size:
            raise _bad(f"stop_ids[{index}] is {stop}, outside the vocabulary of {model.vocab_size}")


def checked_prompts(
    model: Known, ids: np.ndarray, offsets: np.ndarray, seeds: np.ndarray, max_new_tokens: int
) -> list[np.ndarray]:
    """Return the prompts one by one; raise BAD_PARAMS for those that ``model`` cannot take or answer."""
    prompts = _split(ids, offsets)
    _require_prompts(model, prompts, seeds, max_new_tokens)
    return prompts


def _split(ids: np.ndarray, offsets: np.ndarray) -> list[np.ndarray]:
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(ids) or (np.diff(offsets) < 0).any():
        raise _bad(
            f"offsets must rise from 0 to the number of ids, {len(ids)}; found {offsets[:8].tolist()} …"
        )
    return [ids[first:last] for first, last in pairwise(offsets)]


def _require_prompts(model: Known, prompts: list[np.ndarray], seeds: np.ndarray, max_new_tokens: int) -> None:
    if len(seeds) != len(prompts):
        raise _bad(f"one seed per prompt: found {len(seeds)} seeds for {len(prompts)} prompts")
    for row, prompt in enumerate(prompts):
        if len(prompt) == 0:
            raise _bad(f"prompt {row} is empty: give it at least one id", row=row)
        outside = np.flatnonzero((prompt < 0) | (prompt >= model.vocab_size))
        if len(outside):
            place, found = int(outside[0]), int(prompt[outside[0]])
            raise _bad(
                f"prompt {row} has id {found} at {place}, outside the vocabulary of {model.vocab_size}",
                row=row,
            )
        if model.max_positions is not None and len(prompt) + max_new_tokens > model.max_positions:
            room = model.max_positions - len(prompt)
            raise _bad(
                f"prompt {row} has {len(prompt)} ids and max_new_tokens is {max_new_tokens}, but the model has "
                f"{model.max_positions} positions: max_new_tokens can be at most {max(room, 0)} for this prompt",
                row=row,
            )


def _bad(message: str, **data: int) -> WorkerError:
    return WorkerError("BAD_PARAMS", f"generate: {message}", dict(data) or None)
