"""Weights between those of two models: each is (1 - share) of one and share of the other (arXiv 2109.01903)."""

from __future__ import annotations

import torch

from py_worker.digest import saved_tensors
from py_worker.errors import WorkerError
from py_worker.load import Other
from py_worker.model import Model
from py_worker.source import Source, base_of_adapter


@torch.no_grad()
def blend(model: Model, source: Source, other: Other, *, share: float) -> None:
    """Move the weights of ``model``, loaded from ``source``, by ``share`` towards those of ``other``.

    Raises BAD_PARAMS where the two do not fit together, before anything is changed.
    """
    if model.adapter is not None:
        _weaken(model, source, other.source, share)
    else:
        _mix(model, other, share)
    model.network.take_over()


def _mix(model: Model, other: Other, share: float) -> None:
    found = other.weights()
    if found.adapter is not None:
        raise _unfit(other.source, "it is an adapter, and the loaded model is none")
    ours, theirs = saved_tensors(model), saved_tensors(found)
    shapes = ({name: tensor.shape for name, tensor in tensors.items()} for tensors in (ours, theirs))
    if len({str(sorted(one.items())) for one in shapes}) > 1:
        raise _unfit(
            other.source, f"its {len(theirs)} weights have other names or shapes than the {len(ours)} here"
        )
    for name, tensor in ours.items():
        if tensor.is_floating_point():
            _lerp(tensor, theirs[name], share)


def _weaken(model: Model, source: Source, other: Source, share: float) -> None:
    """Blend an adapter with its base: what it adds is linear in B, so (1 - share)·B has exactly the weights between."""
    if not source.is_adapter or base_of_adapter(source).directory != other.directory:
        raise _unfit(other, f"an adapter is blended only with the model that {source.name} was trained on")
    tensors = saved_tensors(model)
    strange = [name for name in tensors if ".lora_A." not in name and ".lora_B." not in name]
    if strange:
        raise _unfit(other, f"the adapter has more than A and B of LoRA: {strange[:3]}")
    for name, tensor in tensors.items():
        if ".lora_B." in name:
            tensor.mul_(1.0 - share)


def _lerp(own: torch.Tensor, theirs: torch.Tensor, share: float) -> None:
    """Mix in float32, whatever the tensors are held in."""
    own.copy_(own.float() * (1.0 - share) + theirs.to(own.device).float() * share)


def _unfit(other: Source, why: str) -> WorkerError:
    return WorkerError("BAD_PARAMS", f"blend: {other.name} does not fit: {why}")
