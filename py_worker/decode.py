"""Continuous batching over one row cache: finished rows leave, waiting prompts take their place.

Shape suffixes: A active rows, T tokens, L rows that are looked at, N new tokens, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch

from py_worker.kv_cache import RowCache
from py_worker.model import Model
from py_worker.request import LENGTH, Answer, Request, ended_by, not_finite
from py_worker.sampling import uniforms
from py_worker.step import SLOT_MULTIPLE, Buffers, Steps, prompt_logits, round_up
from py_worker.strict import CUDA_ROWS, FEWEST_ROWS

STEPS_AT_ONCE = {"cpu": 1, "cuda": 8}
"""Steps until the host looks at what they brought: it waits for a GPU then, and rows that are done go on for nothing."""


@dataclass
class Rows:
    """The rows in the batch: row r of every array belongs to cache row r; rows from ``active`` on are free."""

    cache: RowCache
    buffers: Buffers
    steps: Steps
    prompts: np.ndarray
    lengths: np.ndarray
    """Of the prompts."""
    counts: np.ndarray
    """New tokens, as the device said last."""
    active: int = 0
    finished: int = 0
    finished_tokens: int = 0


def decode(model: Model, request: Request, answers: dict[int, Answer]) -> None:
    """Sample an answer to every prompt into ``answers``, at most ``request.max_rows`` at a time, longest prompts first."""
    rows = _empty_rows(model, request)
    order = sorted(range(len(request.prompts)), key=lambda index: -len(request.prompts[index]))
    waiting = deque(order)
    sampled = 0
    while waiting or rows.active:
        request.check()
        if _should_admit(rows, request, len(waiting)):
            _admit(model, request, rows, _next_group(model, request, rows, waiting))
        else:
            _step(model, request, rows)
        _retire(request, rows, answers)
        request.deliver(answers)
        # Tokens behind a stop text are counted until they are found.
        sampled = max(sampled, rows.finished_tokens + int(rows.counts[: rows.active].sum()))
        request.on_progress(rows.finished, len(request.prompts), sampled)


def _empty_rows(model: Model, request: Request) -> Rows:
    count = min(request.max_rows, len(request.prompts))
    allocated = max(count, FEWEST_ROWS) if model.strict else count
    if model.strict and model.device.type == "cuda":
        allocated = CUDA_ROWS
    longest = max((len(prompt) for prompt in request.prompts), default=0) + request.max_new_tokens
    cache = RowCache(model, allocated, slots_of(longest))
    buffers = Buffers.make(allocated, request.max_new_tokens, request.is_stop, model.device)
    prompts, lengths, counts = np.zeros((3, count), np.int64)
    steps = Steps(model, cache, buffers, request.sampling)
    return Rows(cache, buffers, steps, prompts, lengths, counts)


def slots_of(tokens: int) -> int:
    """Return the slots of a row that holds prompt and answer."""
    return round_up(tokens, SLOT_MULTIPLE)


def _should_admit(rows: Rows, request: Request, waiting: int) -> bool:
    # A pass for one prompt costs as much as a step for all rows: wait until an eighth of the rows is free.
    allocated = len(rows.prompts)
    free = allocated - rows.active
    return waiting > 0 and free >= min(waiting, max(1, allocated // 8))


def _next_group(model: Model, request: Request, rows: Rows, waiting: deque[int]) -> list[int]:
    """Take prompts of like length, as many as there are free rows and tokens in the budget."""
    longest = len(request.prompts[waiting[0]])
    most = min(len(rows.prompts) - rows.active, max(1, model.token_budget // longest))
    if model.strict and model.device.type == "cuda":
        most = 1  # the shape of a pass is then that of its prompt alone
    group = []
    while waiting and len(group) < most and _are_alike(model, longest, len(request.prompts[waiting[0]])):
        group.append(waiting.popleft())
    return group


def _are_alike(model: Model, longest: int, length: int) -> bool:
    if model.strict:
        return padded_length(length) == padded_length(longest)
    return 2 * length >= longest


def padded_length(length: int) -> int:
    """Return the length a prompt is padded to under ``strict``: a function of its own length alone.

    Attention works in blocks chosen by the padded length, and sums differ between block sizes. The eight classes per
    octave waste an eighth of the tokens at most, from 128 tokens on.
    """
    return round_up(length, max(SLOT_MULTIPLE, 1 << max(0, length.bit_length() - 4)))


def _admit(model: Model, request: Request, rows: Rows, group: list[int]) -> None:
    """Run prompts through the model, into the first free rows, and sample their first tokens."""
    lengths = np.array([len(request.prompts[index]) for index in group])
    tokens = padded_length(int(lengths.max())) if model.strict else int(lengths.max())
    ids_AT = np.zeros((len(group), tokens), np.int64)
    for row, index in enumerate(group):
        ids_AT[row, : lengths[row]] = request.prompts[index]
    first, rows.active = rows.active, rows.active + len(group)
    new = slice(first, rows.active)
    rows.prompts[new], rows.lengths[new], rows.counts[new] = group, lengths, 0
    tokens_N = np.arange(request.max_new_tokens, dtype=np.uint64)
    rows.buffers.start(first, lengths, uniforms(request.seeds[group, None], tokens_N))
    rows.buffers.take(new, prompt_logits(model, rows.cache, first, ids_AT, lengths), request.sampling)


def _step(model: Model, request: Request, rows: Rows) -> None:
    """Run tokens of every active row through the model and sample the next, some steps before the host looks again."""
    count_A = rows.counts[: rows.active]
    position_A = rows.lengths[: rows.active] + count_A - 1
    longest = int(position_A.max())
    shared = longest if (position_A == longest).all() else None
    for step in range(min(STEPS_AT_ONCE[model.device.type], int((request.max_new_tokens - count_A).max()))):
        # From the second step on some row may be done, and stay where it is.
        rows.steps.run(rows.active, longest + step, shared if step == 0 else None)


def _retire(request: Request, rows: Rows, answers: dict[int, Answer]) -> None:
    """Take finished rows out and close the gaps with the last rows."""
    progress_3A = rows.buffers.progress(rows.active)
    if not np.isfinite(progress_3A).all():
        bad = int(np.flatnonzero(~np.isfinite(progress_3A[2]))[0])
        logprobs_N = rows.buffers.logprobs_RN[bad].cpu().numpy()
        raise not_finite(int(rows.prompts[bad]), int(np.flatnonzero(~np.isfinite(logprobs_N))[0]))
    count_A = progress_3A[0].astype(np.int64)
    ended = _ended_rows(request, rows, count_A, progress_3A[1] > 0)
    rows.counts[: rows.active] = count_A
    if not ended:
        return
    gone = np.array([row for row, _, _ in ended])
    logprobs = rows.buffers.logprobs_RN[torch.from_numpy(gone).to(rows.cache.device)].cpu().numpy()
    for (row, ids, reason), own in zip(ended, logprobs, strict=True):
        answers[int(rows.prompts[row])] = Answer(ids, own[: len(ids)].copy(), reason)
        rows.finished_tokens += len(ids)
    rows.finished += len(gone)
    _close_gaps(rows, gone)


def _ended_rows(
    request: Request, rows: Rows, count_A: np.ndarray, is_done_A: np.ndarray
) -> list[tuple[int, np.ndarray, int]]:
    """Return rows whose answers have ended, with their ids and what ended them; texts are looked at token by token."""
    looked = np.arange(rows.active) if request.stop_texts is not None else np.flatnonzero(is_done_A)
    if len(looked) == 0:
        return []
    chosen = torch.from_numpy(looked).to(rows.cache.device)
    ids_LN = rows.buffers.ids_RN[chosen].cpu().numpy().astype(np.int32)
    ended: list[tuple[int, np.ndarray, int]] = []
    going = np.arange(len(looked))
    # Without texts only the last token matters: the device has found the stop id.
    seen_L = rows.counts[looked] if request.stop_texts is not None else count_A[looked] - 1
    for ahead in range(1, int((count_A[looked] - seen_L).max()) + 1):
        going = going[seen_L[going] + ahead <= count_A[looked[going]]]
        lengths = seen_L[going] + ahead
        reasons = ended_by(
            request,
            ids_LN[going, lengths - 1],
            lambda i, at=going, upto=lengths: ids_LN[at[i], : upto[i]],
        )
        is_over = (reasons != LENGTH) | (lengths == request.max_new_tokens)
        for i in np.flatnonzero(is_over):
            ended.append((int(looked[going[i]]), ids_LN[going[i], : lengths[i]].copy(), int(reasons[i])))
        going = going[~is_over]
    return sorted(ended, key=lambda one: one[0])


def _close_gaps(rows: Rows, gone: np.ndarray) -> None:
    is_gone_A = np.isin(np.arange(rows.active), gone)
    remaining = rows.active - len(gone)
    gaps = np.flatnonzero(is_gone_A[:remaining])
    last = remaining + np.flatnonzero(~is_gone_A[remaining:])
    if len(gaps):
        for array in (rows.prompts, rows.lengths, rows.counts):
            array[gaps] = array[last]
        rows.buffers.move(gaps, last)
        used = int((rows.lengths[gaps] + rows.counts[gaps]).max())
        rows.cache.move(gaps.tolist(), last.tolist(), used)
    rows.buffers.is_done_R[remaining : rows.active] = True
    rows.active = remaining
