"""Answers from an engine: ids in; ids, log-probabilities and reasons to end out, as the PyTorch worker gives them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from py_worker.answers import Parts
from py_worker.errors import WorkerError
from py_worker.request import LENGTH, STOP_ID, STOP_TEXT, Answer, Progress, not_finite
from py_worker.sampling import Sampling
from py_worker.stop_texts import StopTexts
from py_worker.vllm.engine import Engine, Output, abandon
from py_worker.vllm.library import RequestOutputKind, SamplingParams

COLDEST, HOTTEST = 0.01, 2.0
"""vLLM takes these temperatures, and 0."""


@dataclass(frozen=True)
class Asked:
    """Checked input of one call: every request of it is greedy, or every one is drawn with its seed. A mix would lose seeds."""

    prompts: list[np.ndarray]
    seeds: np.ndarray
    max_new_tokens: int
    sampling: Sampling
    stop_ids: tuple[int, ...]
    stop_texts: StopTexts | None
    max_rows: int | None
    on_progress: Progress
    check: Callable[[], None]


@dataclass
class _Open:
    row: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


def require_temperature(temperature: float) -> None:
    """Raise BAD_PARAMS for a temperature that vLLM would change or refuse."""
    if temperature and not COLDEST <= temperature <= HOTTEST:
        raise WorkerError(
            "BAD_PARAMS",
            f"generate: temperature is {temperature}; vLLM takes 0, or {COLDEST} to {HOTTEST}. Use sampler.backend torch for others.",
        )


def sampling_params(asked: Asked, row: int) -> Any:
    """Return everything explicitly: what a model's files suggest has no part in it."""
    sampling = asked.sampling
    is_greedy = sampling.temperature == 0
    return SamplingParams(
        n=1,
        temperature=sampling.temperature,
        top_p=1.0 if is_greedy else sampling.top_p,
        top_k=0 if is_greedy else sampling.top_k,
        seed=None if is_greedy else int(asked.seeds[row]),
        max_tokens=asked.max_new_tokens,
        stop_token_ids=list(asked.stop_ids),
        ignore_eos=True,  # of its files: only ours end an answer
        logprobs=0,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY if asked.stop_texts is None else RequestOutputKind.DELTA,
    )


def sample(engine: Engine, asked: Asked, parts: Parts) -> tuple[dict[int, Answer], int]:
    """Return the answers that left in no part, and the number of tokens in all; what is finished leaves before an error too."""
    answers: dict[int, Answer] = {}
    waiting = deque(range(len(asked.prompts)))
    open_: dict[str, _Open] = {}
    done = tokens = 0
    try:
        while waiting or open_:
            while waiting and len(open_) < (asked.max_rows or len(asked.prompts)):
                row = waiting.popleft()
                open_[engine.add(asked.prompts[row].tolist(), sampling_params(asked, row))] = _Open(row)
            for name, answer in _ended(engine, asked, open_).items():
                row = open_.pop(name).row
                answers[row] = answer
                done, tokens = done + 1, tokens + len(answer.ids)
            asked.on_progress(done, len(asked.prompts), tokens + sum(len(one.ids) for one in open_.values()))
            parts.deliver(answers)
            asked.check()
    except BaseException:
        abandon(engine, list(open_))
        parts.flush(answers)
        raise
    return answers, tokens


def _ended(engine: Engine, asked: Asked, open_: dict[str, _Open]) -> dict[str, Answer]:
    """Step, and return what ended thereby; the engine knows of no stop texts, so what goes on behind one is aborted."""
    outputs = [output for output in engine.step() if output.name in open_]
    for output in outputs:
        one = open_[output.name]
        one.ids += output.ids
        one.logprobs += output.logprobs
    by_text = _cut_at_texts(asked, outputs, open_)
    engine.abort([output.name for output in outputs if output.name in by_text and output.finish is None])
    found = {}
    for output in outputs:
        if output.name in by_text:
            found[output.name] = _answer(open_[output.name], by_text[output.name], STOP_TEXT)
        elif output.finish is not None:
            reason = STOP_ID if output.finish == "stop" else LENGTH
            found[output.name] = _answer(open_[output.name], len(open_[output.name].ids), reason)
    return found


def _cut_at_texts(asked: Asked, outputs: list[Output], open_: dict[str, _Open]) -> dict[str, int]:
    """Return how many ids each answer has that holds a stop text; a stop id at its end comes first."""
    if asked.stop_texts is None:
        return {}
    starts: list[tuple[str, int]] = []
    for output in outputs:
        count = len(open_[output.name].ids)
        last = count - (output.finish == "stop")
        starts += [(output.name, end) for end in range(count - len(output.ids) + 1, last + 1)]
    is_ended = asked.stop_texts.ended([np.array(open_[name].ids[:end], np.int32) for name, end in starts])
    found: dict[str, int] = {}
    for (name, end), ended in zip(starts, is_ended, strict=True):
        if ended:
            found.setdefault(name, end)
    return found


def _answer(one: _Open, count: int, ended_by: int) -> Answer:
    logprobs = np.array(one.logprobs[:count], np.float32)
    bad = np.flatnonzero(~np.isfinite(logprobs))
    if len(bad):
        raise not_finite(one.row, int(bad[0]))
    return Answer(np.array(one.ids[:count], np.int32), logprobs, ended_by)
