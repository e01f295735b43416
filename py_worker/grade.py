"""Verdicts on answers by Python libraries; asked through src/evaluation/python-verdicts.ts. The work is done by a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from py_worker.side import RefusedError, rpc

ROOT = Path(__file__).resolve().parents[1]


@rpc
def grade(items: list[dict[str, Any]], seconds: float) -> list[Any]:
    """Return a verdict on each item, in order, none taking longer than ``seconds``."""
    environment = {name: value for name, value in os.environ.items() if name != "NODE_CHANNEL_FD"}
    environment["PYTHONHASHSEED"] = (
        "0"  # sympy's way to a value, and so whether it gets there, goes by the order of sets
    )
    done = subprocess.run(
        [sys.executable, "-m", "py_worker.grading"],
        input=json.dumps({"items": items, "seconds": seconds}),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment,
        text=True,
        encoding="utf-8",
        check=True,
    )
    found = json.loads(done.stdout)
    if "missing" in found:
        raise RefusedError(
            f"grading needs the Python package {found['missing']}, which is not installed", "npx tms setup"
        )
    return found["verdicts"]
