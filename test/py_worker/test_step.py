"""A step that lives on the device: the same answers however seldom the host looks, and the shapes of its recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sampling_case import answer, bytes_of, llama, some_prompts
from test_generate import TEXTS, tokenizer_of

from py_worker import decode
from py_worker.errors import WorkerError
from py_worker.sampling import Sampling
from py_worker.step import Buffers, Steps, graph_shape
from py_worker.stop_texts import stop_texts


@pytest.mark.parametrize("steps", [2, 5, 8, 100])
@pytest.mark.parametrize("stops", [[], ["\nQ:"], ["é", "a"]])
def test_answers_do_not_depend_on_how_often_the_host_looks(
    monkeypatch: pytest.MonkeyPatch, steps: int, stops: list[str]
) -> None:
    model = llama(strict=True)
    settings: dict[str, Any] = {"max_new_tokens": 14, "stop_ids": [1, 9], "temperature": 1.5, "max_rows": 5}
    settings["stop_texts"] = stop_texts(tokenizer_of(TEXTS), stops)
    prompts = some_prompts(24, 9)
    expected = answer(model, prompts, **settings)
    monkeypatch.setitem(decode.STEPS_AT_ONCE, "cpu", steps)
    progress: list[tuple[int, int, int]] = []
    found = answer(model, prompts, on_progress=lambda *now: progress.append(now), **settings)
    assert bytes_of(found) == bytes_of(expected)
    assert found.finished.tolist() == expected.finished.tolist()
    assert progress == sorted(progress)
    assert progress[-1][:2] == (24, 24)
    assert stops or progress[-1][2] == len(found.ids)


def test_a_token_that_is_not_finite_is_named_however_seldom_the_host_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(decode.STEPS_AT_ONCE, "cpu", 4)
    model = llama()
    prompts = some_prompts(4, 6)
    free = answer(model, prompts, max_new_tokens=6, temperature=0)
    embeddings: Any = model.causal_lm.get_input_embeddings()
    first = int(free.ids[0])
    if any(first in prompt for prompt in prompts):
        prompts = [prompt[prompt != first] for prompt in prompts]
        prompts = [prompt if len(prompt) else np.array([(first + 1) % 23], np.int32) for prompt in prompts]
    with torch.no_grad():
        embeddings.weight[:] = embeddings.weight.where(torch.arange(23)[:, None] != first, torch.nan)
    with pytest.raises(WorkerError, match=r"are not finite at new token \d") as caught:
        answer(model, prompts, max_new_tokens=6, temperature=0)
    assert caught.value.code == "NON_FINITE"


def test_a_row_that_is_done_keeps_its_answer_whatever_steps_run() -> None:
    buffers = Buffers.make(2, 3, np.array([False, True, False]), torch.device("cpu"))
    buffers.start(0, np.array([4, 6]), np.zeros((2, 3)))
    for logits in ([[0, 0, 9], [0, 9, 0]], [[9, 0, 0], [9, 0, 0]], [[0, 0, 9], [0, 0, 9]], [[9.0, 0, 0]] * 2):
        buffers.take(slice(0, 2), torch.tensor(logits, dtype=torch.float32), Sampling(temperature=0))
    counts, is_done, _ = buffers.progress(2)
    assert counts.tolist() == [3, 1]
    assert is_done.tolist() == [1, 1]
    assert buffers.ids_RN[0, :3].tolist() == [2, 0, 2]
    assert buffers.ids_RN[1, :1].tolist() == [1]
    assert buffers.positions_R.tolist() == [3 + 3, 5 + 1]


@pytest.mark.parametrize(
    ("active", "longest", "shape"),
    [
        (1, 5, (1, 128)),
        (33, 127, (64, 128)),
        (64, 128, (64, 256)),
        (65, 300, (100, 500)),  # no more rows and slots than there are
    ],
)
def test_recordings_serve_powers_of_two(active: int, longest: int, shape: tuple[int, int]) -> None:
    assert graph_shape(active, longest, rows=100, slots=500) == shape


@pytest.mark.parametrize("max_rows", [3, 8, 100])
def test_answers_are_the_same_in_the_shapes_of_recordings(
    monkeypatch: pytest.MonkeyPatch, max_rows: int
) -> None:
    """Recordings are of CUDA; here a step in their shape, with dummy rows and more slots, runs in place of each replay."""
    model = llama(strict=True, max_position_embeddings=512)
    prompts = some_prompts(24, 150)
    settings: dict[str, Any] = {"max_new_tokens": 14, "stop_ids": [1, 9], "max_rows": max_rows}
    expected = answer(model, prompts, **settings)
    replayed: list[tuple[int, int]] = []

    class Replay:
        def __init__(self, steps: Any, shape: tuple[int, int]) -> None:
            self.steps, self.shape = steps, shape

        def replay(self) -> None:
            replayed.append(self.shape)
            self.steps._advance(*self.shape, None)

    def record(steps: Any, rows: int, seen: int) -> None:
        steps._graphs[rows, seen] = Replay(steps, (rows, seen))

    plain = Steps.__init__

    def recording(steps: Any, *arguments: Any) -> None:
        plain(steps, *arguments)
        steps._can_record = True

    monkeypatch.setattr(Steps, "__init__", recording)
    monkeypatch.setattr(Steps, "_record", record)
    monkeypatch.setattr(Steps, "_advance_aside", lambda steps, *shape: steps._advance(*shape, None))
    monkeypatch.setitem(decode.STEPS_AT_ONCE, "cpu", 8)
    assert bytes_of(answer(model, prompts, **settings)) == bytes_of(expected)
    assert {seen for _, seen in replayed} <= {128, 160}
    assert len(set(replayed)) < len(replayed)
