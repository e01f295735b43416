"""Sampling with the model's own cache, for what a row cache cannot hold: recurrent states, hybrids.

Prompts of one length run together, so nothing is padded. Slower than continuous batching: a group lasts as long as its
longest answer. Shape suffixes: A rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch

from py_worker.decode import LENGTH, Answer, Request, draw_rows, ended_by
from py_worker.model import Model

CACHE_NAMES = ("past_key_values", "cache_params", "state")
"""How transformers' models name the cache in their inputs and outputs."""


def decode_grouped(model: Model, request: Request) -> list[Answer]:
    """Sample an answer to every prompt, group by group."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(request.prompts):
        by_length[len(prompt)].append(index)
    answers: dict[int, Answer] = {}
    sampled = 0
    for _, group in sorted(by_length.items(), reverse=True):
        for first in range(0, len(group), request.max_rows):
            sampled = _decode_group(model, request, group[first : first + request.max_rows], answers, sampled)
    return [answers[index] for index in range(len(request.prompts))]


def _decode_group(
    model: Model, request: Request, group: list[int], answers: dict[int, Answer], sampled: int
) -> int:
    """Fill in the answers of one group; return the number of tokens sampled so far in all groups."""
    ids_AT = np.stack([request.prompts[index] for index in group]).astype(np.int64)
    prompts_A = np.array(group)
    count_A = np.zeros(len(group), np.int64)
    new_ids: list[np.ndarray] = []
    new_logprobs: list[np.ndarray] = []
    cache: dict[str, Any] = {}
    while any(index not in answers for index in group):
        request.check()
        unseen_AT = ids_AT[:, -1:] if cache else ids_AT
        logits_AV, cache = _forward(model, unseen_AT, cache)
        ids_A, logprobs_A = draw_rows(request, prompts_A, count_A, logits_AV)
        new_ids.append(ids_A)
        new_logprobs.append(logprobs_A)
        count_A += 1
        ids_AT = np.concatenate([ids_AT, ids_A[:, None].astype(np.int64)], axis=1)
        sampled += sum(index not in answers for index in group)
        _note_finished(request, group, np.stack(new_ids, 1), np.stack(new_logprobs, 1), answers)
        request.on_progress(len(answers), len(request.prompts), sampled)
    return sampled


def _forward(model: Model, ids_AT: np.ndarray, cache: dict[str, Any]) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return the logits after the last token and the cache under its own name; an empty one means: pass all ids again."""
    with model.network.computing():
        output = model.causal_lm(torch.from_numpy(ids_AT).to(model.device), use_cache=True, **cache)
    kept = {name: output[name] for name in CACHE_NAMES if output.get(name) is not None}
    return output.logits[:, -1].float(), kept


def _note_finished(
    request: Request,
    group: list[int],
    ids_AN: np.ndarray,
    logprobs_AN: np.ndarray,
    answers: dict[int, Answer],
) -> None:
    is_last = ids_AN.shape[1] == request.max_new_tokens
    going = np.array([row for row, index in enumerate(group) if index not in answers], np.int64)
    ended_by_A = ended_by(request, ids_AN[going, -1], lambda row: ids_AN[going[row]])
    for row, ended in zip(going.tolist(), ended_by_A.tolist(), strict=True):
        if ended != LENGTH or is_last:
            answers[group[row]] = Answer(ids_AN[row].copy(), logprobs_AN[row].copy(), ended)
