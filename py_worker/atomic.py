"""Directories that appear under their name complete or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from py_worker.errors import WorkerError

HASH_CHUNK_BYTES = 1 << 20


@contextmanager
def atomic_directory(target: Path, bytes_needed: int) -> Iterator[Path]:
    """Yield an empty directory beside ``target``; on success sync and rename it, on any failure remove it.

    Raises BAD_PARAMS where ``target`` holds anything, SAVE_FAILED (path, bytes needed, bytes free) where the disk refuses.
    A process killed in between leaves ``<target>.tmp-<pid>-<random>``, which the next save to ``target`` removes.
    """
    _refuse_occupied(target)
    temporary = target.with_name(f"{target.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        temporary.mkdir()
        _require_space(target, bytes_needed)
        yield temporary
        _sync(temporary)
        temporary.rename(target)
        _sync_path(target.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if _is_disk_failure(error):
            raise _save_failed(target, bytes_needed, error) from error
        raise


def list_files(directory: Path) -> list[dict[str, Any]]:
    """Return name, bytes and SHA-256 of every file below ``directory``, by name."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    with ThreadPoolExecutor(max_workers=4) as pool:
        digests = list(pool.map(file_digest, paths))
    return [
        {"name": path.relative_to(directory).as_posix(), "bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(paths, digests, strict=True)
    ]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _refuse_occupied(target: Path) -> None:
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        what = "is not empty" if target.is_dir() else "is a file"
        raise WorkerError(
            "BAD_PARAMS", f"path {target} {what}; nothing is overwritten: give a new directory."
        )


def _remove_abandoned(target: Path) -> None:
    """Remove what saves to the same target left when their process was killed."""
    for path in target.parent.glob(f"{_glob_literal(target.name)}.tmp-*-*"):
        pid = path.name.removeprefix(target.name).split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(path, ignore_errors=True)


def _glob_literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _require_space(target: Path, bytes_needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < bytes_needed:
        raise OSError(f"{bytes_needed} bytes do not fit into {free}")


def _sync(directory: Path) -> None:
    """Bring every file and folder to the disk; files get the rights that the umask gives (safetensors makes them 0600)."""
    rights = directory.stat().st_mode & 0o666
    for path in directory.rglob("*"):
        if path.is_file():
            path.chmod(rights)
        _sync_path(path)
    _sync_path(directory)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_disk_failure(error: BaseException) -> bool:
    # tokenizers raises a bare Exception for what its files meet.
    return isinstance(error, (OSError, SafetensorError)) or (
        type(error) is Exception and "os error" in str(error)
    )


def _save_failed(target: Path, bytes_needed: int, error: BaseException) -> WorkerError:
    existing = next(path for path in (target.parent, *target.parent.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    return WorkerError(
        "SAVE_FAILED",
        f"{target} could not be written: {error}. {bytes_needed} bytes are needed, {free} are free; nothing was left "
        "behind. Free space, or save to another disk.",
        {"path": str(target), "bytes_needed": bytes_needed, "bytes_free": free},
    )
