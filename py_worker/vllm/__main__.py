"""``python -m py_worker.vllm``: started as ``python -m py_worker`` is, by the interpreter of an environment that has vLLM."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import MutableMapping
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from py_worker.__main__ import run_worker
from py_worker.errors import WorkerError

if TYPE_CHECKING:
    from py_worker.job import Run

VERBS = ("load", "encode", "decode", "forward", "generate", "status")


def set_defaults(environment: MutableMapping[str, str]) -> None:
    """Settle what vLLM reads when it is imported; what the user has set stays."""
    environment.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    environment.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    environment.setdefault("VLLM_NO_USAGE_STATS", "1")
    environment.setdefault("DO_NOT_TRACK", "1")
    environment.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    # Several samplers share the processors: none takes one for itself.
    environment.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    # A sequence as long as the model allows needs one position more: vLLM samples a token behind what it scores.
    environment["VLLM_ALLOW_LONG_MAX_MODEL_LEN"] = "1"


def import_verbs() -> Run:
    """Import vLLM and the verbs; where it is missing or too old every request is told so."""
    try:
        from py_worker.vllm.verbs import Session
    except (ImportError, OSError) as missing:
        fix = "run `tms setup --vllm`, or point sampler.python to a Python that has the packages of requirements-vllm.txt"
        return partial(_refuse, WorkerError("NOT_FOUND", f"{missing} in {sys.executable}; {fix}"))
    return Session().run


def _refuse(failure: WorkerError, _: object) -> NoReturn:
    raise failure


if __name__ == "__main__":  # the engine's process imports this module again
    set_defaults(os.environ)
    try:
        run_worker(import_verbs, VERBS, has_children=True)
    finally:
        for engine in multiprocessing.active_children():
            engine.kill()  # its own farewell takes seconds
