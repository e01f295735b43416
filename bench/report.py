"""What every benchmark prints: where it ran, how busy the machine was, and a table."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch


def conditions(device: str) -> str:
    """Return one line to stand above a table: numbers mean little without it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    where = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return (
        f"{date}, {os.cpu_count()} × {names[0] if names else platform.machine()}, device {where}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, load {load}"
    )


def median_ratio(values: Sequence[float], bases: Sequence[float]) -> float:
    """Return the median ratio of values measured one after the other: a busy moment weighs on both sides."""
    return median(value / base for value, base in zip(values, bases, strict=True))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, ready for bench/README.md."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
