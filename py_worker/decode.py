"""Continuous batching over one row cache: finished rows leave, waiting prompts take their place.

Shape suffixes: R allocated rows, A rows of one forward pass, T tokens, S slots, D features, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from py_worker.attention_kind import step_masks
from py_worker.errors import WorkerError
from py_worker.kv_cache import RowCache
from py_worker.model import Check, Model
from py_worker.network import Inputs
from py_worker.sampling import Sampling, draw, uniforms
from py_worker.stop_texts import StopTexts
from py_worker.strict import FEWEST_ROWS

SLOT_MULTIPLE = 16
"""Attention over slots in multiples of this gives the same bits however many masked slots follow."""

Progress = Callable[[int, int, int], None]
"""Told (finished answers, answers in all, tokens sampled so far) after every step."""


LENGTH, STOP_ID, STOP_TEXT = 0, 1, 2
"""What ended an answer: nothing but its length, a stop id, a stop text."""


@dataclass
class Answer:
    """What was sampled for one prompt."""

    ids: np.ndarray
    logprobs: np.ndarray
    ended_by: int


Deliver = Callable[[dict[int, Answer]], None]
"""Takes finished answers out, by prompt, or leaves them for later."""


@dataclass(frozen=True)
class Request:
    """Checked input of one call."""

    prompts: list[np.ndarray]
    seeds: np.ndarray
    max_new_tokens: int
    sampling: Sampling
    is_stop: np.ndarray
    stop_texts: StopTexts | None
    max_rows: int
    on_progress: Progress
    check: Check
    deliver: Deliver = lambda answers: None


@dataclass
class Rows:
    """The rows in the batch: row r of every array belongs to cache row r; rows from ``active`` on are free."""

    cache: RowCache
    prompts: np.ndarray
    positions: np.ndarray
    """Slot of the next token that goes through the model: the last one sampled."""
    counts: np.ndarray
    ids: np.ndarray
    logprobs: np.ndarray
    active: int = 0
    finished: int = 0
    sampled: int = 0


def decode(model: Model, request: Request, answers: dict[int, Answer]) -> None:
    """Sample an answer to every prompt into ``answers``, at most ``request.max_rows`` at a time, longest prompts first."""
    rows = _empty_rows(model, request)
    order = sorted(range(len(request.prompts)), key=lambda index: -len(request.prompts[index]))
    waiting = deque(order)
    while waiting or rows.active:
        request.check()
        if _should_admit(rows, request, len(waiting)):
            _admit(model, request, rows, _next_group(model, request, rows, waiting))
        else:
            _step(model, request, rows)
        _retire(request, rows, answers)
        request.deliver(answers)
        request.on_progress(rows.finished, len(request.prompts), rows.sampled)


def _empty_rows(model: Model, request: Request) -> Rows:
    count = min(request.max_rows, len(request.prompts))
    longest = max((len(prompt) for prompt in request.prompts), default=0) + request.max_new_tokens
    return Rows(
        cache=RowCache(model, max(count, FEWEST_ROWS) if model.strict else count, slots_of(longest)),
        prompts=np.zeros(count, np.int64),
        positions=np.zeros(count, np.int64),
        counts=np.zeros(count, np.int64),
        ids=np.zeros((count, request.max_new_tokens), np.int32),
        logprobs=np.zeros((count, request.max_new_tokens), np.float32),
    )


def slots_of(tokens: int) -> int:
    """Return the slots of a row that holds prompt and answer."""
    return _round_up(tokens, SLOT_MULTIPLE)


def _should_admit(rows: Rows, request: Request, waiting: int) -> bool:
    # A pass for one prompt costs as much as a step for all rows: wait until an eighth of the rows is free.
    allocated = len(rows.prompts)
    free = allocated - rows.active
    return waiting > 0 and free >= min(waiting, max(1, allocated // 8))


def _next_group(model: Model, request: Request, rows: Rows, waiting: deque[int]) -> list[int]:
    """Take prompts of like length, as many as there are free rows and tokens in the budget."""
    longest = len(request.prompts[waiting[0]])
    most = min(len(rows.prompts) - rows.active, max(1, model.token_budget // longest))
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
    return _round_up(length, max(SLOT_MULTIPLE, 1 << max(0, length.bit_length() - 4)))


def _admit(model: Model, request: Request, rows: Rows, group: list[int]) -> None:
    """Run prompts through the model, into the first free rows, and sample their first tokens."""
    lengths = np.array([len(request.prompts[index]) for index in group])
    tokens = padded_length(int(lengths.max())) if model.strict else int(lengths.max())
    ids_AT = np.zeros((len(group), tokens), np.int64)
    for row, index in enumerate(group):
        ids_AT[row, : lengths[row]] = request.prompts[index]
    first, rows.active = rows.active, rows.active + len(group)
    new = slice(first, rows.active)
    rows.prompts[new], rows.positions[new], rows.counts[new] = group, lengths - 1, 0
    _sample(model, request, rows, new, prompt_logits(model, rows.cache, first, ids_AT, lengths))


def _step(model: Model, request: Request, rows: Rows) -> None:
    """Run the last token of every active row through the model and sample the next."""
    active = slice(0, rows.active)
    last_A = rows.ids[np.arange(rows.active), rows.counts[active] - 1].astype(np.int64)
    _sample(model, request, rows, active, step_logits(model, rows.cache, last_A, rows.positions[active]))


def prompt_logits(
    model: Model, cache: RowCache, first_row: int, ids_AT: np.ndarray, lengths: np.ndarray
) -> torch.Tensor:
    """Fill cache rows from ``first_row`` on with right-padded prompts; return logits after each prompt's last token."""
    count, tokens = ids_AT.shape
    positions_T = np.minimum(np.arange(tokens), cache.kind.last_position)  # padding may reach further
    cache.start_prompts(first_row)
    ids = torch.from_numpy(ids_AT).to(model.device)
    positions = torch.from_numpy(positions_T).to(model.device).expand(count, tokens)
    ends = _pad_rows(model, np.arange(count)) * tokens + _pad_rows(model, lengths - 1)
    last = torch.from_numpy(ends).to(model.device)
    return model.network.next_logits(Inputs(ids, positions, cache=cache), last)


