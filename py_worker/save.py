"""Save weights as a plain Hugging Face or PEFT directory, alone or with the state that training continues from."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig

from py_worker.atomic import atomic_directory
from py_worker.digest import saved_tensors, weights_digest
from py_worker.errors import WorkerError
from py_worker.manifest import MANIFEST_FILE, check_manifest, damaged, write_manifest
from py_worker.model import Model
from py_worker.source import read_json

if TYPE_CHECKING:
    from peft import PeftModel

STATE_FORMAT = 2
STATE_FILE = "training_state.json"
OPTIMIZER_FILE = "optimizer.safetensors"
RNG_FILE = "rng.safetensors"


def save_weights(
    model: Model, path: str | Path, stop_ids: Sequence[int] | None = None, *, digest: str | None = None
) -> dict[str, Any]:
    """Write a directory that transformers or PEFT loads as it is; it appears complete or not at all.

    Where ``stop_ids`` are given they are what ends a sequence for those who load it (a PEFT directory does not say). A ``digest``
    of the weights that is known already is not computed again: then every byte is hashed once, for the list of files.

    Returns path, bytes, files (name, bytes, sha256) and weights_digest. Raises BAD_PARAMS where ``path`` holds anything,
    SAVE_FAILED where the disk refuses.
    """
    return _save(model, Path(path), None, digest, stop_ids)


def save_training_state(
    model: Model,
    state: tuple[Mapping[str, torch.Tensor], Mapping[str, Any]],
    path: str | Path,
    *,
    digest: str | None = None,
) -> dict[str, Any]:
    """Write what ``save_weights`` writes and all that training continues from, bit-equal on CPU.

    ``state`` is the optimiser's: tensors by name, and values that are kept as JSON.
    """
    return _save(model, Path(path), state, digest)


def require_as_saved(path: str | Path, expected_digest: str | None) -> None:
    """Raise BAD_MODEL (reason ``damaged``) where a byte of a saved directory changed since; others pass unread.

    ``expected_digest`` is of the weights that should be there. A training state always has its manifest.
    """
    directory = Path(path).expanduser()
    if any((directory / name).is_file() for name in (MANIFEST_FILE, STATE_FILE)):
        check_manifest(directory, expected_digest)


def load_training_state(
    path: str | Path,
) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, torch.Tensor]]:
    """Return the tensors (on CPU) and the values that were saved, and the random states for ``restore_rng``.

    Raises NOT_FOUND where there is no training state, BAD_MODEL where it is of another version. Call ``require_as_saved`` before.
    """
    directory = Path(path).expanduser()
    if not (directory / STATE_FILE).is_file():
        raise WorkerError(
            "NOT_FOUND",
            f"{directory} has no {STATE_FILE}: it holds weights only, training cannot continue from it.",
        )
    state = read_json(directory / STATE_FILE)
    if state.get("format") != STATE_FORMAT:
        raise damaged(directory / STATE_FILE, f"format {state.get('format')}", f"format {STATE_FORMAT}")
    return load_file(directory / OPTIMIZER_FILE), state["meta"], load_file(directory / RNG_FILE)


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return torch's random states: of the CPU, and of ``device`` where that is a GPU."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_rng(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    """Set torch's random states to what ``rng_state`` returned; a GPU's is left out where ``device`` is none."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def _save(
    model: Model,
    target: Path,
    optimizer_state: tuple[Mapping[str, torch.Tensor], Mapping[str, Any]] | None,
    digest: str | None,
    stop_ids: Sequence[int] | None = None,
) -> dict[str, Any]:
    target = target.expanduser().absolute()
    weights = saved_tensors(model)
    written = [*weights.values(), *(optimizer_state[0].values() if optimizer_state else [])]
    bytes_needed = sum(tensor.numel() * tensor.element_size() for tensor in written)
    with atomic_directory(target, bytes_needed) as directory:
        digest = digest or weights_digest(model)
        if model.adapter is not None:
            _write_adapter(model.adapter, weights, directory)
        else:
            _write_causal_lm(model, directory, stop_ids)
        if model.tokenizer is not None:
            model.tokenizer.save_pretrained(directory)
        if optimizer_state:
            _write_training_state(model, optimizer_state, directory)
        files = write_manifest(directory, digest)
    total = sum(file["bytes"] for file in files)
    return {"path": str(target), "bytes": total, "files": files, "weights_digest": digest}


def _write_causal_lm(model: Model, directory: Path, stop_ids: Sequence[int] | None) -> None:
    causal_lm = model.causal_lm
    own = causal_lm.generation_config
    # transformers refuses to save some generation configs that it loads; ours never depends on them, so it is kept as is.
    causal_lm.generation_config = GenerationConfig()
    try:
        with model.network.exact():
            causal_lm.save_pretrained(directory)
    finally:
        causal_lm.generation_config = own
    if stop_ids:
        own = copy.deepcopy(own) if own is not None else GenerationConfig()
        own.eos_token_id = stop_ids[0] if len(stop_ids) == 1 else list(stop_ids)
    if own is not None:
        own.to_json_file(directory / "generation_config.json", use_diff=True, keys_to_pop=["compile_config"])


def _write_adapter(network: PeftModel, tensors: Mapping[str, torch.Tensor], directory: Path) -> None:
    _save_tensors(tensors, directory / "adapter_model.safetensors")
    config = network.peft_config[str(network.active_adapter)].to_dict() | {"inference_mode": True}
    _write_json({key: _sorted(value) for key, value in config.items()}, directory / "adapter_config.json")


def _sorted(value: Any) -> Any:
    """Give sets and lists of names one order: PEFT's own varies with PYTHONHASHSEED."""
    if isinstance(value, (set, frozenset, list, tuple)) and all(isinstance(name, str) for name in value):
        return sorted(value)
    return value


def _write_training_state(
    model: Model,
    optimizer_state: tuple[Mapping[str, torch.Tensor], Mapping[str, Any]],
    directory: Path,
) -> None:
    tensors, meta = optimizer_state
    _save_tensors(tensors, directory / OPTIMIZER_FILE)
    _save_tensors(rng_state(model.device), directory / RNG_FILE)
    _write_json({"format": STATE_FORMAT, "meta": dict(meta)}, directory / STATE_FILE)


def _save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    own = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    names = Counter(tensor.data_ptr() for tensor in own.values())
    # safetensors refuses two names for one memory
    own = {name: t.clone() if names[t.data_ptr()] > 1 else t for name, t in own.items()}
    save_file(own, path, {"format": "pt"})


def _write_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
