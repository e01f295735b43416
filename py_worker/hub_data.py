"""Data sets of the Hugging Face hub, or directories of the same layout, as JSON lines; asked through src/data/hub.ts."""

from __future__ import annotations

import datetime
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from py_worker.hub import explained
from py_worker.side import RefusedError, library, rpc

# Else datasets imports torch for a stream, which takes ten seconds.
os.environ["USE_TORCH"] = "0"

ROWS_AT_ONCE = 1_000


@rpc
def commit_of(path: str, revision: str) -> str:
    """Return the commit that a branch, tag or commit of a data set stands for."""
    hub = library("huggingface_hub", "datasets")
    with explained(f"the data set {path}", revision):
        return hub.HfApi().dataset_info(path, revision=revision, timeout=60).sha


@rpc
def write_split(
    path: str, name: str | None, split: str, revision: str | None, rows: int | None, out: str
) -> dict[str, Any]:
    """Write a split to ``out``, one JSON object a row; ``rows``: stream the first so many instead of fetching all.

    ``revision`` is null for a directory.
    """
    datasets = library("datasets", "datasets")
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    what = f"the data set {path}"
    with explained(what, revision):
        checked(datasets, {"path": path, "name": name, "revision": revision}, split)
        found = datasets.load_dataset(path, name, split=split, revision=revision, streaming=rows is not None)
        return {"rows": write_rows(found.with_format("arrow"), rows, Path(out)), "columns": columns_of(found)}


def checked(datasets: Any, where: dict[str, Any], split: str) -> None:
    """Raise ``RefusedError`` for a configuration or a split that is not there, with the names of those that are."""
    path, name, revision = where["path"], where["name"], where["revision"]
    names = datasets.get_dataset_config_names(path, revision=revision)
    if name is None and len(names) > 1 and "default" not in names:
        raise RefusedError(
            f"the data set {path} has several configurations: {', '.join(names)}",
            f"say which: dataset_config: {names[0]}",
        )
    if name is not None and name not in names:
        raise RefusedError(
            f"the data set {path} has no configuration {name!r}", f"there are: {', '.join(names)}"
        )
    splits = datasets.get_dataset_split_names(path, name, revision=revision)
    if split.split("[")[0] not in splits:
        raise RefusedError(f"the data set {path} has no split {split!r}", f"there are: {', '.join(splits)}")


def columns_of(found: Any) -> list[str]:
    """Return the names of the columns; of some streams they are known only when rows were read."""
    return list(found.column_names or [])


def write_rows(found: Any, most: int | None, out: Path) -> int:
    """Write the first ``most`` rows, all without a limit; return how many there were."""
    count = 0
    with out.open("w", encoding="utf-8") as file:
        for row in limited(rows_of(found), most):
            file.write(json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def limited(rows: Iterator[dict[str, Any]], most: int | None) -> Iterator[dict[str, Any]]:
    """Yield the first ``most``, without asking for one more."""
    if most == 0:
        return
    for place, row in enumerate(rows, 1):
        yield row
        if place == most:
            return


def rows_of(found: Any) -> Iterator[dict[str, Any]]:
    """Yield rows as they are stored: nothing is decoded, so that no library for images or sounds is needed."""
    tables: Iterable[Any] = found.iter(batch_size=ROWS_AT_ONCE)
    for table in tables:
        yield from table.to_pylist()


def plain(value: Any) -> Any:
    """Return a value as src/data/parquet-values.ts writes one of Parquet: no number is rounded, nothing is made up."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal | datetime.timedelta):
        return str(value)
    if isinstance(value, bytes):
        return text_of(value)
    return value


def text_of(value: bytes) -> Any:
    """Return bytes as a text where they are one, else as a block, which nobody takes for a text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        import base64

        return {"base64": base64.b64encode(value).decode()}
