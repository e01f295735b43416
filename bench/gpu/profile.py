"""Host and device time of one request, and how often the host waits for the device in it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench.gpu.case import Rows, record, synchronize

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def profiled(device: str, name: str, trainer: Any, rows: Rows) -> None:
    """Record a ``forwardBackward`` and an ``optimStep``; the kernels that take most go to profile.txt."""
    for request, run in (
        ("forwardBackward", lambda: trainer.forward_backward(rows)),
        ("optimStep", trainer.optim_step),
    ):
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == "cuda")
        synchronize(device)
        with profile(activities=activities) as found:
            began = time.perf_counter()
            run()
            host = time.perf_counter() - began
            synchronize(device)
            wall = time.perf_counter() - began
        events = found.key_averages()
        kernels = sum(event.self_device_time_total for event in events) / 1e6
        # One of each is the last synchronize above, which is ours.
        waits = sum(event.count for event in events if event.key in WAITS) - (device == "cuda")
        record(
            "profile",
            f"{name}, {request}",
            ours=waits,
            unit="host waits",
            aim="1" if request == "forwardBackward" else "",
            note=f"{wall * 1000:.0f} ms under the profiler, of them host busy {host * 1000:.0f}, device busy {kernels * 1000:.0f}",
        )
        key = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
        text = events.table(sort_by=key, row_limit=15, max_name_column_width=60)
        with (Path(os.environ["BENCH_OUT"]) / "profile.txt").open("a") as file:
            file.write(f"{name}, {request}, torch {torch.__version__}\n{text}\n")
