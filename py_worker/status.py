"""What this process runs on: versions, memory, threads and the settings that numerics depend on."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "safetensors",
    "tokenizers",
    "msgspec",
    "pyzmq",
    "numpy",
    "bitsandbytes",
)
SETTINGS = ("MKL_CBWR", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG")


def status(device: torch.device) -> dict[str, Any]:
    """Return the fields of StatusResult other than the model; memory in bytes, 0 where a device has none of its own."""
    versions = {name: found for name in PACKAGES if (found := _version(name))}
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    cuda = device.type == "cuda"
    return {
        "pid": os.getpid(),
        "versions": {"python": platform.python_version(), **versions},
        "threads": torch.get_num_threads(),
        "resident_bytes": _resident_bytes() or peak,
        "peak_resident_bytes": peak,
        "device_name": torch.cuda.get_device_name(device) if cuda else str(device),
        "device_total_bytes": torch.cuda.get_device_properties(device).total_memory if cuda else 0,
        "device_peak_bytes": torch.cuda.max_memory_allocated(device) if cuda else 0,
        "determinism": {
            **{name: os.environ.get(name, "unset") for name in SETTINGS},
            "deterministic_algorithms": str(torch.are_deterministic_algorithms_enabled()).lower(),
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() if pages.exists() else 0
