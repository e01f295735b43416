"""A worker on the network without torch, run as a program: its verbs wait for ever, but for ``decode``, which answers."""

from __future__ import annotations

import os
import threading

from py_worker import lifeline
from py_worker.gate import keys_of, say
from py_worker.protocol import DecodeResult
from py_worker.server import Server


def run(job):
    if job.request.op == "decode":
        return DecodeResult(texts=["here"]), {}
    say(job.request.op)
    threading.Event().wait()
    raise AssertionError


lifeline.tie()
endpoint = os.environ.get("TMS_WORKER_ENDPOINT", "tcp://127.0.0.1:*")
Server(endpoint, "", keys_of(os.environ)).serve(lambda: run)
