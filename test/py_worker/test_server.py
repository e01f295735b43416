"""The worker process on a real socket, spoken to without the client: handshake, refusals, hostile peers, its end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import zmq

from py_worker.__main__ import set_defaults

ROOT = Path(__file__).parents[2]
TOKEN = "secret"


class Peer:
    """A DEALER socket with raw sends, which keeps at most ``kept`` messages on either way itself; 0: all."""

    def __init__(self, endpoint, kept=0):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.hwm = kept
        self.socket.connect(endpoint)

    def send(self, *frames):
        self.socket.send_multipart(
            [frame if isinstance(frame, bytes) else msgspec.msgpack.encode(frame) for frame in frames]
        )

    def receive(self, seconds=600.0):
        # The first request imports torch: minutes where the machine is full and the disk is cold.
        assert self.socket.poll(int(seconds * 1000)), "no answer"
        return msgspec.msgpack.decode(self.socket.recv_multipart()[0])

    def ask(self, *frames):
        self.send(*frames)
        return self.receive()

    def greet(self, token=TOKEN, proto=(1, 1)):
        return self.ask({"v": 1, "t": "hello", "id": 1, "proto": proto, "client": "test", "token": token})


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    return f"ipc://{tmp_path_factory.mktemp('w')}/s"


def start(endpoint, command=("-m", "py_worker"), **options):
    environment = {**os.environ, "TMS_WORKER_ENDPOINT": endpoint, "TMS_WORKER_TOKEN": TOKEN}
    return subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, **{"stdin": subprocess.PIPE, **options}
    )


@pytest.fixture(scope="module")
def worker(endpoint):
    process = start(endpoint)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def peer(worker, endpoint):
    made = Peer(endpoint)
    yield made
    made.socket.close()


def request(op, params, request_id=1):
    return {"v": 1, "t": "req", "id": request_id, "op": op, "p": params, "tz": []}


def test_a_good_hello_is_welcomed_with_version_and_verbs(peer, worker):
    welcome = peer.greet()
    assert welcome["t"] == "welcome"
    assert (welcome["protocol"], welcome["pid"]) == (1, worker.pid)
    assert {"load", "forwardBackward", "generate"} <= set(welcome["verbs"])


@pytest.mark.parametrize(
    ("token", "proto", "code", "message"),
    [
        ("wrong", (1, 1), "UNAUTHORIZED", "token is not the one"),
        (TOKEN, (2, 3), "BAD_VERSION", "client test speaks protocol 2 to 3, this worker 1"),
    ],
)
def test_a_bad_hello_is_refused_and_opens_nothing(peer, token, proto, code, message):
    error = peer.greet(token, proto)
    assert (error["t"], error["id"], error["e"]["code"]) == ("err", 0, code)
    assert message in error["e"]["message"]
    assert peer.ask(request("status", {"digest": False}))["e"]["code"] == "NO_HELLO"


def test_requests_are_answered_or_refused_by_their_own_id(peer):
    peer.greet()
    for op, params, code, message in [
        ("dance", {}, "UNKNOWN_VERB", "no verb `dance`"),
        (
            "forward",
            {"returnEntropy": "yes", "topK": 0, "kept": False, "other": None},
            "BAD_PARAMS",
            "$.returnEntropy",
        ),
        (
            "forward",
            {"returnEntropy": False, "topK": 0, "kept": False, "other": None},
            "BAD_PARAMS",
            "tensor `ids` is missing",
        ),
        ("save", {"path": "x", "kind": "weights", "stopIds": None}, "NO_MODEL", "no model is loaded"),
    ]:
        error = peer.ask(request(op, params, 5))
        assert (error["id"], error["e"]["code"]) == (5, code)
        assert message in error["e"]["message"]
    status = peer.ask(request("status", {"digest": False}, 6))
    assert (status["t"], status["id"]) == ("res", 6)
    assert status["r"]["determinism"]["MKL_CBWR"] == os.environ["MKL_CBWR"]


def test_ping_is_answered_beside_the_queue(peer):
    peer.greet()
    pong = peer.ask({"v": 1, "t": "ping", "id": 8})
    assert (pong["t"], pong["id"], pong["queued"]) == ("pong", 8, 0)


def test_hostile_frames_are_answered_with_errors_and_leave_the_worker_alive(peer, endpoint):
    stranger = Peer(endpoint)
    generator = random.Random(2)
    for _ in range(2_000):
        stranger.send(
            *[generator.randbytes(generator.randrange(200)) for _ in range(generator.randrange(1, 4))]
        )
    stranger.send(b"")
    stranger.send(b"\x91" * 100_000)
    stranger.send({"v": 1, "t": "welcome", "id": 1})
    for _ in range(2_003):
        assert stranger.receive()["e"]["code"] in ("BAD_MESSAGE", "BAD_VERSION", "NO_HELLO")
    stranger.greet()
    frames = [
        request("forward", {"returnEntropy": True, "topK": 0, "kept": False, "other": None})
        | {"tz": [["ids", "i32", [2]]]},
        b"123",
    ]
    assert stranger.ask(*frames)["e"]["message"] == "tensor `ids` [2] i32 needs 8 bytes, got 3"
    assert stranger.ask(request("status", {"digest": False}, 4))["t"] == "res"
    stranger.socket.close()
    assert peer.greet()["t"] == "welcome"


def test_bye_ends_the_worker_with_exit_code_0(tmp_path):
    process = start(f"ipc://{tmp_path}/s")
    peer = Peer(f"ipc://{tmp_path}/s")
    peer.greet()
    peer.send({"v": 1, "t": "bye", "id": 0})
    assert process.wait(timeout=600) == 0


def test_interrupt_is_left_to_the_client(tmp_path):
    endpoint = f"ipc://{tmp_path}/s"
    process = start(endpoint)
    peer = Peer(endpoint)
    peer.greet()
    process.send_signal(signal.SIGINT)
    assert peer.ask({"v": 1, "t": "ping", "id": 1})["t"] == "pong"
    peer.send({"v": 1, "t": "bye", "id": 0})
    assert process.wait(timeout=600) == 0  # an interrupt that counted would be the exit code


STAND_IN = """
import os
import sys
import threading
from py_worker import lifeline
from py_worker.protocol import DecodeResult
from py_worker.server import Server

