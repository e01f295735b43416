"""The worker's process: an I/O thread owns the socket, the main thread runs one request after the other.

Ping and cancel are answered while a request runs. The main thread never touches the ROUTER: it writes to an in-process pipe
that the I/O thread forwards. Here is the broad ``except``: every failure becomes a typed reply.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import zmq

from py_worker import lifeline, wire
from py_worker.errors import EngineLostError, WorkerError, is_device_lost
from py_worker.gate import Gate, Keys, bound, say
from py_worker.job import Job, Run, envelope
from py_worker.protocol import MAX_TENSOR_BYTES
from py_worker.pulse import Pulse
from py_worker.welcome import welcome
from py_worker.wire import Bye, Cancel, Header, Hello, Ping, Request

POLL_MS = 500
MAX_UNREAD = 1000
"""Messages that wait for a client that does not read: then progress and pongs are dropped, and replies wait here. A client has
no more than this many requests here either."""
PIPE = "inproc://replies"


class Server:
    """The socket and the threads of one worker; ``serve`` returns after ``bye``. Made by the thread that runs requests."""

    def __init__(
        self, endpoint: str, token: str, keys: Keys | None = None, verbs: Sequence[str] | None = None
    ) -> None:
        self._token, self._verbs = token, verbs
        self._pulse = Pulse()
        self._is_ready = False
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._live: dict[tuple[bytes, int], Job] = {}
        """Requests without a reply, or whose reply still waits for its client to read."""
        self._owed: deque[tuple[bytes, int | None, list[Any]]] = deque()
        """Client, the request that ends with it (none: a part) and frames."""
        self._running: Job | None = None
        self._clients: set[bytes] = set()
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.set(zmq.SNDHWM, MAX_UNREAD)
        self._router.set(zmq.RCVHWM, MAX_UNREAD)
        self._router.set(zmq.MAXMSGSIZE, MAX_TENSOR_BYTES)
        self._router.set(zmq.ROUTER_MANDATORY, 1)
        self._router.set(zmq.LINGER, 2000)
        self._inward = self._pair(zmq.PULL, bind=True)
        self._outward = self._pair(zmq.PUSH, bind=False)
        self._gate = bound(self._router, endpoint, keys)

    def serve(self, prepare: Callable[[], Run]) -> None:
        """Run requests on the calling thread until a client says ``bye``; clients are welcomed while ``prepare`` works."""
        thread = threading.Thread(target=self._guarded_io_loop, name="io", daemon=True)
        thread.start()
        run = prepare()
        self._is_ready = True
        lost = None
        while lost is None and (job := self._jobs.get()) is not None:
            self._running = job
            lost = self._execute(job, run)
            self._running = None
        self._outward.send_multipart([b""])
        thread.join(timeout=3)
        if lost:
            is_engine = isinstance(lost, EngineLostError)
            sys.exit(str(lost) if is_engine else f"the device's context is lost: {lost}")

    # The main thread.

    def _execute(self, job: Job, run: Run) -> BaseException | None:
        """Run and reply; return what left this process unusable, if anything did."""
        job.started = time.monotonic()
        try:
            result, result_tensors = run(job)
            job.flush_progress()
            job.reply("res", {"r": result}, result_tensors)
        except BaseException as error:  # noqa: BLE001 - the border: whatever happened, a panic of Rust too, becomes the reply
            job.flush_progress()
            job.reply("err", {"e": envelope(error)})
            return error if isinstance(error, EngineLostError) or is_device_lost(error) else None
        return None

    # The I/O thread.

    def _guarded_io_loop(self) -> None:
        """Without this thread nobody would hear of anything any more: its failure, by lack of memory say, ends the worker."""
        try:
            self._io_loop()
        except BaseException:  # noqa: BLE001 - see above
            traceback.print_exc()
            lifeline.end()

    def _io_loop(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._inward, zmq.POLLIN)
        if self._gate:
            poller.register(self._gate.questions, zmq.POLLIN)
        while True:
            ready = dict(poller.poll(POLL_MS))
            if lifeline.has_hung_up():
                lifeline.end()
            if self._gate:
                self._keep(self._gate, ready)
            self._idle_seconds()
            self._pay()
            if self._inward in ready and not self._forward():
                self._router.close()
                return
            if self._router in ready:
                self._receive()

    def _keep(self, gate: Gate, ready: dict[Any, int]) -> None:
        """Answer who may enter, and end this process with its client: what that asked for is nobody's any more."""
        if gate.questions in ready:
            gate.answer()
        if client := gate.to_probe():
            self._pong(client, 0)
        if self._router not in ready and (why := gate.end(self._clients)):
            say(f"{why}: the worker stops")
            lifeline.end()

    def _forward(self) -> bool:
        """Pass one message of the main thread to its client; False at the end of the worker."""
        client, *frames = self._inward.recv_multipart(copy=False)
        if not frames:
            return False
        header = msgspec.msgpack.decode(frames[0].buffer, type=dict[str, Any])
        if header["t"] in ("res", "part", "err"):
            ended = None if header["t"] == "part" else header["id"]
            self._owed.append((client.bytes, ended, frames))
            self._pay()
        else:
            self._send(client.bytes, frames)
        return True

    def _pay(self) -> None:
        """Send the replies that are owed and their parts, in order, as far as their clients read."""
        slow: set[bytes] = set()
        for _ in range(len(self._owed)):
            client, ended, frames = self._owed.popleft()
            if client in slow or not self._send(client, frames):
                slow.add(client)
                self._owed.append((client, ended, frames))
            elif ended is not None:
                self._live.pop((client, ended), None)

    def _receive(self) -> None:
        client, *frames = self._router.recv_multipart(copy=False)
        identity = client.bytes
        try:
            header = wire.decode_header(frames[0].buffer if frames else b"")
            if not isinstance(header, Hello) and identity not in self._clients:
                raise WorkerError(
                    "NO_HELLO", "no hello came on this connection; if it was re-made, the session is lost"
                )
            if self._gate:
                self._gate.heard(identity)
            self._dispatch(identity, header, frames[1:])
        except WorkerError as error:
            self._send(identity, wire.encode_message("err", 0, {"e": envelope(error)}))

    def _dispatch(self, client: bytes, header: Header, frames: list[Any]) -> None:
        match header:
            case Hello():
                self._hello(client, header)
            case Request():
                self._accept(Job(client, header, frames, self._outward.send_multipart, self._pulse.beat))
            case Cancel():
                if job := self._live.get((client, header.id)):
                    job.cancelled.set()
            case Ping():
                self._pong(client, header.id)
            case Bye():
                for job in self._live.values():
                    job.cancelled.set()
                self._jobs.put(None)

    def _accept(self, job: Job) -> None:
        if (job.client, job.id) in self._live:
            raise WorkerError("BAD_MESSAGE", f"request id {job.id} is already in flight")
        if sum(client == job.client for client, _ in self._live) >= MAX_UNREAD:
            refusal = WorkerError("BAD_MESSAGE", f"{MAX_UNREAD} requests of this client wait already")
            self._send(job.client, wire.encode_message("err", job.id, {"e": envelope(refusal)}))
            return
        self._live[job.client, job.id] = job
        self._jobs.put(job)

    def _hello(self, client: bytes, hello: Hello) -> None:
        facts = welcome(hello, self._token, self._verbs)
        if self._gate:
            self._gate.admit(client)
        self._clients.add(client)
        self._send(client, wire.encode_message("welcome", hello.id, facts))

    def _pong(self, client: bytes, ping: int) -> None:
        running = self._running
        facts = {
            "busy": running and running.id,
            "age": time.monotonic() - running.started if running else 0.0,
            "queued": self._jobs.qsize(),
            "idle": self._idle_seconds(),
            "place": self._pulse.place(),
        }
        self._send(client, wire.encode_message("pong", ping, facts))

    def _idle_seconds(self) -> float:
        return self._pulse.idle_seconds(is_busy=self._running is not None or not self._is_ready)

    def _send(self, client: bytes, frames: list[Any]) -> bool:
        """Say whether the message is on its way, or its client gone; False where the client reads nothing: never wait for it."""
        try:
            self._router.send_multipart([client, *frames], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._clients.discard(client)
        return True

    def _pair(self, kind: int, *, bind: bool) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.set(zmq.SNDHWM, 0)
        socket.set(zmq.RCVHWM, 0)
        (socket.bind if bind else socket.connect)(PIPE)
        return socket
