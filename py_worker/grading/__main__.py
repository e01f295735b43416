"""Grade: ``{"seconds", "items"}`` as JSON in, a JSON list with a verdict on each item out, in order.

Verdicts are found in a copy of this process, which is ended when one takes longer than ``seconds``: a power tower hangs where no signal
reaches. The next copy has all libraries already.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import sys
import warnings
from multiprocessing.connection import Connection
from typing import Any

from py_worker.grading import ifeval, same_value, symbolic

MOST_BYTES = 4 * 2**30  # of memory: whole numbers fill any before time is up


def main() -> None:
    """Read the request, write the verdicts."""
    request = json.load(sys.stdin)
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    missing = missing_library({item["kind"] for item in request["items"]})
    if missing is not None:
        json.dump({"missing": missing}, sys.stdout)
        return
    copy = Copy()
    try:
        json.dump({"verdicts": [copy.ask(item, request["seconds"]) for item in request["items"]]}, sys.stdout)
    finally:
        copy.end()


def missing_library(kinds: set[str]) -> str | None:
    """Import what the kinds need, here, so that every copy has it; return the name of what is not installed."""
    try:
        for kind in kinds:
            (symbolic if kind == "math" else ifeval).load()
    except ImportError as error:
        return error.name or str(error)
    return None


class Copy:
    """A copy of this process that judges; a new one stands in for one that was ended."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("fork")
        self.process: Any = None
        self.ours: Connection | None = None

    def ask(self, item: dict[str, Any], seconds: float) -> Any:
        """Return the verdict on one item."""
        ours = self.ours if self.process is not None and self.ours is not None else self.begin()
        try:
            ours.send(item)
            if ours.poll(seconds):
                return ours.recv()
            failure = f"took longer than {seconds:g} s"
        except (EOFError, OSError):
            failure = "the process ended"
        self.end()
        return {"failed": failure}

    def begin(self) -> Connection:
        """Fork."""
        self.ours, theirs = self.context.Pipe()
        self.process = self.context.Process(target=judge_all, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        return self.ours

    def end(self) -> None:
        """End the copy; may be called again."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
        self.process = None


def judge_all(theirs: Connection) -> None:
    """Answer one item after the other, until the other side is gone."""
    limit_memory()
    while True:
        try:
            theirs.send(verdict(theirs.recv()))
        except (EOFError, OSError):
            return


def verdict(item: dict[str, Any]) -> Any:
    """Return what an item comes to; a failure of a library is a verdict, too."""
    try:
        if item["kind"] == "math":
            return {"isRight": same_value.is_same(item["answer"], item["expected"])}
        return ifeval.verdicts(item["prompt"], item["names"], item["arguments"], item["text"])
    except MemoryError:
        return {"failed": "out of memory"}
    except Exception as error:  # noqa: BLE001 - sympy raises anything; what it cannot compare is not equal
        return {"failed": f"{type(error).__name__}: {error}"[:300]}


def limit_memory() -> None:
    """Let an allocation fail before the machine does, where the system can."""
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, hard))
    except (ImportError, ValueError, OSError):
        return


if __name__ == "__main__":
    main()
