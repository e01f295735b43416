"""Directories that appear under their name complete or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from py_worker.errors import WorkerError, is_out_of_memory

HASH_CHUNK_BYTES = 1 << 20
UNFINISHED = re.compile(r"\.tms-(\d+)-[0-9a-f]{8}\.part$")
"""How the name of a directory ends that is still being written: process id and a random number."""

_FREE_SPACE = "Free space, or save to another disk."
_ADVICE = {
    errno.ENOSPC: ("no_space", _FREE_SPACE),
    errno.EDQUOT: ("quota", "The quota on this disk is used up: free space, or save to another disk."),
    errno.EFBIG: (
        "file_too_large",
        "The file system or a limit of this process (`ulimit -f`) allows no file this large.",
    ),
    errno.EROFS: ("read_only", "The file system is read-only: save to another place."),
    errno.EACCES: (
        "permission",
        "This user may not write there: change the rights, or save to another place.",
    ),
    errno.EPERM: (
        "permission",
        "This user may not write there: change the rights, or save to another place.",
    ),
    errno.ENAMETOOLONG: ("name_too_long", "The path is too long: save under a shorter name."),
    errno.ENOTDIR: ("not_a_directory", "A part of the path is a file: save to another place."),
    errno.EIO: ("disk_fault", "The disk reported a fault: save to another one, and check this one."),
}
"""By error number: a code for programs, and what to do."""


@contextmanager
def atomic_directory(target: Path, bytes_needed: int) -> Iterator[Path]:
    """Yield an empty directory beside ``target``; on success sync and rename it, on any failure remove it.

    Raises BAD_PARAMS where ``target`` holds anything, SAVE_FAILED (path, reason, bytes needed, bytes free) where the disk
    refuses or another process made ``target`` meanwhile; both give the reason ``exists`` for what is there. A process
    killed in between leaves a directory whose name ends as in ``UNFINISHED``; the next save to ``target`` removes it.
    """
    temporary = target.with_name(f"{target.name}.tms-{os.getpid()}-{secrets.token_hex(4)}.part")
    lock = -1
    try:
        _refuse_occupied(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        temporary.mkdir()
        lock = _lock(temporary)
        _require_space(target, bytes_needed)
        yield temporary
        _sync(temporary)
        _rename(temporary, target)
        _sync_path(target.parent)
    except BaseException as error:
        with suppress(MemoryError):
            shutil.rmtree(temporary, ignore_errors=True)
        if _is_disk_failure(error):
            raise _save_failed(target, bytes_needed, error) from error
        raise
    finally:
        if lock >= 0:
            os.close(lock)


def list_files(directory: Path) -> list[dict[str, Any]]:
    """Return name, bytes and SHA-256 of every file below ``directory``, by name.

    On the calling thread: where memory is short, starting another can hang for ever.
    """
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return [
        {
            "name": path.relative_to(directory).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": file_digest(path),
        }
        for path in paths
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
            "BAD_PARAMS",
            f"path {target} {what}; nothing is overwritten: give a new directory.",
            {"path": str(target), "reason": "exists"},
        )


def _rename(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError as error:
        if not (target.exists() or target.is_symlink()):
            raise
        raise WorkerError(
            "SAVE_FAILED",
            f"{target} was made by another process while this one wrote its own; nothing was overwritten, nothing was "
            "left behind. Take what is there, or save to another path.",
            {"path": str(target), "reason": "exists"},
        ) from error


def _remove_abandoned(target: Path) -> None:
    """Remove what saves to the same target left when their process was killed: nobody holds its lock any more."""
    for path in target.parent.iterdir():
        found = UNFINISHED.search(path.name)
        if found is None or path.name[: found.start()] != target.name or _is_running(int(found[1])):
            continue
        if path.is_symlink() or not path.is_dir():
            continue
        with suppress(OSError):  # another process holds it or removes it
            lock = _lock(path)
            if lock >= 0:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _is_running(pid: int) -> bool:
    """Ask before the lock: a save takes its lock a moment after it made its directory."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return pid != os.getpid()  # this process writes one directory at a time


def _lock(directory: Path) -> int:
    """Take the lock that says that somebody works in the directory, in whatever container; it ends with its process.

    Raises OSError where another process has it. Returns -1 where the file system knows no locks for directories.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EWOULDBLOCK:
            raise
        return -1
    return descriptor


def _require_space(target: Path, bytes_needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < bytes_needed:
        raise OSError(errno.ENOSPC, f"{bytes_needed} bytes do not fit into {free}")


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
    if is_out_of_memory(error):
        return False
    # tokenizers raises a bare Exception for what its files meet.
    return isinstance(error, (OSError, SafetensorError)) or (
        type(error) is Exception and "os error" in str(error)
    )


def _save_failed(target: Path, bytes_needed: int, error: BaseException) -> WorkerError:
    in_words = re.search(r"os error (\d+)", str(error))  # how Rust ends its messages
    number = error.errno if isinstance(error, OSError) else int(in_words[1]) if in_words else None
    reason, advice = _ADVICE.get(number or 0, ("other", _FREE_SPACE))
    free = _free_bytes(target)
    return WorkerError(
        "SAVE_FAILED",
        f"{target} could not be written: {error}. {bytes_needed} bytes are needed, {free} are free; nothing was left "
        f"behind. {advice}",
        {"path": str(target), "reason": reason, "bytes_needed": bytes_needed, "bytes_free": free},
    )


def _free_bytes(target: Path) -> int:
    """Return the free bytes of the nearest directory that can be asked."""
    for path in target.parents:
        with suppress(OSError):
            return shutil.disk_usage(path).free
    return 0
