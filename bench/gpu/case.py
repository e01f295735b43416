"""What the sections share: shapes, rows, the arithmetic of a step, and the file that the table is made of."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

PEAK_FLOPS = 989e12
"""bfloat16 products of an H100 or H200 without sparsity; MFU is of this."""
SHAPES: dict[str, dict[str, int]] = {
    "0.5b": {
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "1.5b": {
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
    },
    "tiny": {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
"""Of Qwen2.5, with tied heads."""


@dataclass(frozen=True)
class Rows:
    """Sequences of one step, with the loss weight of each token."""

    ids: list[np.ndarray]
    weights: list[np.ndarray]

    @property
    def tokens(self) -> int:
        return sum(map(len, self.ids))

    @property
    def weighted(self) -> int:
        return int(sum(row.sum() for row in self.weights))


def gsm8k_like(count: int, vocab_size: int, longest: int = 1000) -> Rows:
    """Return rows of GSM8K's lengths with Qwen's tokenizer (about 225 tokens), of which the last 60 % are learned."""
    draw = np.random.default_rng(0)
    lengths = np.clip(draw.lognormal(5.3, 0.45, count), min(60, longest // 2), longest).astype(int)
    return _rows(lengths, 0.4, vocab_size)


def full_rows(count: int, length: int, vocab_size: int) -> Rows:
    """Return rows of one length that are learned from end to end."""
    return _rows(np.full(count, length), 0.0, vocab_size)


def _rows(lengths: np.ndarray, prompt: float, vocab_size: int) -> Rows:
    draw = np.random.default_rng(1)
    ids = [draw.integers(3, vocab_size, length).astype(np.int32) for length in lengths]
    weights = [(np.arange(length) >= max(1, prompt * length)).astype(np.float32) for length in lengths]
    return Rows(ids, weights)


def step_flops(
    shape: dict[str, int], lengths: Sequence[float], weighted: int, *, trains_all: bool = True
) -> float:
    """Return the operations of forward and backward that cannot be avoided.

    Two for each parameter and token forward and four backward (two where the weights are frozen); the head for weighted tokens
    only; of attention the half that is not masked.
    """
    hidden, layers = shape["hidden_size"], shape["num_hidden_layers"]
    kept = shape["num_key_value_heads"] / shape["num_attention_heads"]
    body = layers * hidden * (hidden * (2 + 2 * kept) + 3 * shape["intermediate_size"])
    head = shape["vocab_size"] * hidden
    attention = layers * hidden * float(np.square(np.asarray(lengths, float)).sum())  # 2 products × 2 / 2
    passes = 3 if trains_all else 2
    return 2 * passes * (body * sum(lengths) + head * weighted) + 2 * passes * attention


def write_model(shape: str, directory: Path, device: str) -> Path:
    """Write random weights of a shape, unless they are there."""
    if (directory / "config.json").exists():
        return directory
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = Qwen2Config(max_position_embeddings=32768, tie_word_embeddings=True, **ids, **SHAPES[shape])
    with torch.device(device):
        causal_lm: Any = AutoModelForCausalLM.from_config(config)
    causal_lm.save_pretrained(directory)
    return directory


def record(section: str, what: str, **figures: Any) -> None:
    """Add a line to the table: ``ours`` and ``other`` in ``unit``, ``aim`` in words, ``note``; print it at once as well."""
    line = {"section": section, "what": what, **figures}
    print(json.dumps(line), flush=True)
    with (Path(os.environ["BENCH_OUT"]) / "figures.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def recorded() -> list[dict[str, Any]]:
    """Return all lines so far, of other sections too."""
    path = Path(os.environ["BENCH_OUT"]) / "figures.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def peak_gib(device: str) -> float:
    """Return the most memory that tensors took on the GPU since the last reset."""
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0


def reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
