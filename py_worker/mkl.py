"""Which code path of MKL gives a row of a matrix product the same bits whatever the other rows are."""

from __future__ import annotations

import os
from pathlib import Path


def choose_branch(cpu_info: str) -> str:
    """Return the value of MKL_CBWR for a processor described as in /proc/cpuinfo.

    On Intel's own processors only the STRICT branches hold: with AUTO, AVX2 or AVX512 alone, products of other row counts
    round differently (seen on a Xeon with AVX-512, torch 2.13). On AMD's, AUTO holds, and STRICT is not promised.
    """
    flags = set(cpu_info.split())
    if "GenuineIntel" not in flags:
        return "AUTO"
    if "avx512f" in flags:
        return "AVX512,STRICT"
    return "AVX2,STRICT" if "avx2" in flags else "AUTO"


def set_branch() -> None:
    """Settle MKL_CBWR unless the user did; MKL reads it at its first product."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    os.environ.setdefault("MKL_CBWR", choose_branch(text))
