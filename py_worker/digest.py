"""Digests of weights that depend on names, types, shapes and values only, not on files, devices or memory layout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch

from py_worker.model import Model


def weights_digest(model: Model) -> str:
    """Return the SHA-256 of all weights; with an adapter, of its tensors and the digest of the weights under it.

    Costs about a second per gigabyte; the weights under an adapter are hashed once.
    """
    if model.base_tensors is None:
        return tensors_digest(saved_tensors(model))
    if model.base_digest is None:
        model.base_digest = tensors_digest(model.base_tensors)
    return tensors_digest(saved_tensors(model), model.base_digest)


def saved_tensors(model: Model) -> dict[str, torch.Tensor]:
    """Return what a save holds, by name: the adapter's tensors, or all weights with tied ones once."""
    with model.network.exact():
        if model.adapter is not None:
            from peft.utils import get_peft_model_state_dict

            # "auto" would ask the hub whether the vocabulary was resized; this worker never resizes it.
            return get_peft_model_state_dict(model.adapter, save_embedding_layers=False)
        return unique_tensors(model.causal_lm.state_dict())


def unique_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Drop later names of the same memory (tied weights): the first name is the one that files keep."""
    seen: set[tuple[int, torch.Size]] = set()
    unique = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        unique[name] = tensor
    return unique


def tensors_digest(tensors: Mapping[str, torch.Tensor], base_digest: str | None = None) -> str:
    """Hash, by sorted name, a JSON line ``[name, dtype, shape]`` and the little-endian bytes of each tensor.

    A base digest follows as the JSON line ``["base", digest]``.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        dtype = str(tensor.dtype).removeprefix("torch.")
        digest.update(_line([name, dtype, list(tensor.shape)]))
        flat = tensor.cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    if base_digest is not None:
        digest.update(_line(["base", base_digest]))
    return digest.hexdigest()


def _line(value: list) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
