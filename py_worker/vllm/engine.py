"""One engine of vLLM: its process, the weights in it, and requests on their way through it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from py_worker.errors import EngineLostError, WorkerError, from_library, one_line
from py_worker.vllm.library import LLM, SamplingParams, is_cpu

EXTENSION = "py_worker.vllm.extension.Extension"
LEAST_BATCHED_TOKENS = 2048
END_SECONDS = 5.0


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is built with and keeps."""

    dtype: str
    longest: int
    """Tokens of the longest sequence, and one more."""
    trust_remote_code: bool
    seed: int


@dataclass
class Output:
    """What is new of one request."""

    name: str
    ids: list[int]
    logprobs: list[float]
    prompt_logprobs: list[float] | None
    """Of the prompt's ids but the first."""
    finish: str | None
    """``stop``, ``length``, or None: it goes on."""


class Engine:
    """An engine in a process of its own, a child of this one and in its group; ``close`` ends it."""

    def __init__(self, directory: Path, options: EngineOptions) -> None:
        self.options = options
        self._names = 0
        self._loads = 0
        with from_library(lambda error: _cannot_start(directory, error)):
            self._llm = LLM(**engine_arguments(directory, options))

    def reload(self, directory: Path) -> None:
        """Take the weights of another directory, with the same names and shapes; raises whatever vLLM does: then the engine is spoilt."""
        self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(directory)})
        if is_cpu():
            self._llm.collective_rpc("refresh_heads")
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("the prefix cache could not be emptied: blocks of it are in use")
        self._loads += 1

    def add(self, ids: Sequence[int], params: Any) -> str:
        """Send a request, and return its name. What the cache knows of another load's weights is never used for it."""
        name = str(self._names)
        self._names += 1
        prompt = {"prompt_token_ids": list(ids), "cache_salt": str(self._loads)}
        with _living():
            self._llm.llm_engine.add_request(name, prompt, params)
        return name

    def step(self) -> list[Output]:
        """Return what the engine has made since the last call; waits until there is something."""
        with _living():
            return [_output(one) for one in self._llm.llm_engine.step()]

    def abort(self, names: Sequence[str]) -> None:
        """Forget requests."""
        if names:
            with _living():
                self._llm.llm_engine.abort_request(list(names))

    def close(self) -> None:
        """End the engine's process, and return when it is gone: its memory is needed."""
        children = multiprocessing.active_children()
        self._llm.llm_engine.engine_core.shutdown(timeout=END_SECONDS)
        for child in children:
            child.join(END_SECONDS)
            if child.is_alive():
                child.kill()
                child.join()


def engine_arguments(directory: Path, options: EngineOptions) -> dict[str, Any]:
    """Return what ``LLM`` is made with."""
    arguments: dict[str, Any] = {
        "model": str(directory),
        "dtype": options.dtype,  # its own choice would halve the bits of a float32 checkpoint
        "max_model_len": options.longest,
        "skip_tokenizer_init": True,
        "trust_remote_code": options.trust_remote_code,
        "seed": options.seed,
        "enable_prefix_caching": True,
        "logprobs_mode": "raw_logprobs",
        "worker_extension_cls": EXTENSION,
    }
    if not is_cpu():
        share = os.environ.get("TMS_VLLM_GPU_MEMORY")
        return arguments | ({"gpu_memory_utilization": float(share)} if share else {})
    # There a seed and a prompt in chunks end the engine.
    chunks = {
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(options.longest, LEAST_BATCHED_TOKENS),
    }
    return arguments | chunks | {"enforce_eager": True}


def score(engine: Engine, sequences: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield, for each sequence of two ids or more, its place and the log-probabilities of its ids but the first, as they come."""
    params = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False, ignore_eos=True)
    places = {engine.add(ids.tolist(), params): place for place, ids in enumerate(sequences) if len(ids) > 1}
    try:
        while places:
            for output in engine.step():
                if output.finish is not None:
                    yield places.pop(output.name), np.array(output.prompt_logprobs, np.float32)
    except BaseException:
        abandon(engine, list(places))
        raise


def abandon(engine: Engine, names: Sequence[str]) -> None:
    """Abort after a failure, which matters more than another one here."""
    try:
        engine.abort(names)
    except EngineLostError:
        return


def _output(one: Any) -> Output:
    made = one.outputs[0]
    ids = list(made.token_ids)
    given = None
    if one.prompt_logprobs is not None:
        pairs = zip(one.prompt_token_ids[1:], one.prompt_logprobs[1:], strict=True)
        given = [known[token].logprob for token, known in pairs]
    drawn: list[float] = [
        known[token].logprob for token, known in zip(ids, made.logprobs or [], strict=False)
    ]
    if one.finished and made.finish_reason not in ("stop", "length"):
        raise WorkerError(
            "INTERNAL", f"vLLM ended an answer with {made.finish_reason!r}, not with stop or length"
        )
    return Output(one.request_id, ids, drawn, given, made.finish_reason if one.finished else None)


@contextmanager
def _living() -> Iterator[None]:
    """Translate the death of the engine, which is for good: this worker ends with it."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "EngineDeadError":
            raise
        why = f"the engine of vLLM died, so the worker ends: {one_line(error)}. The worker's log says why."
        raise EngineLostError("INTERNAL", why) from error


def _cannot_start(directory: Path, error: BaseException) -> WorkerError:
    return WorkerError(
        "BAD_MODEL",
        f"vLLM cannot load {directory}: {one_line(error)}. The lines that it printed say why; use sampler.backend torch for a model "
        "that it does not know.",
    )
