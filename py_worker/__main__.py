"""``python -m py_worker``: started by the client, which passes endpoint, token and its pid in the environment."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, MutableMapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from py_worker import lifeline
from py_worker.errors import WorkerError, is_out_of_memory
from py_worker.mkl import set_branch

if TYPE_CHECKING:
    from py_worker.gate import Keys
    from py_worker.job import Run


def main() -> None:
    """Serve with PyTorch."""
    run_worker(import_verbs)


def run_worker(
    prepare: Callable[[], Run], verbs: Sequence[str] | None = None, *, has_children: bool = False
) -> None:
    """Tie this process to its client, settle what must be set before torch is imported, then serve; no ``verbs`` are all."""
    try:
        endpoint, token = os.environ.pop("TMS_WORKER_ENDPOINT"), os.environ.pop("TMS_WORKER_TOKEN")
    except KeyError as missing:
        sys.exit(
            f"py_worker is started by tms, not by hand: {missing} is not in the environment (see docs/protocol.md)"
        )
    if not lifeline.is_tied():
        sys.exit(
            "py_worker must have the stdin that tms gives it, a pipe: it ends when that closes. A wrapper around Python must "
            "pass stdin on (no `< /dev/null`, no `&`)."
        )
    lifeline.tie(with_group=has_children)
    # Ctrl-C reaches the whole group; the client decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_branch()
    set_defaults(os.environ)

    from py_worker.server import Server

    Server(endpoint, token, keys_for(endpoint), verbs).serve(prepare)


def keys_for(endpoint: str) -> Keys | None:
    """Return the keys of a worker on the network; a path is guarded by its permissions."""
    if not endpoint.startswith("tcp://"):
        return None
    from py_worker.gate import keys_of

    try:
        return keys_of(os.environ)
    except ValueError as error:
        sys.exit(f"py_worker on {endpoint}: {error}")


def set_defaults(environment: MutableMapping[str, str]) -> None:
    """Settle what torch and others read when they are imported; what the user has set stays."""
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    environment.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if "PYTORCH_CUDA_ALLOC_CONF" not in environment:  # its older name
        # Micro-batches differ in shape: blocks of one would lie free and be of no use to the next.
        environment.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


def skip_sklearn() -> None:
    """Keep transformers' assisted generation, which nothing here calls, from importing scikit-learn: a fifth of every start."""
    from transformers import utils

    utils.is_sklearn_available = lambda: False


def import_verbs() -> Run:
    """Import torch and the verbs; where a package is missing every request is told so."""
    try:
        skip_sklearn()
        from py_worker.verbs import Session
    except (ImportError, MemoryError, OSError) as missing:
        if is_out_of_memory(missing):
            why = f"no memory to import the packages of the worker: {missing}"
            return partial(_refuse, WorkerError("OOM", why))
        fix = "run `tms setup`, or point TMS_PYTHON to a Python that has the packages of requirements.txt"
        return partial(_refuse, WorkerError("NOT_FOUND", f"{missing} in {sys.executable}; {fix}"))
    gc.collect()
    gc.freeze()  # a later collection need not walk the hundred thousand objects of torch
    return Session().run


def _refuse(failure: WorkerError, _: object) -> NoReturn:
    raise failure


if __name__ == "__main__":
    main()
