"""What the variants of bench/trl_compare.py share: the rows they train on, and the clock that lets them take turns."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

Row = tuple[list[int], int]
"""Ids and how many of them belong to the prompt."""


def read_rows(settings: dict[str, Any]) -> list[Row]:
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    count = settings["rows"] * (settings["steps"] + 1)
    rows = []
    with Path(settings["data"]).open() as lines:
        for line, _ in zip(lines, range(count), strict=False):
            example = json.loads(line)
            prompt = tokenizer.encode(example["question"] + "\n")
            answer = tokenizer.encode(example["answer"], add_special_tokens=False)
            rows.append(([*prompt, *answer, tokenizer.eos_token_id], len(prompt)))
    return rows


def batches(settings: dict[str, Any], rows: list[Row]) -> list[list[Row]]:
    return [rows[first : first + settings["rows"]] for first in range(0, len(rows), settings["rows"])]


class Clock:
    """Waits for the word to take a step, and reports what the step took."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.optimizer = 0.0
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        elif Path("/proc/self/clear_refs").exists():
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from what is held now
        self._print({"memory": self._memory()})

    def start(self) -> None:
        sys.stdin.readline()
        self._started, self._processor, self.optimizer = time.perf_counter(), time.process_time(), 0.0

    def stop(self, rows: list[Row], loss: float) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()
        seconds, processor = time.perf_counter() - self._started, time.process_time() - self._processor
        report = {"seconds": seconds, "cpu": processor, "optimizer": self.optimizer, "peak": self._memory()}
        self._print(report | {"tokens": sum(len(ids) for ids, _ in rows), "loss": loss})

    def _memory(self) -> int:
        if self._device == "cuda":
            return torch.cuda.max_memory_allocated()
        status = Path("/proc/self/status")
        if not status.exists():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])

    def _print(self, report: dict[str, Any]) -> None:
        print("REPORT", json.dumps(report), flush=True)
