"""LoRA adapters: a new one from its own random stream, or a saved one to be trained on."""

from __future__ import annotations

import re
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, TaskType, get_peft_model
from peft.utils import load_peft_weights, set_peft_model_state_dict
from torch import nn
from transformers import PreTrainedModel

from py_worker.errors import WorkerError, from_library, one_line
from py_worker.protocol import Adapter
from py_worker.source import Source


def new_adapter(
    base: PreTrainedModel, options: Adapter, base_name: str, revision: str | None = None
) -> PeftModel:
    """Wrap ``base`` in a fresh adapter; the same seed gives the same adapter whatever was drawn before, on any device."""
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        base_model_name_or_path=base_name,
        revision=revision,
        r=options.r,
        lora_alpha=options.alpha,  # type: ignore[arg-type]  # PEFT declares int and takes any number
        lora_dropout=options.dropout,
        target_modules=options.target_modules or "all-linear",
        use_rslora=options.use_rslora,
        use_dora=options.use_dora,
        modules_to_save=options.modules_to_save,
    )
    try:
        # PEFT draws on the CPU and moves afterwards, so one CPU stream is enough.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            return _wrap(base, config)
    except (ValueError, TypeError) as error:
        raise WorkerError(
            "BAD_PARAMS",
            f"adapter cannot be made ({error}). Linear layers of this model: {_linear_layers(base)}.",
        ) from error


def saved_adapter(base: PreTrainedModel, source: Source, base_name: str) -> PeftModel:
    """Wrap ``base`` in the adapter of a PEFT directory, trainable; BAD_MODEL when a tensor is missing, left over or misshapen."""
    where = f"Adapter {source.directory}"

    def explain(error: BaseException) -> WorkerError:
        return WorkerError(
            "BAD_MODEL",
            f"{where} does not fit its base {base_name}: {one_line(error)}. Check the base and the file.",
        )

    with from_library(explain):
        config = PeftConfig.from_pretrained(str(source.directory))
        config.inference_mode = False
        config.base_model_name_or_path = base_name
        config.task_type = config.task_type or TaskType.CAUSAL_LM
        with torch.random.fork_rng(devices=[]):
            network = _wrap(base, config)
        tensors = load_peft_weights(str(source.directory), device="cpu")
        result: Any = set_peft_model_state_dict(network, tensors)
    trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    missing = sorted(trainable.intersection(result.missing_keys))
    if missing or result.unexpected_keys:
        raise WorkerError(
            "BAD_MODEL",
            f"{where} does not fit its base {base_name}: {len(missing)} tensors missing {missing[:3]}, "
            f"{len(result.unexpected_keys)} not used {list(result.unexpected_keys)[:3]}. Check the base and the file.",
        )
    return network


def _wrap(base: PreTrainedModel, config: PeftConfig) -> PeftModel:
    network = get_peft_model(base, config)
    if not isinstance(network, PeftModel):
        raise ValueError(f"adapters of type {config.peft_type} are not supported")
    # PEFT puts the adapter in training mode; a loaded model is in evaluation mode.
    return network.eval()


def _linear_layers(model: PreTrainedModel) -> str:
    linear = (name for name, module in model.named_modules() if isinstance(module, nn.Linear))
    return ", ".join(sorted({re.sub(r".*\.", "", name) for name in linear})) or "none"
