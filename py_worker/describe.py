"""What a loaded model is, in plain values for the client."""

from __future__ import annotations

from typing import Any

from py_worker.four_bit import count
from py_worker.model import Known, Model
from py_worker.token_budget import is_checkpointed


def describe(model: Model) -> dict[str, Any]:
    """Return the facts that a client plans with; names as in the protocol's ModelInfo."""
    parameters = list(model.trained.parameters())
    tokenizer = model.tokenizer
    return {
        "architecture": type(model.causal_lm).__name__,
        "parameter_count": sum(map(count, parameters)),
        "trainable_parameter_count": sum(
            parameter.numel() for parameter in parameters if parameter.requires_grad
        ),
        "vocab_size": model.vocab_size,
        "max_positions": model.max_positions,
        "eos_token_ids": eos_token_ids(model),
        "bos_token_id": tokenizer.bos_token_id if tokenizer else None,
        "pad_token_id": tokenizer.pad_token_id if tokenizer else None,
        "has_chat_template": bool(tokenizer and tokenizer.chat_template),
        "dtype": str(model.network.dtype).removeprefix("torch."),
        "compute_dtype": str(model.compute_dtype).removeprefix("torch."),
        "device": str(model.device),
        "attention": model.causal_lm.config._attn_implementation,
        "layout": model.layout,
        "token_budget": model.token_budget,
        "gradient_checkpointing": is_checkpointed(model),
        "torch_compile": model.network.is_compiled,
        "strict_sampling": model.strict,
        "files_digest": model.files_digest,
        "notes": list(model.notes),
    }


def eos_token_ids(model: Model) -> list[int]:
    """Return every id that ends an answer: the tokenizer's, the config's and the generation config's, sorted."""
    return sorted({token for token in declared_eos(model) if is_token_id(model, token)})


def declared_eos(model: Model) -> list[Any]:
    """Return what the files of the model name as EOS, whatever it is."""
    causal_lm = model.causal_lm
    return eos_of_files(model.tokenizer, causal_lm.config, causal_lm.generation_config)


def eos_of_files(tokenizer: Any, config: Any, generation_config: Any) -> list[Any]:
    """Return what a tokenizer, a config and a generation config name as EOS, whatever it is; each may be missing but the config."""
    declared = [
        tokenizer.eos_token_id if tokenizer else None,
        config.get_text_config().eos_token_id,
        generation_config.eos_token_id if generation_config else None,
    ]
    found: list[Any] = []
    for value in declared:
        found += value if isinstance(value, list) else [value] if value is not None else []
    return found


def is_token_id(model: Known, value: Any) -> bool:
    """Say whether ``value`` is an id that the model has an embedding of."""
    return isinstance(value, int) and 0 <= value < model.vocab_size
