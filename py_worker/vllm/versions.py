"""Which releases of vLLM this worker is written for."""

from __future__ import annotations

import re

from py_worker.errors import WorkerError

OLDEST = (0, 19, 1)
"""The first that reloads weights from a path and takes transformers 5."""
TESTED = (0, 32, 0)
"""The newest that the tests ran with."""


def check_version(version: str) -> str | None:
    """Return a note where it is newer than what was tested; raise where it is too old."""
    found = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if found < OLDEST:
        raise WorkerError(
            "NOT_FOUND", f"vLLM {version} is too old, {_text(OLDEST)} is needed; run `tms setup --vllm`"
        )
    if found[:2] > TESTED[:2]:
        return f"vLLM {version} is newer than {_text(TESTED)}, the newest that was tested: compare with tms doctor --parity."
    return None


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
