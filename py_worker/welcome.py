"""The first words between a client and this worker; they need no torch."""

from __future__ import annotations

import hmac
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from py_worker.errors import WorkerError
from py_worker.protocol import PROTOCOL_VERSION, VERBS
from py_worker.wire import Hello

NONCE_BYTES = 64


def welcome(hello: Hello, token: str, verbs: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what a good hello is answered with, no ``verbs`` meaning all; raises UNAUTHORIZED or BAD_VERSION."""
    if not hmac.compare_digest(hello.token.encode(), token.encode()):
        raise WorkerError("UNAUTHORIZED", "the token is not the one this worker was started with")
    lowest, highest = hello.proto
    if not lowest <= PROTOCOL_VERSION <= highest:
        found = f"client {hello.client} speaks protocol {lowest} to {highest}, this worker {PROTOCOL_VERSION}"
        raise WorkerError("BAD_VERSION", f"{found}; install the same version of tms on both sides")
    return {
        "protocol": PROTOCOL_VERSION,
        "pid": os.getpid(),
        "python": platform.python_version(),
        "verbs": list(VERBS if verbs is None else verbs),
        "seen": [_nonce_in(path) for path in hello.nonces],
    }


def _nonce_in(path: str) -> str | None:
    """Return what stands in a file that the client wrote a moment ago; None where this machine cannot read it."""
    try:
        with Path(path).open("rb") as file:
            return file.read(NONCE_BYTES).decode("ascii")
    except (OSError, ValueError):
        return None
