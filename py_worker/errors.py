"""The one error type that leaves a verb with a meaning of its own."""

from __future__ import annotations

from typing import Any


class WorkerError(Exception):
    """A failure that the caller can act on; it crosses the wire as ``{code, message, data}``.

    ``code`` is one of the codes in protocol.py (``BAD_PARAMS``, ``NOT_FOUND``, ``NON_FINITE``, ...). ``message`` says what
    failed, where, what was found and what to do. ``data`` holds machine-readable details.
    """

    def __init__(self, code: str, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data
