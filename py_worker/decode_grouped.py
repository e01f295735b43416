"""Sampling with the model's own cache, for what a row cache cannot hold: recurrent states, hybrids.

Prompts of one length run together, so nothing is padded. Slower than continuous batching: a group lasts as long as its
longest answer. Shape suffixes: A rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from py_worker.model import Model
from py_worker.request import LENGTH, Answer, Request, draw_rows, ended_by

CACHE_NAMES = ("past_key_values", "cache_params", "state")
"""How transformers' models name the cache in their inputs and outputs."""


def decode_grouped(model: Model, request: Request, answers: dict[int, Answer]) -> None:
    """Sample an answer to every prompt into ``answers``, group by group."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(request.prompts):
        by_length[len(prompt)].append(index)
    finished = sampled = 0
    for _, indices in sorted(by_length.items(), reverse=True):
        for first in range(0, len(indices), request.max_rows):
            group = indices[first : first + request.max_rows]
            for rows in _decode_group(model, request, group):
                answers.update(rows.ended)
                finished, sampled = finished + len(rows.ended), sampled + rows.drawn
                request.deliver(answers)
                request.on_progress(finished, len(request.prompts), sampled)


class _Step(NamedTuple):
    """What one step of a group brought: answers that ended with it, and tokens drawn for those that had not before."""

    ended: dict[int, Answer]
    drawn: int


def _decode_group(model: Model, request: Request, group: list[int]) -> Iterator[_Step]:
    ids_AT = np.stack([request.prompts[index] for index in group]).astype(np.int64)
    prompts_A = np.array(group)
    count_A = np.zeros(len(group), np.int64)
    new_ids: list[np.ndarray] = []
    new_logprobs: list[np.ndarray] = []
    cache: dict[str, Any] = {}
    going = np.arange(len(group))
    while len(going):
        request.check()
        unseen_AT = ids_AT[:, -1:] if cache else ids_AT
        logits_AV, cache = _forward(model, unseen_AT, cache)
        ids_A, logprobs_A = draw_rows(request, prompts_A, count_A, logits_AV)
        new_ids.append(ids_A)
        new_logprobs.append(logprobs_A)
        count_A += 1
        ids_AT = np.concatenate([ids_AT, ids_A[:, None].astype(np.int64)], axis=1)
        ids_AN, logprobs_AN = np.stack(new_ids, 1), np.stack(new_logprobs, 1)
        ended_by_A = ended_by(request, ids_A[going], lambda row: ids_AN[going[row]])  # noqa: B023 - called at once
        is_done = (ended_by_A != LENGTH) | (len(new_ids) == request.max_new_tokens)
        done = zip(going[is_done].tolist(), ended_by_A[is_done].tolist(), strict=True)
        ended = {group[row]: Answer(ids_AN[row].copy(), logprobs_AN[row].copy(), by) for row, by in done}
        drawn, going = len(going), going[~is_done]
        yield _Step(ended, drawn)


def _forward(model: Model, ids_AT: np.ndarray, cache: dict[str, Any]) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return the logits after the last token and the cache under its own name; an empty one means: pass all ids again."""
    output = model.causal_lm(torch.from_numpy(ids_AT).to(model.device), use_cache=True, **cache)
    kept = {name: output[name] for name in CACHE_NAMES if output.get(name) is not None}
    return output.logits[:, -1].float(), kept
