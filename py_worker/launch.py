"""What launchers share: the lines that they speak, and the owner of one worker's process on its machine. See docs/protocol.md."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

KEPT_LINES = 20
POLL_SECONDS = 0.2
GRACE_SECONDS = 2.0
PR_SET_PDEATHSIG = 1


class Host:
    """Owns one worker: it dies with this process, whose end of its stdin the system closes then."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._process: subprocess.Popen[str] | None = None

    def start(self, command: list[str], env: dict[str, str], ip: str, gpus: list[Any]) -> dict[str, Any]:
        """Start the worker on this address, with these GPUs alone, and return what it says of itself."""
        own = {
            "TMS_WORKER_ENDPOINT": f"tcp://{ip}:*",
            "TMS_WORKER_TOKEN": "",
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus)),  # set for none, too: else all would be seen
        }
        process = subprocess.Popen(
            command,
            env={**os.environ, **env, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._process = process
        assert process.stdout
        for line in process.stdout:
            if line.startswith('{"endpoint"'):
                threading.Thread(target=self._collect, args=(process.stdout,), daemon=True).start()
                return {**json.loads(line), "node": ip}
            self._lines.append(line)
        raise RuntimeError(
            f"the worker ended with exit code {process.wait()} before it listened: {self._words()}"
        )

    def wait(self) -> dict[str, Any]:
        """Return how the worker ended."""
        assert self._process
        return {"code": self._process.wait(), "words": self._words()}

    def stop(self) -> None:
        """End the worker and what it started."""
        if self._process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)

    def _collect(self, lines: Any) -> None:
        self._lines.extend(lines)

    def _words(self) -> str:
        return "".join(self._lines).strip()


def tie_to_parent() -> None:
    """End this process with the one that started it, in the middle of a call into a library too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def read_spec() -> dict[str, Any]:
    """Read the one line that says what to place."""
    return json.loads(sys.stdin.readline())


def say(event: str, **facts: Any) -> None:
    """Write one line on descriptor 3: stdout belongs to whatever library prints there."""
    os.write(3, f"{json.dumps({'evt': event, **facts})}\n".encode())


def watch(look: Callable[[], None]) -> None:
    """Look again and again until stdin closes, which asks for an orderly end."""
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
        if ready and not sys.stdin.readline():
            return
        look()
