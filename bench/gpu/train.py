"""Training speed of the worker at one shape: tokens a second, MFU, peak memory, and where the time of a request goes.

python3 -m bench.gpu.train DEVICE SHAPE full|lora|packed [key=value …]     # fields of LoadParams
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.gpu.case import (
    PEAK_FLOPS,
    SHAPES,
    Rows,
    full_rows,
    gsm8k_like,
    peak_gib,
    record,
    reset_peak,
    step_flops,
    synchronize,
    write_model,
)
from bench.gpu.profile import profiled
from bench.gpu.worker import Trainer, load

WARM_UP, STEPS = 2, 4


def main(device: str, shape: str, kind: str, options: dict[str, Any]) -> None:
    directory = write_model(shape, Path(f"/tmp/tms-bench-models/{shape}"), device)
    trainer = Trainer(load(directory, device, is_lora=kind == "lora", **options))
    rows = rows_of(shape, kind)
    reset_peak(device)
    seconds, losses = [], []
    for _ in range(WARM_UP + STEPS):
        synchronize(device)
        began = time.perf_counter()
        loss, micro_batches = trainer.forward_backward(rows)
        trainer.optim_step()
        synchronize(device)
        seconds.append(time.perf_counter() - began)
        losses.append(loss)
    took = median(seconds[WARM_UP:])
    lengths = [len(ids) for ids in rows.ids]
    flops = step_flops(SHAPES[shape], lengths, rows.weighted, trains_all=kind != "lora")
    model, named = trainer.model, "".join(f", {key}={value}" for key, value in options.items())
    record(
        "train",
        f"{shape} {kind}{named}",
        ours=round(rows.tokens / took),
        unit="tokens/s",
        mfu=round(flops / took / PEAK_FLOPS, 4) if device == "cuda" else None,
        peak_gib=round(peak_gib(device), 1),
        note=f"{took * 1000:.0f} ms a step (first {seconds[0]:.1f} s), {micro_batches} micro-batches, {model.layout}, "
        f"{str(model.compute_dtype).removeprefix('torch.')}, loss {losses[0]:.3f} {losses[-1]:.3f}",
    )
    if kind == "full":
        profiled(device, f"{shape} {kind}", trainer, rows)


def rows_of(shape: str, kind: str) -> Rows:
    vocab_size = SHAPES[shape]["vocab_size"]
    if shape == "tiny":
        return gsm8k_like(8, vocab_size, longest=60)
    return full_rows(8, 4096, vocab_size) if kind == "packed" else gsm8k_like(128, vocab_size)


def parsed(text: str) -> Any:
    return int(text) if text.isdigit() else {"true": True, "false": False}.get(text, text)


if __name__ == "__main__":
    pairs = [argument.split("=", 1) for argument in sys.argv[4:]]
    main(*sys.argv[1:4], {key: parsed(value) for key, value in pairs})
