"""The error that leaves a verb with a meaning of its own, and the border to libraries that raise anything."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


class EngineLostError(WorkerError):
    """What a worker computes with is gone for good: it replies, then ends."""


_NO_MEMORY = (
    "out of memory",  # CUDA, and most others
    "allocate memory",  # "can't allocate memory" (torch, libc), "Cannot allocate memory (os error 12)" (Rust)
    "not enough memory",
    "bad_alloc",
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
    "start new thread",  # a thread needs memory for its stack
    "thread creation failed",
    "failed to map segment",  # a shared library, loaded on first use
    "memory allocation of",  # Rust
)
_DEVICE_LOST = (
    "device-side assert",
    "illegal memory access",
    "illegal instruction was encountered",
    "misaligned address",
    "unspecified launch failure",
    "uncorrectable ecc error",
    "an illegal address",
    "device is lost",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Recognise every way in which CUDA, torch, Python, Rust and the system say it, in the causes of the error too."""
    if isinstance(error, WorkerError):
        return False
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = str(error).lower()
    cause = error.__cause__
    return any(sign in text for sign in _NO_MEMORY) or (cause is not None and is_out_of_memory(cause))


def is_device_lost(error: BaseException) -> bool:
    """Say whether the error left the device's context unusable: whatever this process asks of it next fails as well."""
    text = str(error).lower()
    return "cuda" in text and any(sign in text for sign in _DEVICE_LOST)


@contextmanager
def from_library(explain: Callable[[BaseException], Exception]) -> Iterator[None]:
    """Translate whatever a library raises for a file of the user, a bare Exception or a panic of Rust too, by ``explain``.

    Enclose the library's call only: a fault of our own would be blamed on the file. Our errors and a lack of memory pass.
    """
    try:
        yield
    except BaseException as error:
        is_panic = type(error).__name__ == "PanicException"
        if isinstance(error, WorkerError) or is_out_of_memory(error):
            raise
        if not isinstance(error, Exception) and not is_panic:
            raise
        raise explain(error) from error


def one_line(error: BaseException) -> str:
    """Return the class and the words of a library's error, in one line of bounded length."""
    words = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {words[:600]}" if words else type(error).__name__
