"""Questions to Python libraries, asked from TypeScript through pythonia (src/python/side.ts).

Every function takes one JSON string and returns one JSON string, ``{"ok": value}`` or ``{"err": {type, message, trace}}``:
a string is the only thing that pythonia carries without surprises. Nothing here is long or needs to be cancelled.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
import os
import platform
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MAX_MESSAGE = 4_000
MAX_TRACE = 6_000
SAFE_INTEGER = 2**53 - 1  # the largest that JSON.parse keeps exact
PACKAGES = ("torch", "transformers", "peft", "safetensors", "zmq", "msgspec", "numpy", "jinja2")


def leave_the_terminal_alone() -> None:
    """Ignore Ctrl-C, read nothing from the terminal, and print to stderr: stdout and SIGINT belong to the program that asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)


def rpc(function: Callable[..., Any]) -> Callable[[str], str]:
    """Wrap a function of keyword arguments into one from a JSON string to a JSON string."""

    @functools.wraps(function)
    def call(text: str) -> str:
        try:
            return json.dumps({"ok": plain(function(**json.loads(text)))}, allow_nan=False)
        except Exception as error:  # noqa: BLE001 - the border: every failure becomes an answer
            answer = {
                "type": type(error).__name__,
                "message": str(error)[:MAX_MESSAGE],
                "trace": traceback.format_exc()[-MAX_TRACE:],
            }
            if isinstance(error, MissingPackageError):
                answer["extra"] = error.extra
            if isinstance(error, RefusedError):
                answer |= {"fix": error.fix, "type": error.kind}
            return json.dumps({"err": answer})

    return call


class RefusedError(Exception):
    """What was asked for cannot be had; the message is for a person, and ``fix`` says what to do. ``kind`` is for programs."""

    def __init__(self, message: str, fix: str, kind: str = "refused") -> None:
        super().__init__(message)
        self.fix = fix
        self.kind = kind


class MissingPackageError(Exception):
    """A package of an extra cannot be imported; ``extra`` is what ``tms setup --with`` calls it."""

    def __init__(self, package: str, extra: str, cause: ImportError) -> None:
        absent = isinstance(cause, ModuleNotFoundError) and cause.name == package.split(".")[0]
        found = "is not installed" if absent else f"cannot be imported ({cause})"
        super().__init__(f"the Python package {package} {found}")
        self.extra = extra


def library(package: str, extra: str) -> Any:
    """Import a package that ``requirements-extra-EXTRA.txt`` brings; raise ``MissingPackageError`` where it is not there."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingPackageError(package, extra, error) from error


def plain(value: Any, where: str = "result") -> Any:
    """Return ``value`` as JSON can carry it; arrays become lists, NaN the string "nan"; raise ``TypeError`` for bytes and the like."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry, f"{where}.{key}") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry, f"{where}[{index}]") for index, entry in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist(), where)
    raise TypeError(
        f"{where} is {type(value).__name__}, which JSON cannot carry: return a list, dict, number or string"
    )


@rpc
def environment(variables: list[str]) -> dict[str, Any]:
    """Return what the worker would find: Python, packages, threads, devices, and the named environment variables."""
    runpy.run_path(str(Path(__file__).with_name("mkl.py")))[
        "set_branch"
    ]()  # as the worker does, before torch
    packages, failures = import_packages()
    torch = sys.modules.get("torch") if packages["torch"] else None
    return {
        "python": {"version": platform.python_version(), "executable": sys.executable, "prefix": sys.prefix},
        "packages": packages,
        "importErrors": failures,
        "variables": {name: os.environ.get(name) for name in variables},
        "torch": None if torch is None else torch_facts(torch),
    }


def import_packages() -> tuple[dict[str, str | None], dict[str, str]]:
    """Import each package: (version or None by name, error by name)."""
    versions: dict[str, str | None] = {}
    failures: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = str(getattr(importlib.import_module(name), "__version__", "unknown"))
        except Exception as error:  # noqa: BLE001 - a broken package may raise anything; which one is the answer
            versions[name] = None
            failures[name] = f"{type(error).__name__}: {error}"[:MAX_MESSAGE]
    return versions, failures


def torch_facts(torch: Any) -> dict[str, Any]:
    """Return the facts about torch on which speed and determinism depend."""
    return {
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "hasMkl": torch.backends.mkl.is_available(),
        "cudaBuild": torch.version.cuda,
        "cudaDevices": [cuda_device(torch, index) for index in range(torch.cuda.device_count())],
    }


def cuda_device(torch: Any, index: int) -> dict[str, Any]:
    """Return name and memory (bytes) of one GPU; reading the free memory makes a context on it until this process ends."""
    free, total = torch.cuda.mem_get_info(index)
    major, minor = torch.cuda.get_device_capability(index)
    return {
        "name": torch.cuda.get_device_name(index),
        "freeBytes": free,
        "totalBytes": total,
        "capability": f"{major}.{minor}",
    }


if "NODE_CHANNEL_FD" in os.environ:  # started by pythonia, not imported by a test
    leave_the_terminal_alone()
