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

ROOT = Path(__file__).parents[2]
TOKEN = "secret"


class Peer:
    """A DEALER socket with raw sends."""

    def __init__(self, endpoint):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)

    def send(self, *frames):
        self.socket.send_multipart(
            [frame if isinstance(frame, bytes) else msgspec.msgpack.encode(frame) for frame in frames]
        )

    def receive(self, seconds=120.0):
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


def start(endpoint, **changes):
    environment = {
        **os.environ,
        "TMS_WORKER_ENDPOINT": endpoint,
        "TMS_WORKER_TOKEN": TOKEN,
        "TMS_WORKER_PARENT": str(os.getpid()),
    }
    return subprocess.Popen([sys.executable, "-m", "py_worker"], cwd=ROOT, env={**environment, **changes})


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
        ("forward", {"returnEntropy": "yes"}, "BAD_PARAMS", "$.returnEntropy"),
        ("forward", {"returnEntropy": False}, "BAD_PARAMS", "tensor `ids` is missing"),
        ("save", {"path": "x", "kind": "weights"}, "NO_MODEL", "no model is loaded"),
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
    frames = [request("forward", {"returnEntropy": True}) | {"tz": [["ids", "i32", [2]]]}, b"123"]
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


def test_interrupt_is_left_to_the_client_and_a_missing_parent_ends_the_worker(tmp_path):
    endpoint = f"ipc://{tmp_path}/s"
    process = start(endpoint)
    peer = Peer(endpoint)
    peer.greet()
    process.send_signal(signal.SIGINT)
    assert peer.ask({"v": 1, "t": "ping", "id": 1})["t"] == "pong"
    peer.send({"v": 1, "t": "bye", "id": 0})
    assert process.wait(timeout=600) == 0  # an interrupt that counted would be the exit code
    assert start(endpoint, TMS_WORKER_PARENT="1").wait(timeout=600) == 1


def test_started_by_hand_it_says_what_it_is():
    result = subprocess.run(
        [sys.executable, "-m", "py_worker"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "started by tms, not by hand" in result.stderr
