"""Sampled answers as flat arrays, handed out in parts while others are still being sampled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from py_worker.request import STOP_TEXT, Answer
from py_worker.stop_texts import StopTexts

PART_ANSWERS = 256
"""A part leaves when so many answers are finished …"""
PART_SECONDS = 10.0
"""… or when any is finished and the last part left so long ago: what a crash can cost."""


@dataclass(frozen=True)
class Answers:
    """Ragged answers: answer i, to prompt ``rows[i]``, is ``ids[offsets[i]:offsets[i + 1]]``; prompts rise."""

    rows: np.ndarray
    """int32 [n]."""
    ids: np.ndarray
    """int32, the stop token included where one was sampled."""
    offsets: np.ndarray
    """int64 [n + 1]."""
    logprobs: np.ndarray
    """float32, of the model's own distribution at temperature 1, whatever filters chose the token."""
    finished: np.ndarray
    """uint8 [n]: 2 a stop text is in the answer, 1 a stop token was sampled, 0 the length limit was reached."""
    text_ids: np.ndarray | None = None
    """int32: of each answer what stands before its stop text, else all of it; None where there are no stop texts."""
    text_offsets: np.ndarray | None = None
    """int64 [n + 1]."""


class Parts:
    """Finished answers on their way out."""

    def __init__(self, send: Callable[[Answers], None] | None, stop_texts: StopTexts | None) -> None:
        self._send, self._stop_texts = send, stop_texts
        self._last = time.monotonic()

    def deliver(self, answers: dict[int, Answer]) -> None:
        """Send them and forget them, if it is time for a part."""
        is_late = time.monotonic() - self._last >= PART_SECONDS
        if len(answers) >= PART_ANSWERS or is_late:
            self.flush(answers)

    def flush(self, answers: dict[int, Answer]) -> None:
        """Send what there is."""
        if self._send is None or not answers:
            return
        self._send(self.pack(answers))
        answers.clear()
        self._last = time.monotonic()

    def pack(self, answers: dict[int, Answer]) -> Answers:
        """Return them as flat arrays."""
        rows = sorted(answers)
        ordered = [answers[row] for row in rows]
        ids, offsets = _ragged([answer.ids for answer in ordered])
        packed = Answers(
            rows=np.array(rows, np.int32),
            ids=ids,
            offsets=offsets,
            logprobs=np.concatenate([np.zeros(0), *(a.logprobs for a in ordered)]).astype(np.float32),
            finished=np.array([answer.ended_by for answer in ordered], np.uint8),
        )
        if self._stop_texts is None:
            return packed
        before = [
            self._stop_texts.before(answer.ids) if answer.ended_by == STOP_TEXT else answer.ids
            for answer in ordered
        ]
        text_ids, text_offsets = _ragged(before)
        return replace(packed, text_ids=text_ids, text_offsets=text_offsets)


def _ragged(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64)
    return np.concatenate([np.zeros(0, np.int32), *rows]).astype(np.int32), offsets
