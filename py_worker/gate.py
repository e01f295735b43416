"""A worker on the network: who may speak to it, one client at a time, and until when.

Only public keys are exchanged. Whoever does not hold the secret of an allowed key gets no byte of an answer: libzmq ends the
connection before it reaches the server. Keys are hex outside of ZeroMQ: its own spelling of them is none for a shell or YAML.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import MutableMapping
from dataclasses import dataclass

import zmq
from zmq.utils import z85

from py_worker.errors import WorkerError

KEY_BYTES = 32
LEASE_SECONDS = 30.0
PROBE_SECONDS = 1.0
MAX_NOTED = 100
"""Refused keys that are told; a stranger may try for ever."""
HANDLER = "inproc://zeromq.zap.01"
"""Where libzmq asks about keys (RFC 27)."""


@dataclass(frozen=True)
class Keys:
    """The secret of this worker (None: a new one) and the public keys that are let in."""

    secret: str | None
    allowed: frozenset[str]
    lease_seconds: float = LEASE_SECONDS


def keys_of(environment: MutableMapping[str, str]) -> Keys:
    """Take the keys out of the environment; raises ValueError where none is allowed or one is no key."""
    secret = environment.pop("TMS_WORKER_SECRET", None)
    allowed = frozenset(environment.pop("TMS_WORKER_ALLOW", "").split())
    if not allowed:
        raise ValueError("a worker on the network lets in whom TMS_WORKER_ALLOW names, and it names nobody")
    for key in allowed | ({secret} if secret else set()):
        if len(bytes.fromhex(key)) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes in hex, and one of TMS_WORKER_ALLOW has not")
    return Keys(secret, allowed, float(environment.get("TMS_WORKER_LEASE_SECONDS", LEASE_SECONDS)))


def bound(router: zmq.Socket[bytes], endpoint: str, keys: Keys | None) -> Gate | None:
    """Bind; behind keys tell whoever started this process where, as a port may be ``*``, and under which key."""
    gate = Gate(router.context, keys) if keys else None
    if gate:
        gate.protect(router)
    router.bind(endpoint)
    if gate:
        place = {"endpoint": router.get_string(zmq.LAST_ENDPOINT), "key": gate.key, "pid": os.getpid()}
        sys.stdout.write(f"{json.dumps(place)}\n")
        sys.stdout.flush()
    return gate


class Gate:
    """Keys in front of a ROUTER, and the lease of the client behind them; for the thread that owns the ROUTER."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: Keys) -> None:
        public, own = zmq.curve_keypair() if keys.secret is None else _pair_of(keys.secret)
        self.key = z85.decode(public).hex()
        """What a client must know of this worker."""
        self._secret = own
        self._allowed = {bytes.fromhex(key) for key in keys.allowed}
        self._lease_seconds = keys.lease_seconds
        self._noted: set[bytes] = set()
        self._holder: bytes | None = None
        self._heard = self._probed = time.monotonic()
        self.questions = context.socket(zmq.REP)
        """Libzmq asks here, of each new connection."""
        self.questions.bind(HANDLER)

    def protect(self, router: zmq.Socket[bytes]) -> None:
        """Before it is bound."""
        router.curve_server = True
        router.curve_secretkey = self._secret
        router.set(zmq.ZAP_DOMAIN, b"tms")

    def answer(self) -> None:
        """Take one question of libzmq."""
        version, number, _, address, _, mechanism, *credentials = self.questions.recv_multipart()
        key = credentials[0] if mechanism == b"CURVE" and credentials else b""
        verdict = (b"200", b"OK") if key in self._allowed else (b"400", b"this key is not allowed")
        if verdict[0] != b"200" and key not in self._noted and len(self._noted) < MAX_NOTED:
            self._noted.add(key)
            say(
                f"refused a client at {address.decode(errors='replace')} with the key {key.hex()}: not allowed"
            )
        self.questions.send_multipart([version, number, *verdict, key.hex().encode(), b""])

    def admit(self, client: bytes) -> None:
        """Take the client, for good: the model and what runs are its own. Raises BUSY."""
        if self._holder not in (None, client):
            raise WorkerError("BUSY", "this worker serves another client, which said something just now")
        self._holder = client
        self._heard = time.monotonic()

    def heard(self, client: bytes) -> None:
        """Note a sign of life."""
        if client == self._holder:
            self._heard = time.monotonic()

    def to_probe(self) -> bytes | None:
        """Return the client whose connection should be tried now."""
        now = time.monotonic()
        if self._holder is None or now - self._probed < PROBE_SECONDS:
            return None
        self._probed = now
        return self._holder

    def end(self, clients: set[bytes]) -> str | None:
        """Say why the client's time is over; ask only where nothing of it waits to be read."""
        if self._holder is None:
            return None
        if self._holder not in clients:
            return "the client closed its connection"
        silent = time.monotonic() - self._heard
        return f"no word of the client for {silent:.0f} s" if silent > self._lease_seconds else None


def say(line: str) -> None:
    """For whoever reads what this worker prints."""
    sys.stderr.write(f"{line}\n")


def _pair_of(secret: str) -> tuple[bytes, bytes]:
    own = z85.encode(bytes.fromhex(secret))
    return zmq.curve_public(own), own
