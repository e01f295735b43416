"""Lines of metrics.jsonl as points of curves, with the names that TRL gives them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LINES_AT_ONCE = 500


@dataclass
class Batch:
    """``points``: (training, step, numbers by name); ``end``: the byte behind the last of them."""

    points: list[tuple[str, int, dict[str, float]]] = field(default_factory=list)
    end: int = 0


def read_batches(directory: Path, sent: int) -> Iterator[Batch]:
    """Yield what stands behind byte ``sent``, whole lines only.

    A resume may cut the file shorter and write the same bytes again: until then there is nothing. What came before is read too, for sums.
    """
    path = directory / "metrics.jsonl"
    if not path.exists():
        return
    totals: dict[str, float] = defaultdict(float)
    batch = Batch()
    end = 0
    with path.open("rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            end += len(raw)
            line = json.loads(raw)
            training, step = line.pop("training"), line.pop("step")
            if "num_tokens" in line:
                totals[training] += line["num_tokens"]
                line["num_tokens"] = totals[training]
            if end <= sent:
                continue
            batch.points.append((training, step, renamed(line, roles_of(directory, training, step))))
            batch.end = end
            if len(batch.points) == LINES_AT_ONCE:
                yield batch
                batch = Batch()
    if batch.points:
        yield batch


def renamed(line: dict[str, float], roles: dict[str, str]) -> dict[str, float]:
    """Return the numbers under TRL's names: what a step says under train/, what was measured under eval/ or the role of the set.

    No name is the beginning of another one's path: a store of files could not hold both.
    """
    return {name_of(key, roles): value for key, value in line.items()}


def name_of(key: str, roles: dict[str, str]) -> str:
    """Return ``train/loss`` for ``loss``, ``ROLE/set`` for ``eval/set/accuracy`` of a set with a role of its own."""
    if "/" not in key:
        return f"train/{key}"
    kind, name, *rest = key.split("/")
    role = roles.get(name, "target")
    return f"{role}/{name}" if kind == "eval" and rest == ["accuracy"] and role != "target" else key


def roles_of(directory: Path, training: str, step: int) -> dict[str, str]:
    """Return the role of each set that was measured of these weights; empty for a step."""
    path = directory / "evaluation" / f"{training}-step-{step:06d}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {entry["name"]: entry["role"] for entry in record["sets"]}
