"""The worker's process: an I/O thread owns the socket, the main thread runs one request after the other.

Ping and cancel are answered while a request runs. The main thread never touches the ROUTER: it writes to an in-process pipe
that the I/O thread forwards. This is the only module with a broad ``except``: every failure becomes a typed reply.
"""

from __future__ import annotations

import hmac
import os
import platform
import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import zmq

from py_worker import wire
from py_worker.errors import WorkerError, is_out_of_memory
from py_worker.protocol import MAX_TENSOR_BYTES, PROTOCOL_VERSION, VERBS
from py_worker.wire import Bye, Cancel, Header, Hello, Ping, Request, Tensors

PARENT_POLL_MS = 500
PROGRESS_INTERVAL_SECONDS = 0.1
MESSAGE_CHARACTERS = 4000
TRACE_CHARACTERS = 8000
PIPE = "inproc://replies"

Run = Callable[["Job"], tuple[msgspec.Struct, Tensors]]
"""``run(job) -> (result, tensors)``; raises WorkerError or anything."""


@dataclass
class Job:
    """One request on its way through the worker; the running verb sees it as its context."""

    client: bytes
    request: Request
    frames: list[Any]
    send: Callable[[list[Any]], object]
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
        if self.cancelled.is_set():
            raise WorkerError("CANCELLED", "cancelled by the client")

    def progress(self, done: int, total: int, tokens: int) -> None:
        """Tell the client how far this request is; at most ten times a second, and always the last."""
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

    def reply(self, kind: wire.ReplyKind, fields: dict[str, Any], tensors: Tensors | None = None) -> None:
        """Send one message about this request."""
        self.send([self.client, *wire.encode_message(kind, self.id, fields, tensors)])


class Server:
    """The socket and the threads of one worker; ``serve`` returns after ``bye``."""

    def __init__(self, endpoint: str, token: str, parent: int) -> None:
        self._token = token
        self._parent = parent
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._live: dict[tuple[bytes, int], Job] = {}
        self._running: Job | None = None
        self._clients: set[bytes] = set()
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.set(zmq.SNDHWM, 0)
        self._router.set(zmq.RCVHWM, 0)
        self._router.set(zmq.MAXMSGSIZE, MAX_TENSOR_BYTES)
        self._router.set(zmq.ROUTER_MANDATORY, 1)
        self._router.set(zmq.LINGER, 2000)
        self._inward = self._pair(zmq.PULL, bind=True)
        self._outward = self._pair(zmq.PUSH, bind=False)
        self._router.bind(endpoint)

    def serve(self, prepare: Callable[[], Run]) -> None:
        """Run requests on the calling thread until a client says ``bye``; clients are welcomed while ``prepare`` works."""
        thread = threading.Thread(target=self._io_loop, name="io", daemon=True)
        thread.start()
        run = prepare()
        while (job := self._jobs.get()) is not None:
            self._running = job
            self._execute(job, run)
            self._running = None
        self._outward.send_multipart([b""])
        thread.join(timeout=3)

    # The main thread.

    def _execute(self, job: Job, run: Run) -> None:
        job.started = time.monotonic()
        try:
            result, result_tensors = run(job)
            job.flush_progress()
            job.reply("res", {"r": result}, result_tensors)
        except Exception as error:  # noqa: BLE001 - the border: whatever happened becomes the reply
            job.flush_progress()
            job.reply("err", {"e": envelope(error)})

    # The I/O thread.

    def _io_loop(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._inward, zmq.POLLIN)
        while True:
            ready = dict(poller.poll(PARENT_POLL_MS))
            if os.getppid() != self._parent:
                os._exit(1)
            if self._inward in ready and not self._forward():
                self._router.close()
                return
            if self._router in ready:
                self._receive()

    def _forward(self) -> bool:
        """Pass one message of the main thread to its client; False at the end of the worker."""
        client, *frames = self._inward.recv_multipart(copy=False)
        if not frames:
            return False
        header = msgspec.msgpack.decode(frames[0].buffer, type=dict[str, Any])
        if header["t"] in ("res", "err"):
            self._live.pop((client.bytes, header["id"]), None)
        self._send(client.bytes, frames)
        return True

    def _receive(self) -> None:
        client, *frames = self._router.recv_multipart(copy=False)
        identity = client.bytes
        try:
            header = wire.decode_header(frames[0].buffer if frames else b"")
            if not isinstance(header, Hello) and identity not in self._clients:
                raise WorkerError(
                    "NO_HELLO", "no hello came on this connection; if it was re-made, the session is lost"
                )
            self._dispatch(identity, header, frames[1:])
        except WorkerError as error:
            self._send(identity, wire.encode_message("err", 0, {"e": envelope(error)}))

    def _dispatch(self, client: bytes, header: Header, frames: list[Any]) -> None:
        match header:
            case Hello():
                self._hello(client, header)
            case Request():
                if (client, header.id) in self._live:
                    raise WorkerError("BAD_MESSAGE", f"request id {header.id} is already in flight")
                job = Job(client, header, frames, self._outward.send_multipart)
                self._live[client, header.id] = job
                self._jobs.put(job)
            case Cancel():
                if job := self._live.get((client, header.id)):
                    job.cancelled.set()
            case Ping():
                self._pong(client, header.id)
            case Bye():
                for job in self._live.values():
                    job.cancelled.set()
                self._jobs.put(None)

    def _hello(self, client: bytes, hello: Hello) -> None:
        if not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            raise WorkerError("UNAUTHORIZED", "the token is not the one this worker was started with")
        lowest, highest = hello.proto
        if not lowest <= PROTOCOL_VERSION <= highest:
            found = (
                f"client {hello.client} speaks protocol {lowest} to {highest}, this worker {PROTOCOL_VERSION}"
            )
            raise WorkerError("BAD_VERSION", f"{found}; install the same version of tms on both sides")
        self._clients.add(client)
        facts = {
            "protocol": PROTOCOL_VERSION,
            "pid": os.getpid(),
            "python": platform.python_version(),
            "verbs": list(VERBS),
        }
        self._send(client, wire.encode_message("welcome", hello.id, facts))

    def _pong(self, client: bytes, ping: int) -> None:
        running = self._running
        age = time.monotonic() - running.started if running else 0.0
        waiting = self._jobs.qsize()
        self._send(
            client,
            wire.encode_message(
                "pong", ping, {"busy": running and running.id, "age": age, "queued": waiting}
            ),
        )

    def _send(self, client: bytes, frames: list[Any]) -> None:
        try:
            self._router.send_multipart([client, *frames], copy=False)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:  # a client that left is no fault
                raise

    def _pair(self, kind: int, *, bind: bool) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.set(zmq.SNDHWM, 0)
        socket.set(zmq.RCVHWM, 0)
        (socket.bind if bind else socket.connect)(PIPE)
        return socket


def envelope(error: Exception) -> dict[str, Any]:
    """Describe an exception for the wire; only faults of the worker and out-of-memory carry a trace."""
    code, data = "INTERNAL", None
    if isinstance(error, WorkerError):
        code, data = error.code, error.data
    elif is_out_of_memory(error):
        code = "OOM"
    trace = (
        "".join(traceback.format_exception(error))[-TRACE_CHARACTERS:]
        if code in ("INTERNAL", "OOM")
        else None
    )
    message = str(error)[:MESSAGE_CHARACTERS] or type(error).__name__
    return {"code": code, "type": type(error).__name__, "message": message, "trace": trace, "data": data}
