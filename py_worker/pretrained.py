"""Weights and tokenizers through transformers, whose failures become errors that a person can act on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from py_worker.errors import WorkerError
from py_worker.source import Source, has_tokenizer_files, has_vocabulary

_LOAD_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    ImportError,
    KeyError,
    TypeError,
    AttributeError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises for files that it cannot use."""
BYTES = 256
"""Tokens of the smallest tokenizer that needs no vocabulary file: one for each byte."""


@dataclass(frozen=True)
class Placement:
    """Where and how weights are held."""

    device: torch.device
    dtype: torch.dtype
    attention: str
    trust_remote_code: bool


def load_causal_lm(source: Source, placement: Placement, notes: list[str]) -> PreTrainedModel:
    """Return the model of a checked directory on its device; never with a weight that the files did not give."""
    device, remote = placement.device, placement.trust_remote_code
    settings: dict[str, Any] = {"dtype": placement.dtype, "trust_remote_code": remote}
    try:
        config = AutoConfig.from_pretrained(str(source.directory), trust_remote_code=remote)
        settings["attn_implementation"] = _choose_attention(config, placement.attention, notes)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(source.directory),
            config=config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below with names and shapes
            device_map={"": device} if device.type == "cuda" else None,
            **settings,
        )
    except _LOAD_ERRORS as error:
        raise _explain(error, source, settings) from error
    causal_lm, found = loaded
    _refuse_random_weights(found, source)
    if found["unexpected_keys"]:
        unused = sorted(found["unexpected_keys"])
        notes.append(
            f"{len(unused)} tensors of the checkpoint are not used by {type(causal_lm).__name__}: {unused[:3]}."
        )
    return causal_lm


def _choose_attention(config: Any, asked: str, notes: list[str]) -> str:
    if asked == "sdpa" and getattr(config.get_text_config(), "attn_logit_softcapping", None):
        notes.append("attention is eager: sdpa would ignore the soft cap on this model's attention logits.")
        return "eager"
    return asked


def _explain(error: Exception, source: Source, settings: dict[str, Any]) -> Exception:
    """Turn a failure of transformers into BAD_PARAMS or BAD_MODEL; running out of memory stays what it is."""
    if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
        return error
    reason = " ".join(str(error).split())[:600]
    attention = settings.get("attn_implementation", "eager")
    if (
        attention != "eager"
        and _can_build(source, settings | {"attn_implementation": "eager"})
        and not _can_build(source, settings)
    ):
        return WorkerError(
            "BAD_PARAMS",
            f"attention {attention!r} does not work for {source.directory}: {reason} Use sdpa or eager.",
        )
    return WorkerError(
        "BAD_MODEL",
        f"Model {source.directory} cannot be loaded as a causal language model: {type(error).__name__}: {reason}",
    )


def _can_build(source: Source, settings: dict[str, Any]) -> bool:
    """Say whether the architecture can be made, without memory for its weights."""
    try:
        config = AutoConfig.from_pretrained(
            str(source.directory), trust_remote_code=settings["trust_remote_code"]
        )
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(config, **settings)
    except _LOAD_ERRORS:
        return False
    return True


def _refuse_random_weights(found: dict[str, Any], source: Source) -> None:
    missing = sorted(found["missing_keys"])
    misshapen = [
        f"{name}: file {tuple(file)}, model {tuple(model)}"
        for name, file, model in sorted(found["mismatched_keys"])
    ]
    if not missing and not misshapen:
        return
    parts = [f"{len(missing)} tensors are missing ({', '.join(missing[:3])})"] if missing else []
    parts += [f"{len(misshapen)} have another shape ({'; '.join(misshapen[:3])})"] if misshapen else []
    raise WorkerError(
        "BAD_MODEL",
        f"Weights of {source.directory} do not fit its config.json: {', '.join(parts)}. They would have been random; "
        "use the config and the weights of one model.",
        {"missing": missing[:20], "misshapen": misshapen[:20]},
    )


def load_tokenizer(
    sources: list[Source], trust_remote_code: bool, is_required: bool
) -> PreTrainedTokenizerBase | None:
    """Return the tokenizer of the first directory that has files of one; else None, or NOT_FOUND where it is required."""
    directory = next((source.directory for source in sources if has_tokenizer_files(source.directory)), None)
    if directory is None and is_required:
        message = f"Model {sources[0].directory} has no tokenizer files (tokenizer.json); copy them there."
        raise WorkerError("NOT_FOUND", message)
    if directory is None:
        return None
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(directory), trust_remote_code=trust_remote_code)
    except _LOAD_ERRORS as error:
        hint = (
            "" if (directory / "tokenizer.json").is_file() else " There is no tokenizer.json: copy it there."
        )
        reason = " ".join(str(error).split())
        raise WorkerError(
            "BAD_MODEL", f"The tokenizer in {directory} cannot be loaded: {reason}{hint}"
        ) from error
    # With only a tokenizer_config.json transformers makes a tokenizer that knows little but its special tokens.
    if len(tokenizer) < BYTES and not has_vocabulary(directory):
        message = f"The tokenizer in {directory} has no vocabulary; copy tokenizer.json there."
        raise WorkerError("NOT_FOUND", message)
    return tokenizer
