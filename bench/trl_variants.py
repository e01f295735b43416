"""The variants that bench/trl_compare.py compares; each takes a step when a line comes in and prints a report of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, TrainerCallback

from bench.records import adamw_params, load_params
from bench.turns import Clock, Row, batches, read_rows
from py_worker.load import load_model
from py_worker.optim import OptimizerState, step
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients

LEARNING_RATE = 2e-5


def run_variant(settings: dict[str, Any]) -> None:
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    rows = read_rows(settings)
    VARIANTS[settings["variant"]](settings, rows)


def ours(settings: dict[str, Any], rows: list[Row]) -> None:
    options = load_params(
        settings["model"], dtype=settings["dtype"], device=settings["device"], threads=settings["threads"]
    )
    model, state = load_model(options), OptimizerState()
    clock = Clock(settings["device"])
    for batch in batches(settings, rows):
        clock.start()
        weights = np.concatenate([np.arange(len(ids)) >= prompt for ids, prompt in batch]).astype(np.float32)
        sequences = WeightedSequences(
            np.concatenate([ids for ids, _ in batch]).astype(np.int32),
            np.cumsum([0, *(len(ids) for ids, _ in batch)]),
            {"ce": weights},
        )
        total = float(weights.sum())
        report = accumulate_gradients(model, sequences, {"ce": total}, GradientOptions(), lambda: None)
        began = time.perf_counter()
        step(model, state, adamw_params(LEARNING_RATE), None, 1.0)
        clock.optimizer = time.perf_counter() - began
        clock.stop(batch, report.components["ce"].loss_sum / total)


def naive(settings: dict[str, Any], rows: list[Row]) -> None:
    model, device = plain_model(settings), settings["device"]
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, fused=True, weight_decay=0.0)
    clock = Clock(device)
    for batch in batches(settings, rows):
        clock.start()
        width = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in batch], device=device)
        mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in batch], device=device)
        places = torch.arange(width, device=device)
        prompts = torch.tensor([prompt for _, prompt in batch], device=device)
        labels = ids.masked_fill((mask == 0) | (places < prompts[:, None]), -100)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        began = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        clock.optimizer = time.perf_counter() - began
        clock.stop(batch, loss.item())


def trl(settings: dict[str, Any], rows: list[Row], **choices: Any) -> None:
    # Only this variant's process shall hold these libraries.
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    columns = {
        "input_ids": [ids for ids, _ in rows],
        "completion_mask": [[int(j >= prompt) for j in range(len(ids))] for ids, prompt in rows],
    }
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(prefix="tms-bench-"),
        per_device_train_batch_size=settings["rows"],
        learning_rate=LEARNING_RATE,
        max_steps=settings["steps"] + 1,
        bf16=False,
        use_cpu=settings["device"] == "cpu",
        gradient_checkpointing=False,
        completion_only_loss=True,
        max_length=None,
        lr_scheduler_type="constant",
        train_sampling_strategy="sequential",
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        **choices,
    )
    trainer = SFTTrainer(
        plain_model(settings),
        config,
        train_dataset=Dataset.from_dict(columns),
        processing_class=AutoTokenizer.from_pretrained(settings["model"]),
    )
    trainer.add_callback(Turns(Clock(settings["device"]), settings, rows))
    trainer.train()


class Turns(TrainerCallback):
    """Makes the trainer take turns."""

    def __init__(self, clock: Clock, settings: dict[str, Any], rows: list[Row]) -> None:
        self._clock, self._batches = clock, batches(settings, rows)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._clock.start()

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._clock.optimizer = time.perf_counter() - self._began

    def on_log(self, _arguments: Any, state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
        if "loss" in logs:
            self._clock.stop(self._batches[state.global_step - 1], logs["loss"])


def plain_model(settings: dict[str, Any]) -> PreTrainedModel:
    dtype = getattr(torch, settings["dtype"])
    return AutoModelForCausalLM.from_pretrained(settings["model"], dtype=dtype).to(settings["device"]).train()


def trl_padding_free(settings: dict[str, Any], rows: list[Row]) -> None:
    trl(settings, rows, padding_free=True)


VARIANTS: dict[str, Callable[..., None]] = {
    "ours": ours,
    "trl": trl,
    "trl_padding_free": trl_padding_free,
    "naive": naive,
}
