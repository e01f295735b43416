"""Send the metrics of a run directory to one tracker: ``python -m py_worker.track DIR --to NAME [--follow]``.

With ``--follow`` until standard input ends, which is when the run does. What was sent is noted in ``DIR/trackers/NAME.json``, so that
another start goes on behind it. Standard output has one JSON object a line, for src/runner/track.ts: ``{"say"}`` or ``{"warning", "fix"}``.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
from pathlib import Path
from typing import Any, TextIO

from py_worker.side import MissingPackageError, RefusedError
from py_worker.track.cursor import Cursor
from py_worker.track.metrics import read_batches
from py_worker.track.trackers import openers

POLL_SECONDS = 1.0


def main() -> int:
    """Return 0 when everything that there is was sent."""
    parser = argparse.ArgumentParser(prog="python -m py_worker.track")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--to", required=True, choices=sorted(openers))
    parser.add_argument("--name", required=True)
    parser.add_argument("--follow", action="store_true")
    options = parser.parse_args()
    answers = private_output()
    try:
        send(options, answers)
    except (MissingPackageError, RefusedError) as error:
        extra = getattr(error, "extra", None)
        tell(answers, {"warning": str(error), "fix": getattr(error, "fix", None), "extra": extra})
        return 1
    except Exception as error:  # noqa: BLE001 - whatever a tracker raises is its own trouble, and ends only this process
        tell(answers, {"warning": f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"})
        return 1
    return 0


def send(options: argparse.Namespace, answers: TextIO) -> None:
    """Send what is there and, while the run goes on, what comes."""
    directory: Path = options.directory
    cursor = Cursor(directory, options.to)
    tracker = openers[options.to](directory, options.name, cursor.handles)
    said = False
    try:
        while True:
            is_over = not (options.follow and goes_on())
            for batch in read_batches(directory, cursor.sent):
                for training, step, metrics in batch.points:
                    tracker.log(training, step, metrics)
                tracker.flush()
                cursor.move(batch.end)
                if not said and batch.points:
                    tell(answers, {"say": tracker.where()})
                    said = True
            if is_over:
                return
    finally:
        tracker.finish()


def goes_on() -> bool:
    """Wait for more lines; False when standard input ended."""
    ready, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
    return not (ready and os.read(0, 1) == b"")


def private_output() -> TextIO:
    """Return the standard output, and let whatever a library prints go to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def tell(answers: TextIO, message: dict[str, Any]) -> None:
    """Write a line, unless nobody reads any more."""
    try:
        answers.write(json.dumps(message) + "\n")
        answers.flush()
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())
