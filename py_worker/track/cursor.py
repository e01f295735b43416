"""What of a run a tracker has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Cursor:
    """``sent``: bytes of metrics.jsonl; ``handles``: what the tracker calls its runs. Of another run in the same place it knows nothing."""

    def __init__(self, directory: Path, tracker: str) -> None:
        self.path = directory / "trackers" / f"{tracker}.json"
        run = json.loads((directory / "run.json").read_text())["id"]
        known = self._read()
        self.state: dict[str, Any] = (
            known if known.get("run") == run else {"run": run, "sent": 0, "handles": {}}
        )

    @property
    def sent(self) -> int:
        """Return the byte of metrics.jsonl behind what was sent."""
        return self.state["sent"]

    @property
    def handles(self) -> dict[str, str]:
        """Return what the tracker calls the run of each training; what is put in is kept with the next ``move``."""
        return self.state["handles"]

    def move(self, sent: int) -> None:
        """Note that everything before ``sent`` was sent; whole or not at all."""
        self.state["sent"] = sent
        self.path.parent.mkdir(exist_ok=True)
        part = self.path.with_suffix(".part")
        with part.open("w") as file:
            file.write(json.dumps(self.state) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
