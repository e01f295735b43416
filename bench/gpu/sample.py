"""Time of a decode step beside transformers.generate, and forward passes of a model with windows beside the fewest possible.

python3 -m bench.gpu.sample DEVICE SHAPE
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from bench.gpu.case import SHAPES, peak_gib, record, reset_peak, synchronize, write_model
from bench.gpu.worker import load, sample
from py_worker.model import Model

sys.path.insert(0, str(Path(__file__).parents[2] / "test/py_worker"))
from families import VOCAB_SIZE, write_family


def main(device: str, shape: str) -> None:
    directory = write_model(shape, Path(f"/tmp/tms-bench-models/{shape}"), device)
    dtype = "bfloat16" if device == "cuda" else "float32"
    is_tiny = shape == "tiny"
    new_tokens = 8 if is_tiny else 128
    batches = (1, 4) if is_tiny else (1, 64, 256)
    theirs: Any = (
        AutoModelForCausalLM.from_pretrained(directory, dtype=getattr(torch, dtype)).to(device).eval()
    )
    model = load(directory, device, dtype=dtype)
    draw = np.random.default_rng(0)
    for batch in batches:
        lengths = draw.integers(8, 16, batch) if is_tiny else draw.integers(60, 200, batch)
        prompts = [draw.integers(3, SHAPES[shape]["vocab_size"], size).astype(np.int32) for size in lengths]
        reset_peak(device)
        ours = [
            timed(device, lambda p=prompts: sample(model, p, new_tokens, max_rows=len(p))) for _ in range(2)
        ]
        peak = peak_gib(device)
        plain = [
            timed(device, lambda p=prompts: plain_sample(theirs, p, new_tokens))
            for _ in range(1 if batch > 64 else 2)
        ]
        record(
            "sample",
            f"{shape}, {batch} rows, {new_tokens} new tokens",
            ours=round(1000 * min(ours) / new_tokens, 2),
            other=round(1000 * min(plain) / new_tokens, 2),
            unit="ms a step",
            peak_gib=round(peak, 1),
            aim="≤ 3 ms; ≥ 7×" if batch == 64 else "",
            note=f"{batch * new_tokens / min(ours):.0f} tokens/s; first call {ours[0]:.1f} s; other: transformers.generate",
        )
    passes(device)


def timed(device: str, run: Any) -> float:
    synchronize(device)
    began = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - began


def plain_sample(model: Any, prompts: list[np.ndarray], new_tokens: int) -> None:
    width = max(map(len, prompts))
    ids_BT = torch.from_numpy(np.stack([np.pad(row, (width - len(row), 0)) for row in prompts])).long()
    mask_BT = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
    limits = {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens, "pad_token_id": 0}
    config = GenerationConfig(do_sample=True, top_k=0, top_p=1.0, **limits)
    with torch.inference_mode():
        model.generate(
            ids_BT.to(model.device), attention_mask=mask_BT.to(model.device), generation_config=config
        )


def passes(device: str) -> None:
    """Count how often a Gemma 3 runs for 256 prompts of mixed length; 1 + the new tokens would be the fewest."""
    with tempfile.TemporaryDirectory() as folder:
        model: Model = load(write_family("gemma3", Path(folder)), device)
    draw, count, new_tokens = np.random.default_rng(0), 256, 24
    prompts = [draw.integers(5, VOCAB_SIZE, size).astype(np.int32) for size in draw.integers(8, 120, count)]
    counted = []
    first: Any = model.causal_lm.get_input_embeddings()
    first.register_forward_hook(lambda *_: counted.append(1))
    sample(model, prompts, new_tokens, max_rows=count)
    record(
        "sample",
        f"gemma3-like, {count} prompts of mixed length, {new_tokens} new tokens",
        ours=len(counted),
        other=new_tokens,
        unit="forward passes",
        aim="≤ 1.2×",
    )


if __name__ == "__main__":
    main(*sys.argv[1:3])
