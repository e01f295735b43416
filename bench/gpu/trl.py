"""TRL's SFTTrainer on the rows that bench.gpu.train takes, at settings that suit it: no checkpointing, fused AdamW, large batches.

    python3 -m bench.gpu.trl DEVICE SHAPE full|lora mixed|bfloat16 ROWS_A_MICRO_BATCH [liger]

``mixed``: float32 weights under autocast to bfloat16, the precision of ours; ``bfloat16``: all of it, moments too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback

from bench.gpu.case import (
    PEAK_FLOPS,
    SHAPES,
    peak_gib,
    record,
    reset_peak,
    step_flops,
    synchronize,
    write_model,
)
from bench.gpu.train import STEPS, WARM_UP, rows_of


def main(device: str, shape: str, kind: str, precision: str, batch: int, with_liger: bool) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    directory = write_model(shape, Path(f"/tmp/tms-bench-models/{shape}"), device)
    rows = rows_of(shape, kind)
    count = len(rows.ids)
    columns = {
        "input_ids": [ids.tolist() for ids in rows.ids] * (WARM_UP + STEPS),
        "completion_mask": [weights.astype(int).tolist() for weights in rows.weights] * (WARM_UP + STEPS),
    }
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).to(device)
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(prefix="tms-bench-"),
        per_device_train_batch_size=min(batch, count),
        gradient_accumulation_steps=max(1, count // batch),
        learning_rate=1e-5,
        max_steps=WARM_UP + STEPS,
        bf16=precision == "mixed" and device == "cuda",
        use_cpu=device == "cpu",
        gradient_checkpointing=False,
        completion_only_loss=True,
        max_length=None,
        lr_scheduler_type="constant",
        train_sampling_strategy="sequential",
        optim="adamw_torch_fused",
        use_liger_kernel=with_liger,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
    )
    clock = Clock(device)
    trainer = SFTTrainer(
        model,
        config,
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer(),
        peft_config=lora(kind),
    )
    trainer.add_callback(clock)
    reset_peak(device)
    trainer.train()
    took = median(clock.seconds[WARM_UP:])
    flops = step_flops(
        SHAPES[shape], [len(ids) for ids in rows.ids], rows.weighted, trains_all=kind != "lora"
    )
    record(
        "trl",
        f"{shape} {kind}, {precision}, {batch} rows{', Liger' if with_liger else ''}",
        key=f"{shape} {kind}",
        ours=round(rows.tokens / took),
        unit="tokens/s",
        mfu=round(flops / took / PEAK_FLOPS, 4) if device == "cuda" else None,
        peak_gib=round(peak_gib(device), 1),
        note=f"{took * 1000:.0f} ms a step, loss {clock.losses[0]:.3f} {clock.losses[-1]:.3f}",
    )


class Clock(TrainerCallback):
    """Times steps, and keeps losses."""

    def __init__(self, device: str) -> None:
        self._device, self.seconds, self.losses = device, [], []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        synchronize(self._device)
        self._began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        synchronize(self._device)
        self.seconds.append(time.perf_counter() - self._began)

    def on_log(self, _arguments: Any, _state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])


def lora(kind: str) -> Any:
    from peft import LoraConfig

    return LoraConfig(r=16, lora_alpha=32, target_modules="all-linear") if kind == "lora" else None


def tokenizer() -> PreTrainedTokenizerFast:
    """Return the smallest tokenizer; the rows are ids already."""
    from tokenizers import Tokenizer, models

    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]), "liger" in sys.argv[6:])
