"""What a saved directory held, written beside it, so that a byte that changed since is found before it is used."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from py_worker.atomic import file_digest, list_files
from py_worker.errors import WorkerError, from_library

MANIFEST_FILE = "saved_files.json"
MANIFEST_FORMAT = 1


def write_manifest(directory: Path, weights_digest: str) -> list[dict[str, Any]]:
    """Write the SHA-256 of every file and the digest of the weights; return name, bytes and SHA-256 of each, this one too."""
    files = list_files(directory)
    manifest = {
        "format": MANIFEST_FORMAT,
        "weights_digest": weights_digest,
        "sha256": {file["name"]: file["sha256"] for file in files},
    }
    path = directory / MANIFEST_FILE
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    own = {"name": path.name, "bytes": path.stat().st_size, "sha256": file_digest(path)}
    return sorted([*files, own], key=lambda file: file["name"])


def check_manifest(directory: Path, weights_digest: str | None) -> None:
    """Raise BAD_MODEL (reason ``damaged``) for the first file that is not what the manifest says; costs a second a gigabyte.

    ``weights_digest`` must be the manifest's, where it is given. Files that the manifest does not name are not looked at.
    """
    path = directory / MANIFEST_FILE
    manifest = _read(path)
    if weights_digest is not None and manifest["weights_digest"] != weights_digest:
        raise damaged(path, f"weights {manifest['weights_digest']}", f"weights {weights_digest}")
    for name, expected in manifest["sha256"].items():
        file = directory / name
        with from_library(partial(_unreadable, file)):
            found = file_digest(file)
        if found != expected:
            raise damaged(file, f"SHA-256 {found}", f"SHA-256 {expected}")


def damaged(path: Path, found: str, expected: str) -> WorkerError:
    """Return the error for a file or directory that is not what was saved."""
    return WorkerError(
        "BAD_MODEL",
        f"{path} is damaged: {found} found, {expected} expected. Delete the directory, and what it held is made again; or copy "
        f"it back from elsewhere. Where it was changed on purpose, delete {MANIFEST_FILE} in it.",
        {"path": str(path), "reason": "damaged", "found": found, "expected": expected},
    )


def _read(path: Path) -> dict[str, Any]:
    with from_library(partial(_unreadable, path)):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        digests = manifest["sha256"]
        is_whole = isinstance(manifest["weights_digest"], str) and isinstance(digests, dict)
    if manifest["format"] != MANIFEST_FORMAT or not is_whole:
        raise damaged(path, "something else", f"a list of files in format {MANIFEST_FORMAT}")
    return manifest


def _unreadable(path: Path, error: BaseException) -> WorkerError:
    found = "no file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
    return damaged(path, found, "the file that was saved")
