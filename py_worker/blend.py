"""Weights between those of two models: each is (1 - share) of one and share of the other (arXiv 2109.01903)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from peft import PeftModel

from py_worker.digest import saved_tensors
from py_worker.errors import WorkerError
from py_worker.model import Model
from py_worker.protocol import Blend
from py_worker.source import base_of_adapter, find_source


@torch.no_grad()
def blend(model: Model, source: str, other: Blend, load: Callable[[str], Model]) -> None:
    """Move the weights of ``model``, loaded from ``source``, by ``other.share`` towards those of ``other.model``.

    Raises BAD_PARAMS where the two do not fit together, before anything is changed.
    """
    if isinstance(model.trained, PeftModel):
        _weaken(model, source, other)
    else:
        _mix(model, load(other.model), other)
    model.network.take_over()


def _mix(model: Model, found: Model, other: Blend) -> None:
    if isinstance(found.trained, PeftModel):
        raise _unfit(other, "it is an adapter, and the loaded model is none")
    ours, theirs = saved_tensors(model), saved_tensors(found)
    shapes = ({name: tensor.shape for name, tensor in tensors.items()} for tensors in (ours, theirs))
    if len({str(sorted(one.items())) for one in shapes}) > 1:
        raise _unfit(other, f"its {len(theirs)} weights have other names or shapes than the {len(ours)} here")
    for name, tensor in ours.items():
        if tensor.is_floating_point():
            _lerp(tensor, theirs[name], other.share)


def _weaken(model: Model, source: str, other: Blend) -> None:
    """Blend an adapter with its base: what it adds is linear in B, so (1 - share)·B has exactly the weights between."""
    directory = find_source(source)
    if not directory.is_adapter or base_of_adapter(directory).directory != find_source(other.model).directory:
        raise _unfit(other, f"an adapter is blended only with the model that {source} was trained on")
    tensors = saved_tensors(model)
    strange = [name for name in tensors if ".lora_A." not in name and ".lora_B." not in name]
    if strange:
        raise _unfit(other, f"the adapter has more than A and B of LoRA: {strange[:3]}")
    for name, tensor in tensors.items():
        if ".lora_B." in name:
            tensor.mul_(1.0 - other.share)


def _lerp(own: torch.Tensor, theirs: torch.Tensor, share: float) -> None:
    """Mix in float32, whatever the tensors are held in."""
    own.copy_(own.float() * (1.0 - share) + theirs.to(own.device).float() * share)


def _unfit(other: Blend, why: str) -> WorkerError:
    return WorkerError("BAD_PARAMS", f"blend: {other.model} does not fit: {why}")
