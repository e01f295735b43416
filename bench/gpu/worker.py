"""The worker's functions as the sections call them: the one place to change when those functions change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu.case import Rows
from bench.records import adamw_params, adapter_params, load_params
from py_worker.generate import generate
from py_worker.load import load_model
from py_worker.model import Model
from py_worker.optim import OptimizerState, step
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients


def load(directory: Path, device: str, *, is_lora: bool = False, **options: Any) -> Model:
    """Load as a run with default settings does on that device; ``options`` are fields of LoadParams."""
    adapter = adapter_params(r=16) if is_lora else None
    defaults: dict[str, Any] = {"compute_dtype": "auto", "adapter": adapter}
    return load_model(
        load_params(str(directory), device=device, **(defaults | options)), needs_tokenizer=False
    )


class Trainer:
    """A model with its optimiser; a step is forwardBackward and optimStep."""

    def __init__(self, model: Model) -> None:
        self.model, self.state = model, OptimizerState()

    def forward_backward(self, rows: Rows) -> tuple[float, int]:
        """Return the mean loss and the number of micro-batches."""
        offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in rows.ids])])
        batch = WeightedSequences(np.concatenate(rows.ids), offsets, {"ce": np.concatenate(rows.weights)})
        total = float(rows.weighted)
        report = accumulate_gradients(self.model, batch, {"ce": total}, GradientOptions(), lambda: None)
        return report.components["ce"].loss_sum / total, report.micro_batches

    def optim_step(self) -> None:
        step(self.model, self.state, adamw_params(1e-5), None, 1.0)


def sample(model: Model, prompts: Sequence[np.ndarray], new_tokens: int, max_rows: int | None = None) -> int:
    """Sample an answer of ``new_tokens`` to each prompt; return the number of tokens."""
    offsets = np.concatenate([[0], np.cumsum([len(prompt) for prompt in prompts])])
    seeds = np.arange(len(prompts), dtype=np.uint32)
    answers = generate(
        model, np.concatenate(prompts), offsets, seeds, max_new_tokens=new_tokens, max_rows=max_rows
    )
    return len(answers.ids)
