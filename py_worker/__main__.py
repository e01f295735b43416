"""``python -m py_worker``: started by the client, which passes endpoint, token and its pid in the environment."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from py_worker.errors import WorkerError
from py_worker.mkl import set_branch

if TYPE_CHECKING:
    from py_worker.server import Run

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, settle what must be set before torch is imported, then serve."""
    try:
        endpoint, token = os.environ.pop("TMS_WORKER_ENDPOINT"), os.environ.pop("TMS_WORKER_TOKEN")
        parent = int(os.environ.pop("TMS_WORKER_PARENT"))
    except KeyError as missing:
        sys.exit(
            f"py_worker is started by tms, not by hand: {missing} is not in the environment (see docs/protocol.md)"
        )
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the client decides what it means
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before prctl
        sys.exit(1)
    set_branch()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

    from py_worker.server import Server

    Server(endpoint, token, parent).serve(import_verbs)


def import_verbs() -> Run:
    """Import torch and the verbs; where a package is missing every request is told so."""
    try:
        from py_worker.verbs import Session
    except ImportError as missing:
        fix = "run `tms setup`, or point TMS_PYTHON to a Python that has the packages of requirements.txt"
        failure = WorkerError("NOT_FOUND", f"{missing} in {sys.executable}; {fix}")

        def refuse(*_: object) -> NoReturn:
            raise failure

        return refuse
    gc.collect()
    gc.freeze()  # a later collection need not walk the hundred thousand objects of torch
    return Session().run


if __name__ == "__main__":
    main()
