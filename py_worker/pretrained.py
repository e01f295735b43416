"""Weights and tokenizers through transformers, whose failures become errors that a person can act on."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from py_worker.errors import WorkerError, from_library, is_out_of_memory, one_line
from py_worker.source import Source, has_tokenizer_files, has_vocabulary, read_json, weight_files

BYTES = 256
"""Tokens of the smallest tokenizer that needs no vocabulary file: one for each byte."""


@dataclass(frozen=True)
class Placement:
    """Where and how weights are held."""

    device: torch.device
    dtype: torch.dtype
    attention: str
    trust_remote_code: bool
    quantization: BitsAndBytesConfig | None = None
    """Of weights that are only computed with."""


def load_config(source: Source, trust_remote_code: bool) -> PreTrainedConfig:
    """Return the config of a checked directory."""
    with from_library(lambda error: _bad_model(source, error)):
        return AutoConfig.from_pretrained(str(source.directory), trust_remote_code=trust_remote_code)


def load_causal_lm(
    source: Source, config: PreTrainedConfig, placement: Placement, notes: list[str]
) -> PreTrainedModel:
    """Return the model of a checked directory on its device; never with a weight that the files did not give."""
    device, remote = placement.device, placement.trust_remote_code
    settings: dict[str, Any] = {"dtype": placement.dtype, "trust_remote_code": remote}
    with from_library(lambda error: _explain(error, source, settings)), _own_thread(device):
        _require_plausible(config, source)
        settings["attn_implementation"] = _choose_attention(config, placement.attention, notes)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(source.directory),
            config=config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below with names and shapes
            device_map={"": device} if device.type == "cuda" else None,
            quantization_config=placement.quantization,
            **settings,
        )
    causal_lm, found = loaded
    _refuse_random_weights(found, source)
    if found["unexpected_keys"]:
        unused = sorted(found["unexpected_keys"])
        notes.append(
            f"{len(unused)} tensors of the checkpoint are not used by {type(causal_lm).__name__}: {unused[:3]}."
        )
    return causal_lm


def _choose_attention(config: Any, asked: str, notes: list[str]) -> str | None:
    """Return a name, or None to leave the choice to transformers."""
    if asked in ("auto", "sdpa") and getattr(config.get_text_config(), "attn_logit_softcapping", None):
        notes.append("attention is eager: sdpa would ignore the soft cap on this model's attention logits.")
        return "eager"
    return None if asked == "auto" else asked


@contextmanager
def _own_thread(device: torch.device) -> Iterator[None]:
    """Keep transformers from loading in threads of its own on the CPU, whose start can hang where memory is short."""
    name, before = "HF_DEACTIVATE_ASYNC_LOAD", os.environ.get("HF_DEACTIVATE_ASYNC_LOAD")
    if device.type == "cpu":
        os.environ[name] = "1"
    try:
        yield
    finally:
        if device.type == "cpu" and before is None:
            del os.environ[name]


def _require_plausible(config: Any, source: Source) -> None:
    """Refuse sizes that the weights cannot have, before modules and memory are made for them."""
    shapes = _shapes(weight_files(source.directory))
    if not shapes:
        return
    numbers = sum(math.prod(shape) for shape in shapes)
    bounds = {"num_hidden_layers": len(shapes), "vocab_size": numbers}
    bounds |= {"hidden_size": numbers, "intermediate_size": numbers}
    for name, most in bounds.items():
        found = getattr(config.get_text_config(), name, None)
        if isinstance(found, int) and found > most:
            raise WorkerError(
                "BAD_MODEL",
                f"{source.directory / 'config.json'} has {name} {found}, but its weights are {len(shapes)} tensors of "
                f"{numbers} numbers in all: use the config and the weights of one model.",
            )


def _shapes(files: list[Path]) -> list[list[int]]:
    """Return the shapes of all tensors, from the headers of the files."""
    shapes = []
    for file in files:
        with safe_open(str(file), "pt") as weights:
            shapes += [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118
    return shapes


def _explain(error: BaseException, source: Source, settings: dict[str, Any]) -> WorkerError:
    """Turn a failure of transformers into BAD_PARAMS or BAD_MODEL."""
    attention = settings.get("attn_implementation", "eager")
    if (
        attention != "eager"
        and _can_build(source, settings | {"attn_implementation": "eager"})
        and not _can_build(source, settings)
    ):
        return WorkerError(
            "BAD_PARAMS",
            f"attention {attention!r} does not work for {source.directory}: {one_line(error)}. Use auto or eager.",
        )
    return _bad_model(source, error)


def _bad_model(source: Source, error: BaseException) -> WorkerError:
    if _asks_for_trust(error):
        return _needs_code(source.directory)
    return WorkerError(
        "BAD_MODEL",
        f"Model {source.directory} cannot be loaded as a causal language model: {one_line(error)}. Check its config.json "
        "against the model it was copied from, or download the directory again.",
    )


def _asks_for_trust(error: BaseException) -> bool:
    """Say whether transformers would have to run code that lies beside the weights."""
    return "trust_remote_code" in str(error)


def _needs_code(directory: Path) -> WorkerError:
    code = ", ".join(sorted(file.name for file in directory.glob("*.py"))) or "not in this directory"
    return WorkerError(
        "BAD_MODEL",
        f"{directory} is loaded by Python code that comes with it ({code}), and that is not run unasked. Read it; where you "
        "trust it, set trust_remote_code: true.",
        {"reason": "remote_code"},
    )


def _can_build(source: Source, settings: dict[str, Any]) -> bool:
    """Say whether the architecture can be made, without memory for its weights."""
    try:
        config = AutoConfig.from_pretrained(
            str(source.directory), trust_remote_code=settings["trust_remote_code"]
        )
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(config, **settings)
    except Exception as error:  # transformers raises anything for a config that it cannot use
        if is_out_of_memory(error):
            raise
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
    with from_library(partial(_broken_tokenizer, directory)):
        tokenizer = AutoTokenizer.from_pretrained(str(directory), trust_remote_code=trust_remote_code)
        size = len(tokenizer)
    # With only a tokenizer_config.json transformers makes a tokenizer that knows little but its special tokens.
    if size < BYTES and not has_vocabulary(directory):
        message = f"The tokenizer in {directory} has no vocabulary; copy tokenizer.json there."
        raise WorkerError("NOT_FOUND", message)
    return tokenizer


def _broken_tokenizer(directory: Path, error: BaseException) -> WorkerError:
    if _asks_for_trust(error):
        return _needs_code(directory)
    names = ("tokenizer_config.json", "special_tokens_map.json", "tokenizer.json")
    for name in names:  # transformers does not say which file it could not read
        if (directory / name).is_file():
            read_json(directory / name)
    is_there = (directory / "tokenizer.json").is_file()
    hint = "Copy its files again." if is_there else "There is no tokenizer.json: copy it there."
    reason = " ".join(str(error).split())[:600]
    return WorkerError(
        "BAD_MODEL",
        f"The tokenizer in {directory} cannot be loaded: {type(error).__name__}: {reason}. {hint}",
    )
