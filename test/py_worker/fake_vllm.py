"""A small stand-in for vLLM with its silent faults: stale prefixes, weights that are missing or spoil an engine, tied heads.

A token of an answer is 5 + the sum of seed, position and the digits of the weights in use, modulo 90; its log-probability is -token / 100.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

LOG: list[tuple[str, Any]] = []
"""What was asked of engines, in order."""
FAULTS: set[str] = set()
"""``dead``: the next step dies; ``spoilt``: the next reload raises; ``held``: the prefix cache cannot be emptied."""


class EngineDeadError(Exception):
    pass


class RequestOutputKind(Enum):
    DELTA = 1
    FINAL_ONLY = 2


class SamplingParams:
    def __init__(self, **values: Any) -> None:
        self.values = values
        LOG.append(("params", values))


@dataclass
class Known:
    logprob: float


@dataclass
class Made:
    token_ids: list[int]
    logprobs: list[dict[int, Known]] | None
    finish_reason: str | None


@dataclass
class Output:
    request_id: str
    prompt_token_ids: list[int]
    prompt_logprobs: list[Any] | None
    outputs: list[Made]
    finished: bool


@dataclass
class Request:
    ids: list[int]
    params: SamplingParams
    weights: int
    made: list[int] = field(default_factory=list)


class Engine:
    def __init__(self, model: str) -> None:
        self.weights, self.names = _read(model)
        self.cache: dict[tuple[str, tuple[int, ...]], int] = {}
        self.requests: dict[str, Request] = {}
        self.engine_core = self

    def shutdown(self, timeout: float) -> None:
        LOG.append(("shutdown", timeout))

    def add_request(self, name: str, prompt: dict[str, Any], params: SamplingParams) -> str:
        LOG.append(("add", prompt))
        ids = prompt["prompt_token_ids"]
        weights = self.cache.setdefault((prompt["cache_salt"], tuple(ids)), self.weights)
        self.requests[name] = Request(ids, params, weights)
        return f"{name}-random"

    def abort_request(self, names: list[str]) -> None:
        LOG.append(("abort", names))
        for name in names:
            self.requests.pop(name, None)

    def step(self) -> list[Output]:
        if "dead" in FAULTS:
            raise EngineDeadError("EngineCore encountered an issue")
        return [output for name in list(self.requests) for output in self._grow(name)]

    def _grow(self, name: str) -> list[Output]:
        request = self.requests[name]
        values = request.params.values
        token = 5 + ((values.get("seed") or 0) + len(request.made) + request.weights) % 90
        request.made.append(token)
        reason = "stop" if token in values.get("stop_token_ids", ()) else None
        reason = reason or ("length" if len(request.made) == values["max_tokens"] else None)
        is_delta = values.get("output_kind") is RequestOutputKind.DELTA
        if reason is None and not is_delta:
            return []
        if reason is not None:
            del self.requests[name]
        new = [token] if is_delta else request.made
        given = [None, *({id: Known(-(id + request.weights) / 100)} for id in request.ids[1:])]
        scores = given if "prompt_logprobs" in values else None
        made = Made(list(new), [{id: Known(-id / 100)} for id in new], reason)
        return [Output(name, request.ids, scores, [made], reason is not None)]


class LLM:
    def __init__(self, **arguments: Any) -> None:
        LOG.append(("start", arguments))
        self.llm_engine = Engine(arguments["model"])

    def collective_rpc(self, method: str, kwargs: dict[str, Any] | None = None) -> list[Any]:
        LOG.append((method, kwargs))
        if method == "reload_weights" and kwargs is not None:
            if "spoilt" in FAULTS:
                FAULTS.remove("spoilt")
                raise RuntimeError("shape mismatch")
            weights, names = _read(kwargs["weights_path"])
            if names >= self.llm_engine.names:  # else the old ones stay, and nobody is told
                self.llm_engine.weights = weights
        return []

    def reset_prefix_cache(self) -> bool:
        LOG.append(("reset_prefix_cache", None))
        if "held" in FAULTS:
            FAULTS.remove("held")
            return False
        self.llm_engine.cache.clear()
        return True


def _read(directory: str) -> tuple[int, set[str]]:
    """Return a number that stands for the weights, and their names."""
    tensors = load_file(Path(directory) / "model.safetensors")
    return int(sum(tensor.double().abs().sum().item() for tensor in tensors.values()) * 1000), set(tensors)


def modules() -> dict[str, types.ModuleType]:
    """Return what ``import`` finds."""
    root, params, platforms, envs = (
        types.ModuleType(name) for name in ("vllm", "vllm.sampling_params", "vllm.platforms", "vllm.envs")
    )
    vars(root).update(LLM=LLM, SamplingParams=SamplingParams, __version__="0.32.0")
    vars(params).update(RequestOutputKind=RequestOutputKind)
    vars(platforms).update(current_platform=types.SimpleNamespace(device_type="cpu"))
    return {module.__name__: module for module in (root, params, platforms, envs)}
