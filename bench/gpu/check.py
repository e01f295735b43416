"""Gradients, log-probabilities and greedy answers on the device against float32 on the CPU: five families, two precisions.

python3 -m bench.gpu.check DEVICE
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.gpu.case import record

sys.path.insert(0, str(Path(__file__).parents[2] / "test/py_worker"))
from families import VOCAB_SIZE, write_family
from worker_verbs import gradients_of, greedy_answers, load, logprobs_of

NAMES = ("llama-llama3-rope", "qwen2-tied", "qwen3-moe", "gemma2", "mistral-window")
LENGTHS = (5, 12, 33, 1, 12, 20, 7)
WAYS: dict[str, dict[str, Any]] = {
    "float32, buckets": {"compute_dtype": "float32", "layout": "bucket"},
    "float32, packs": {"compute_dtype": "float32", "layout": "pack"},
    "bfloat16, buckets": {"compute_dtype": "bfloat16", "layout": "bucket"},
    "bfloat16, packs": {"compute_dtype": "bfloat16", "layout": "pack"},
}
LIMITS = {"float32": 1e-4, "bfloat16": 6e-2}
"""Largest relative error of a gradient; a wrong mask or position makes it 0.5 and more."""


def main(device: str) -> None:
    draw = np.random.default_rng(0)
    ids = [draw.integers(5, VOCAB_SIZE, length).astype(np.int32) for length in LENGTHS]
    weights = [np.r_[0, draw.uniform(0.1, 2, len(row) - 1)].astype(np.float32) for row in ids]
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            compare(name, write_family(name, Path(folder) / "model"), device, (ids, weights))


def compare(name: str, directory: Path, device: str, rows: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    plain = load(directory)
    expected = gradients_of(plain, *rows, 30.0)
    logprobs, answers = np.concatenate(logprobs_of(plain, rows[0])), greedy_answers(plain, rows[0], 8)
    for way, options in WAYS.items():
        try:
            model = load(directory, device=device, **options)
        except Exception as error:  # noqa: BLE001 - a refusal is a result as well
            record("correct", f"{name}, {way}", ours=f"refused: {str(error)[:80]}", is_right=False)
            continue
        found = {key: value.float().cpu() for key, value in gradients_of(model, *rows, 30.0).items()}
        scale = max(float(gradient.abs().max()) for gradient in expected.values())
        worst = max(relative(found.get(key), gradient, scale) for key, gradient in expected.items())
        error = float(np.abs(np.concatenate(logprobs_of(model, rows[0])) - logprobs).max())
        same = sum(a == b for a, b in zip(greedy_answers(model, rows[0], 8), answers, strict=True))
        is_right = worst <= LIMITS[options["compute_dtype"]]
        figures = f"gradient {worst:.1e}, log-probability {error:.1e}, greedy {same}/{len(answers)}"
        record("correct", f"{name}, {way}", ours=figures, is_right=is_right)


def relative(found: torch.Tensor | None, expected: torch.Tensor, scale: float) -> float:
    """Return the largest error over the largest entry; of a gradient that is rounding alone, over that of all."""
    if found is None:
        return float("inf")
    largest = float(expected.abs().max())
    return float((found - expected).abs().max()) / (largest if largest > 1e-4 * scale else scale)


if __name__ == "__main__":
    main(sys.argv[1])