def run(job):
    print(job.request.op, file=sys.stderr, flush=True)
    if job.request.op == "save":
        threading.Event().wait()
    if job.request.op == "load":
        9 ** (9 ** 9)  # for an age in one call that holds the lock of Python
    if job.request.op == "decode":
        raise RuntimeError("CUDA error: device-side assert triggered")
    if job.request.op == "encode":
        raise BaseException("a panic of Rust")
    return DecodeResult(texts=[]), {}

lifeline.tie()
Server(os.environ["TMS_WORKER_ENDPOINT"], os.environ["TMS_WORKER_TOKEN"]).serve(lambda: run)
"""
"""A worker whose verbs wait, compute or fail as asked, on the real socket and threads."""


@pytest.fixture
def stand_in(tmp_path):
    process = start(f"ipc://{tmp_path}/s", ("-c", STAND_IN), stderr=subprocess.PIPE, text=True)
    peer = Peer(f"ipc://{tmp_path}/s")
    peer.greet()
    yield process, peer
    peer.socket.close()
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no other signal than SIGIO can be chosen")
def test_a_worker_that_is_stopped_ends_with_its_client(stand_in):
    process, _ = stand_in
    process.send_signal(signal.SIGSTOP)
    process.stdin.close()
    assert process.wait(timeout=600) == -signal.SIGKILL


@pytest.mark.parametrize("verb", ["save", "load", None])
def test_a_worker_ends_with_its_client_whatever_it_is_doing(stand_in, verb):
    process, peer = stand_in
    if verb:
        peer.send(request(verb, {}))
        assert process.stderr.readline() == f"{verb}\n"  # it runs
    process.stdin.close()  # what the system does when the client dies
    assert process.wait(timeout=600) in (1, -signal.SIGIO, -signal.SIGKILL)


def test_a_request_that_waits_for_ever_shows_itself_in_the_pongs(stand_in):
    _, peer = stand_in
    peer.send(request("save", {}, 7))
    pings = iter(range(1, 10_000))
    while (pong := peer.ask({"v": 1, "t": "ping", "id": next(pings)}))["idle"] <= 6:
        assert pong["busy"] in (7, None)  # none: not begun yet
        peer.socket.poll(200)  # nothing comes: a flood of pings would be work
    assert pong["busy"] == 7
    assert "serve > " in pong["place"]
    assert pong["place"].endswith(" wait")


def test_a_lost_device_answers_and_ends_the_worker_with_the_cause(stand_in):
    process, peer = stand_in
    error = peer.ask(request("decode", {}, 3))["e"]
    assert error["code"] == "INTERNAL"
    assert "so the worker ends: CUDA error: device-side assert" in error["message"]
    assert process.wait(timeout=600) == 1
    assert "context is lost: CUDA error: device-side assert" in process.stderr.read()


def test_a_panic_of_a_library_is_a_reply_and_no_end(stand_in):
    _, peer = stand_in
    assert peer.ask(request("encode", {}, 3))["e"]["message"] == "a panic of Rust"
    assert peer.ask(request("status", {}, 4))["t"] == "res"


def test_a_client_that_never_reads_costs_bounded_memory_and_blocks_nobody(stand_in, tmp_path):
    process, peer = stand_in
    greedy = Peer(f"ipc://{tmp_path}/s", kept=1)  # so that a send waits until the worker took the one before
    greedy.greet()
    peer.send(request("save", {}, 1))  # so that requests wait
    params = {"filler": "x" * 6_000}

    def flood(first):
        for number in range(first, first + 5_000):
            greedy.send(request("status", params, number))
            greedy.send({"v": 1, "t": "ping", "id": 1})
        assert peer.ask({"v": 1, "t": "ping", "id": 1})["queued"] == 1000

    flood(10)
    before = resident_bytes(process.pid)
    for round_ in range(1, 3):
        flood(10 + round_ * 10_000)
    assert resident_bytes(process.pid) - before < 8 << 20  # the requests are 60 MB
    answers = 0
    while greedy.socket.poll(2000):
        greedy.socket.recv_multipart()
        answers += 1
    assert answers < 10_000  # of 29 000: 1000 wait in the worker, some in the system
    greedy.socket.close()


def test_replies_wait_for_a_client_that_reads_late(stand_in, tmp_path):
    process, peer = stand_in
    late = Peer(f"ipc://{tmp_path}/s", kept=1)
    late.greet()
    for _ in range(20_000):
        late.send({"v": 1, "t": "ping", "id": 1})
    for number in range(2, 66):
        late.send(request("status", {}, number))
    assert [process.stderr.readline() for _ in range(64)] == ["status\n"] * 64
    peer.ask(request("status", {}, 1))  # after them: their replies had to wait
    replies = []
    while len(replies) < 64:
        message = late.receive()
        if message["t"] == "res":
            replies.append(message["id"])
    assert replies == list(range(2, 66))


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_started_by_hand_it_says_what_it_is():
    result = subprocess.run(
        [sys.executable, "-m", "py_worker"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "started by tms, not by hand" in result.stderr


def test_without_a_pipe_as_stdin_it_says_what_a_wrapper_must_do(tmp_path):
    process = start(f"ipc://{tmp_path}/s", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "pass stdin on" in said


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}),
        ({"PYTORCH_ALLOC_CONF": "backend:native"}, {"PYTORCH_ALLOC_CONF": "backend:native"}),
        ({"PYTORCH_CUDA_ALLOC_CONF": "backend:native"}, {"PYTORCH_CUDA_ALLOC_CONF": "backend:native"}),
    ],
)
def test_memory_grows_in_segments_unless_the_user_said_otherwise(found, expected):
    set_defaults(found)
    assert {name: value for name, value in found.items() if "ALLOC" in name} == expected
