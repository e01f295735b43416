"""A worker on the network, on real sockets and without torch: who gets in, who gets nothing, when its time is over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from zmq.utils import z85

from py_worker.__main__ import keys_for
from py_worker.gate import keys_of

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("stand_in.py")


class Client:
    """A DEALER with a key pair of its own."""

    def __init__(self, worker=None, pair=None):
        self.public, self.secret = pair or zmq.curve_keypair()
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        if worker:
            self.connect(worker["endpoint"], worker["key"])

    @property
    def key(self):
        return z85.decode(self.public).hex()

    def connect(self, endpoint, server_key):
        self.socket.curve_publickey, self.socket.curve_secretkey = self.public, self.secret
        self.socket.curve_serverkey = z85.encode(bytes.fromhex(server_key))
        self.socket.connect(endpoint)
        return self

    def send(self, header):
        self.socket.send(msgspec.msgpack.encode(header))

    def receive(self):
        assert self.socket.poll(60_000), "no answer"
        return msgspec.msgpack.decode(self.socket.recv_multipart()[0])

    def greet(self, nonces=()):
        hello = {"proto": (1, 1), "client": "test", "token": "", "nonces": nonces}
        self.send({"v": 1, "t": "hello", "id": 1, **hello})
        return self.receive()


def start(*clients, lease=30.0) -> tuple[Any, dict[str, Any]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TMS_WORKER_ALLOW": " ".join(client.key for client in clients),
        "TMS_WORKER_LEASE_SECONDS": str(lease),
    }
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process: Any = subprocess.Popen([sys.executable, STAND_IN], cwd=ROOT, env=environment, text=True, **pipes)
    return process, json.loads(process.stdout.readline())


@pytest.fixture
def allowed():
    client, other = Client(), Client()
    process, place = start(client, other)
    client.connect(place["endpoint"], place["key"])
    other.connect(place["endpoint"], place["key"])
    yield process, place, client, other
    for made in (client, other):
        made.socket.close()
    process.kill()
    process.communicate()


def test_who_is_allowed_is_welcomed_and_told_which_files_are_seen(allowed, tmp_path):
    process, place, client, _ = allowed
    (tmp_path / "nonce").write_text("5f3a")
    welcome = client.greet([str(tmp_path / "nonce"), str(tmp_path / "absent")])
    assert (welcome["t"], welcome["pid"], place["pid"]) == ("welcome", process.pid, process.pid)
    assert welcome["seen"] == ["5f3a", None]


def test_a_foreign_key_a_wrong_server_key_and_a_plain_peer_get_nothing(allowed):
    process, place, client, _ = allowed
    foreign = Client(place)
    wrong = Client(pair=(client.public, client.secret)).connect(place["endpoint"], Client().key)
    plain = Client()
    plain.socket.connect(place["endpoint"])
    for peer in (foreign, wrong, plain):
        peer.send({"v": 1, "t": "hello", "id": 1, "proto": (1, 1), "client": "x", "token": "", "nonces": []})
    assert client.greet()["t"] == "welcome"  # the worker answered meanwhile
    assert process.stderr.readline() == (
        f"refused a client at 127.0.0.1 with the key {foreign.key}: not allowed\n"
    )
    for peer in (foreign, wrong, plain):
        assert not peer.socket.poll(300)
        peer.socket.close()


def test_one_client_at_a_time_is_served(allowed):
    _, _, client, other = allowed
    assert client.greet()["t"] == "welcome"
    error = other.greet()
    assert (error["t"], error["e"]["code"]) == ("err", "BUSY")


def test_a_client_that_closes_its_connection_ends_the_worker_in_the_middle_of_a_request(allowed):
    process, _, client, _ = allowed
    client.greet()
    client.send({"v": 1, "t": "req", "id": 1, "op": "status", "p": {}, "tz": []})
    assert process.stderr.readline() == "status\n"
    client.socket.close()
    assert process.stderr.readline() == "the client closed its connection: the worker stops\n"
    assert process.wait(timeout=60) == 1


def test_silence_for_longer_than_the_lease_ends_the_worker_and_pings_keep_it():
    client = Client()
    process, place = start(client, lease=1)
    client.connect(place["endpoint"], place["key"])
    client.greet()
    began = time.monotonic()
    while time.monotonic() - began < 2:  # twice the lease
        client.send({"v": 1, "t": "ping", "id": 7})
        while client.receive()["id"] != 7:  # 0: those by which the worker tries the connection
            pass
        client.socket.poll(200)
    assert process.poll() is None
    # The connection stands, and is answered by ZeroMQ's own thread; only the words of the client are missing.
    assert process.wait(timeout=60) == 1
    assert process.stderr.readline().startswith("no word of the client for ")
    client.socket.close()
    process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no other signal than SIGIO can be chosen")
def test_whoever_started_the_worker_takes_it_along(allowed):
    process, _, client, _ = allowed
    client.greet()
    process.stdin.close()
    assert process.wait(timeout=60) in (1, -signal.SIGKILL)
    process.stdin = None


def test_keys_that_are_none_are_refused_and_secrets_leave_the_environment():
    with pytest.raises(ValueError, match="names nobody"):
        keys_of({"TMS_WORKER_ALLOW": " "})
    for key in ("abc", "zz" * 32):
        with pytest.raises(ValueError, match=r"TMS_WORKER_ALLOW|hexadecimal"):
            keys_of({"TMS_WORKER_ALLOW": key})
    environment = {"TMS_WORKER_ALLOW": "0f" * 32, "TMS_WORKER_SECRET": "0a" * 32}
    assert keys_of(environment).allowed == {"0f" * 32}
    assert environment == {}


def test_a_worker_on_the_network_that_lets_nobody_in_does_not_start(monkeypatch):
    monkeypatch.delenv("TMS_WORKER_ALLOW", raising=False)
    with pytest.raises(
        SystemExit, match=r"tcp://127.0.0.1:\*: .* TMS_WORKER_ALLOW names, and it names nobody"
    ):
        keys_for("tcp://127.0.0.1:*")
    assert keys_for("ipc:///tmp/w") is None
