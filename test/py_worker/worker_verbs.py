"""The worker's functions as tests of whole models call them: lists of sequences in, plain values out.

The one place to change when those functions change.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import no_check

from bench.records import adamw_params, load_params
from py_worker import optim
from py_worker.generate import generate
from py_worker.load import load_model
from py_worker.model import Model
from py_worker.save import save_weights
from py_worker.score import score
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients


def load(directory: Path, **options: Any) -> Model:
    """Load a directory without a tokenizer, in float32 on the CPU."""
    defaults: dict[str, Any] = {"device": "cpu", "layout": "bucket", "determinism": "seeded"}
    return load_model(load_params(str(directory), **(defaults | options)), needs_tokenizer=False)


def gradients_of(
    model: Model, sequences: Sequence[np.ndarray], weights: Sequence[np.ndarray], normalizer: float
) -> dict[str, torch.Tensor]:
    """Return the gradient of the weighted cross-entropy over ``normalizer``, by parameter, and leave none behind."""
    batch = WeightedSequences(*ragged(sequences), {"ce": np.concatenate(weights)})
    accumulate_gradients(model, batch, {"ce": normalizer}, GradientOptions(), no_check)
    found = {name: p.grad.clone() for name, p in model.trained.named_parameters() if p.grad is not None}
    model.network.clear_gradients()
    return found


def take_step(model: Model, sequences: Sequence[np.ndarray], learning_rate: float) -> None:
    """Take one step of AdamW on the cross-entropy of every token but the first of each sequence."""
    ids, offsets = ragged(sequences)
    weights = np.ones(len(ids), np.float32)
    weights[offsets[:-1]] = 0
    batch = WeightedSequences(ids, offsets, {"ce": weights})
    accumulate_gradients(model, batch, {"ce": float(weights.sum())}, GradientOptions(), no_check)
    optim.step(model, optim.OptimizerState(), adamw_params(learning_rate), None, None)


def logprobs_of(model: Model, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the log-probability of each token; 0 for the first."""
    ids, offsets = ragged(sequences)
    return np.split(score(model, ids, offsets, False, no_check)[0], offsets[1:-1])


def greedy_answers(model: Model, prompts: Sequence[np.ndarray], new_tokens: int) -> list[list[int]]:
    """Return the likeliest ids after each prompt, without a stop token."""
    seeds = np.arange(len(prompts), dtype=np.uint32)
    answers = generate(model, *ragged(prompts), seeds, max_new_tokens=new_tokens, temperature=0.0)
    return [part.tolist() for part in np.split(answers.ids, answers.offsets[1:-1])]


def save(model: Model, directory: Path) -> None:
    """Write what others load."""
    save_weights(model, directory)


def ragged(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return ids one after the other, and where each sequence begins and the last ends."""
    lengths = [len(sequence) for sequence in sequences]
    return np.concatenate(sequences), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
