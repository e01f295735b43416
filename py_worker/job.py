"""One request on its way through the worker, and the reply for whatever went wrong with it."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from py_worker import wire
from py_worker.errors import WorkerError, is_device_lost, is_out_of_memory
from py_worker.protocol import VERBS
from py_worker.wire import Request, Tensors

PROGRESS_INTERVAL_SECONDS = 0.1
MESSAGE_CHARACTERS = 4000
TRACE_CHARACTERS = 8000

Reply = tuple[msgspec.Struct, Tensors]
"""A result and its tensors."""
Run = Callable[["Job"], Reply]
"""Runs one request; raises WorkerError or anything."""


@dataclass
class Job:
    """One request on its way through the worker; the running verb sees it as its context."""

    client: bytes
    request: Request
    frames: list[Any]
    send: Callable[[list[Any]], object]
    beat: Callable[[], object] = lambda: None
    """Called at every sign of progress."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    started: float = 0.0
    _last_progress: float = 0.0
    _events: int = 0
    _held_back: tuple[int, int, int] | None = None

    @property
    def id(self) -> int:
        """The client's number for this request."""
        return self.request.id

    def decode(self) -> tuple[Any, Tensors]:
        """Return parameters and tensors, checked against the protocol; raises UNKNOWN_VERB, BAD_PARAMS or BAD_MESSAGE."""
        verb = VERBS.get(self.request.op)
        if verb is None:
            raise WorkerError("UNKNOWN_VERB", f"no verb `{self.request.op}`; there are {', '.join(VERBS)}")
        params = wire.decode_params(self.request.p, verb.params)
        return params, wire.decode_tensors(self.request.tz, self.frames, verb.tensors)

    def check(self) -> None:
        """Raise CANCELLED when the client has given up; called once per token, micro-batch or step."""
        self.beat()
        if self.cancelled.is_set():
            raise WorkerError("CANCELLED", "cancelled by the client")

    def progress(self, done: int, total: int, tokens: int) -> None:
        """Tell the client how far this request is; at most ten times a second, and always the last."""
        self.beat()
        now = time.monotonic()
        self._held_back = (done, total, tokens)
        if now - self._last_progress >= PROGRESS_INTERVAL_SECONDS:
            self._last_progress = now
            self.flush_progress()

    def flush_progress(self) -> None:
        """Send the progress that was held back by the interval, if any."""
        if self._held_back is None:
            return
        done, total, tokens = self._held_back
        self._held_back = None
        self._events += 1
        event = {"k": "progress", "q": self._events, "d": {"done": done, "total": total, "tokens": tokens}}
        self.reply("evt", event)

    def part(self, tensors: Tensors) -> None:
        """Send a part of the result that is ready before the rest."""
        self.reply("part", {}, tensors)

    def reply(self, kind: wire.ReplyKind, fields: dict[str, Any], tensors: Tensors | None = None) -> None:
        """Send one message about this request."""
        self.send([self.client, *wire.encode_message(kind, self.id, fields, tensors)])


def envelope(error: BaseException) -> dict[str, Any]:
    """Describe an exception for the wire; only faults of the worker and out-of-memory carry a trace."""
    code, data, trace = "INTERNAL", None, None
    if isinstance(error, WorkerError):
        code, data = error.code, error.data
    elif is_out_of_memory(error):
        code = "OOM"
    message = str(error)[:MESSAGE_CHARACTERS] or type(error).__name__
    if is_device_lost(error):
        message = f"the device's context is lost, so the worker ends: {message}"
    if code in ("INTERNAL", "OOM"):
        try:
            trace = "".join(traceback.format_exception(error))[-TRACE_CHARACTERS:]
        except MemoryError:
            trace = None  # the reply matters more
    return {"code": code, "type": type(error).__name__, "message": message, "trace": trace, "data": data}