def step_logits(model: Model, cache: RowCache, ids_A: np.ndarray, positions_A: np.ndarray) -> torch.Tensor:
    """Return the logits after one more token in each of the rows 0 … A-1."""
    ids_A, positions_A = _pad_rows(model, ids_A), _pad_rows(model, positions_A)
    longest = int(positions_A.max())
    shared_position = longest if (positions_A == longest).all() else None
    # Rows of one length see no foreign slot, so they need no mask; strict keeps it, and with it one order of summing.
    is_masked = model.strict or shared_position is None or longest >= (cache.kind.window or np.inf)
    seen = _round_up(longest + 1, SLOT_MULTIPLE) if is_masked else longest + 1
    ids, positions = torch.from_numpy(np.stack([ids_A, positions_A])).to(model.device)
    cache.start_step(positions, seen, shared_position)
    masks = step_masks(model, cache.kind, positions, seen) if is_masked else None
    return model.network.next_logits(Inputs(ids[:, None], positions[:, None], masks, cache))


def _sample(model: Model, request: Request, rows: Rows, which: slice, logits_AV: torch.Tensor) -> None:
    """Draw a token for the rows ``which`` and write it down."""
    count_A = rows.counts[which].copy()
    ids_A, logprobs_A = draw_rows(request, rows.prompts[which], count_A, logits_AV)
    indices = np.arange(rows.active)[which]
    rows.ids[indices, count_A] = ids_A
    rows.logprobs[indices, count_A] = logprobs_A
    rows.counts[which] += 1
    rows.positions[which] += 1
    rows.sampled += len(indices)


def draw_rows(
    request: Request, prompt_A: np.ndarray, count_A: np.ndarray, logits_AV: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Draw new token ``count_A`` of each prompt's answer; logits may have dummy rows at the end."""
    uniforms_A = np.zeros(len(logits_AV))
    uniforms_A[: len(prompt_A)] = uniforms(request.seeds[prompt_A], count_A.astype(np.uint64))
    ids_A, logprobs_A = draw(logits_AV, torch.from_numpy(uniforms_A).to(logits_AV.device), request.sampling)
    # One transfer for both: float64 holds ids exactly.
    drawn_2A = torch.stack([ids_A.double(), logprobs_A]).cpu().numpy()[:, : len(prompt_A)]
    _require_finite(drawn_2A[1], prompt_A, count_A)
    return drawn_2A[0].astype(np.int32), drawn_2A[1].astype(np.float32)


def _require_finite(logprobs_A: np.ndarray, prompt_A: np.ndarray, count_A: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(logprobs_A))
    if len(bad):
        prompt, token = int(prompt_A[bad[0]]), int(count_A[bad[0]])
        message = f"generate: logits of prompt {prompt} are not finite at new token {token}: the weights hold NaN or infinity"
        raise WorkerError("NON_FINITE", message, {"row": prompt, "token": token})


def _retire(request: Request, rows: Rows, answers: dict[int, Answer]) -> None:
    """Take finished rows out and close the gaps with the last rows."""
    count_A = rows.counts[: rows.active]
    last_A = rows.ids[np.arange(rows.active), count_A - 1]
    ended_by_A = ended_by(request, last_A, lambda row: rows.ids[row, : count_A[row]])
    is_done_A = (ended_by_A != LENGTH) | (count_A == request.max_new_tokens)
    if not is_done_A.any():
        return
    for row in np.flatnonzero(is_done_A):
        kept = slice(0, count_A[row])
        answer = Answer(rows.ids[row, kept].copy(), rows.logprobs[row, kept].copy(), int(ended_by_A[row]))
        answers[int(rows.prompts[row])] = answer
    rows.finished += int(is_done_A.sum())
    remaining = rows.active - int(is_done_A.sum())
    gaps = np.flatnonzero(is_done_A[:remaining])
    last = remaining + np.flatnonzero(~is_done_A[remaining:])
    if len(gaps):
        for array in (rows.prompts, rows.positions, rows.counts, rows.ids, rows.logprobs):
            array[gaps] = array[last]
        rows.cache.move(gaps.tolist(), last.tolist(), int(rows.positions[gaps].max()))
    rows.active = remaining


def ended_by(request: Request, last_A: np.ndarray, answer_of: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return what ends the answers so far, from the last id of each; ``answer_of`` gives all ids of one, for stop texts."""
    ended_A = np.where(request.is_stop[last_A], STOP_ID, LENGTH)
    going = np.flatnonzero(ended_A == LENGTH)
    if request.stop_texts is not None and len(going):
        is_ended = request.stop_texts.ended([answer_of(int(row)) for row in going])
        ended_A[going[is_ended]] = STOP_TEXT
    return ended_A


def _pad_rows(model: Model, array: np.ndarray) -> np.ndarray:
    """Append zeros up to the fewest rows of a forward pass under ``strict``."""
    missing = FEWEST_ROWS - len(array) if model.strict else 0
    return np.concatenate([array, np.zeros(missing, array.dtype)]) if missing > 0 else array


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
