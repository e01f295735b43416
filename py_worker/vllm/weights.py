"""Weights on disk as an engine reads them, with all that must be known of them before it does."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from py_worker.describe import eos_of_files, is_token_id
from py_worker.digest import tensors_digest
from py_worker.errors import WorkerError
from py_worker.merge import merged
from py_worker.pretrained import load_config, load_tokenizer
from py_worker.protocol import LoadParams
from py_worker.source import Source, base_of_adapter, files_digest, find_source, read_json, weight_files

HEAD = "lm_head.weight"
_NOT_OF_THE_SHAPE = frozenset(
    ("_name_or_path", "transformers_version", "eos_token_id", "bos_token_id", "pad_token_id", "use_cache")
)
"""Of config.json: what an engine on ids does not build anything from."""


@dataclass(frozen=True)
class Held:
    """A directory whose weights an engine can load."""

    source: Source
    directory: Path
    """That of full weights: of an adapter, where it was merged into its base."""
    config: PreTrainedConfig
    shape: dict[str, Any]
    """Config.json, as far as the engine is built from it."""
    tensors: dict[str, tuple[str, tuple[int, ...]]]
    """Type and shape of each, from the files' headers."""
    tokenizer: PreTrainedTokenizerBase | None
    eos_ids: list[int]
    files_digest: str
    merged_digest: str | None
    """Of an adapter: the digest that the trainer gives its weights."""
    temporary: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    @property
    def vocab_size(self) -> int:
        """Ids are below this."""
        return self.config.get_text_config().vocab_size

    @property
    def max_positions(self) -> int | None:
        """None: the config names no limit."""
        return getattr(self.config.get_text_config(), "max_position_embeddings", None)

    @property
    def is_tied(self) -> bool:
        """The head is the embedding."""
        return bool(getattr(self.config.get_text_config(), "tie_word_embeddings", False))

    @property
    def parameter_count(self) -> int:
        """Numbers in all tensors, tied ones once."""
        return sum(math.prod(shape) for name, (_, shape) in self.tensors.items() if not self.is_copy(name))

    def is_copy(self, name: str) -> bool:
        """Say whether a tensor only repeats the embedding."""
        return self.is_tied and name == HEAD


def hold(params: LoadParams, dtype: str) -> Held:
    """Check a directory as the PyTorch worker does, read its headers, and merge an adapter; NOT_FOUND or BAD_MODEL."""
    source, trust_remote_code = find_source(params.model, params.revision), params.trust_remote_code
    if source.is_adapter and params.adapter is not None:
        raise WorkerError(
            "BAD_PARAMS", f"adapter must be null: {source.directory} is an adapter, which is loaded."
        )
    base = base_of_adapter(source) if source.is_adapter else source
    config = load_config(base, trust_remote_code)
    tokenizer = load_tokenizer([source, base], trust_remote_code, is_required=True)
    directory, temporary, digest = base.directory, None, None
    if source.is_adapter or params.adapter is not None:
        temporary = tempfile.TemporaryDirectory(prefix="tms-merged-")
        directory = Path(temporary.name)
        digest = merged(
            source, config, params.adapter, base=base, dtype=getattr(torch, dtype), into=directory
        )
    files = weight_files(directory)
    pickled = [file for file in files if file.suffix != ".safetensors"]
    if pickled:
        raise WorkerError(
            "BAD_MODEL",
            f"{pickled[0]} is no safetensors file; a vLLM sampler reads those only. Save the model again with save_pretrained.",
        )
    shape = {name: value for name, value in _config(directory).items() if name not in _NOT_OF_THE_SHAPE}
    held = Held(
        source=source,
        directory=directory,
        config=config,
        shape=shape,
        tensors=_headers(files),
        tokenizer=tokenizer,
        eos_ids=[],
        files_digest=files_digest([base.directory, source.directory]),
        merged_digest=digest,
        temporary=temporary,
    )
    declared = eos_of_files(tokenizer, config, _generation_config(base.directory))
    held.eos_ids.extend(sorted({token for token in declared if is_token_id(held, token)}))
    return held


def digest_of(held: Held, dtype: str) -> str:
    """Return the digest that the trainer gives these weights in ``dtype``; costs a second a gigabyte."""
    return held.merged_digest or tensors_digest(_Tensors(held, getattr(torch, dtype)))


def require_same_table(held: Held, before: Held) -> None:
    """Raise BAD_MODEL where weights of one config lack tensors of the other or have them in another shape.

    vLLM would keep the old values of those that are missing, with a line in its log, and be spoilt by a wrong shape.
    """
    missing = sorted(name for name in before.tensors.keys() - held.tensors.keys() if not before.is_copy(name))
    misshapen = [
        f"{name} {held.tensors[name][1]}, not {shape}"
        for name, (_, shape) in sorted(before.tensors.items())
        if name in held.tensors and held.tensors[name][1] != shape
    ]
    if missing or misshapen:
        parts = [f"{len(missing)} tensors are missing ({', '.join(missing[:3])})"] if missing else []
        parts += [f"{len(misshapen)} have another shape ({'; '.join(misshapen[:3])})"] if misshapen else []
        raise WorkerError(
            "BAD_MODEL",
            f"Weights of {held.source.directory} do not fit the config.json that they share with {before.source.directory}: "
            f"{', '.join(parts)}. Copy the directory again.",
            {"missing": missing[:20], "misshapen": misshapen[:20]},
        )


def can_reload(held: Held, before: Held) -> bool:
    """Say whether an engine can take these weights in place: dense, unquantised, and the same tensors."""
    is_plain = not any("expert" in name or name == "quantization_config" for name in held.shape)
    return is_plain and held.shape == before.shape and held.tensors == before.tensors


class _Tensors(Mapping[str, torch.Tensor]):
    """Read when they are asked for, one at a time, as a trainer holds them."""

    def __init__(self, held: Held, dtype: torch.dtype) -> None:
        self._files = {name: file for file in weight_files(held.directory) for name in _names(file)}
        self._names = [name for name in self._files if not held.is_copy(name)]
        self._dtype = dtype

    def __getitem__(self, name: str) -> torch.Tensor:
        with safe_open(str(self._files[name]), "pt") as weights:
            tensor = weights.get_tensor(name)
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _names(file: Path) -> list[str]:
    with safe_open(str(file), "pt") as weights:
        return list(weights.keys())


def _headers(files: list[Path]) -> dict[str, tuple[str, tuple[int, ...]]]:
    found = {}
    for file in files:
        with safe_open(str(file), "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - it is no mapping
                part = weights.get_slice(name)
                found[name] = (part.get_dtype(), tuple(part.get_shape()))
    return found


def _config(directory: Path) -> dict[str, Any]:
    return read_json(directory / "config.json")


def _generation_config(directory: Path) -> GenerationConfig | None:
    file = directory / "generation_config.json"
    return GenerationConfig.from_dict(read_json(file)) if file.is_file() else None
