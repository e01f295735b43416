"""What is asked of a sampler, what it answers, and what ends an answer.

Shape suffixes: A rows of one pass, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from py_worker.errors import WorkerError
from py_worker.model import Check
from py_worker.sampling import Sampling, draw, uniforms
from py_worker.stop_texts import StopTexts

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
        raise not_finite(int(prompt_A[bad[0]]), int(count_A[bad[0]]))


def not_finite(prompt: int, token: int) -> WorkerError:
    """Say of which prompt, and at which new token."""
    message = f"generate: logits of prompt {prompt} are not finite at new token {token}: the weights hold NaN or infinity"
    return WorkerError("NON_FINITE", message, {"row": prompt, "token": token})


def ended_by(request: Request, last_A: np.ndarray, answer_of: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return what ends the answers so far, from the last id of each; ``answer_of`` gives all ids of one, for stop texts."""
    ended_A = np.where(request.is_stop[last_A], STOP_ID, LENGTH)
    going = np.flatnonzero(ended_A == LENGTH)
    if request.stop_texts is not None and len(going):
        is_ended = request.stop_texts.ended([answer_of(int(row)) for row in going])
        ended_A[going[is_ended]] = STOP_TEXT
    return ended_A
