"""A copy of what is trained, kept beside it: to be asked for log-probabilities while training goes on.

Frozen, it is what training is held against; moved a little after each step it is an exponential moving average of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from py_worker.errors import WorkerError
from py_worker.load import Other
from py_worker.model import Model
from py_worker.source import Source, find_source

if TYPE_CHECKING:
    from peft import PeftModel

Kept = dict[str, torch.Tensor]
"""By the names of what is trained, in the type that the optimiser sees; in float32 once it moves."""
PREFIX = "kept."
"""Of the names in a training state."""


@torch.no_grad()
def keep(model: Model, kept: Kept | None, share: float) -> Kept:
    """Return a copy of the weights as they are, or the copy that is there, moved by ``share`` towards them."""
    if share == 1.0:
        return {name: parameter.detach().clone() for name, parameter in model.network.trainable().items()}
    if kept is None:
        raise WorkerError("BAD_PARAMS", "nothing is kept that could be moved; keep with share 1 first")
    # A small share of a difference is below the last bit of bfloat16: a copy in it would never move.
    return {
        name: kept[name].float().lerp_(parameter.detach().float(), share)
        for name, parameter in model.network.trainable().items()
    }


@torch.no_grad()
def keep_other(model: Model, other: Other, share: float) -> Kept:
    """Return a copy of the weights of another model in place of what is trained here; BAD_PARAMS where it does not fit."""
    if share != 1.0:
        raise WorkerError("BAD_PARAMS", "share must be 1 with a model: nothing is moved towards another one")
    trained = model.network.trainable()
    if model.adapter is not None and not other.source.is_adapter:
        return _without_adapter(model.adapter, trained, other.source)
    own = other.weights()
    if _shapes(own) != _shapes(model):
        raise _unfit(other.source, "its weights have other names or shapes")
    found = own.network.trainable()
    return {name: found[name].detach().to(parameter.dtype).clone() for name, parameter in trained.items()}


def other_weights(model: Model, other: Other) -> Callable[[], AbstractContextManager[None]]:
    """Return what lets the network compute with the weights of another model for a while; BAD_PARAMS where they do not fit."""
    if model.adapter is not None and not other.source.is_adapter:
        _require_base(model.adapter, other.source)
        return model.adapter.disable_adapter
    names = dict(model.trained.named_parameters())
    # In the type that is computed with, once and not at every look.
    held = {name: tensor.to(names[name].dtype) for name, tensor in keep_other(model, other, 1.0).items()}
    return lambda: shown(model, held)


def _require_base(adapter: PeftModel, source: Source) -> None:
    config = adapter.peft_config["default"]
    named = config.base_model_name_or_path
    if named is None or find_source(str(named), config.revision).directory != source.directory:
        raise _unfit(source, f"an adapter is held against the model that it stands on, {named}")


def _without_adapter(adapter: PeftModel, trained: dict[str, nn.Parameter], source: Source) -> Kept:
    """Of an adapter's base: the adapter with a B of zero adds nothing."""
    _require_base(adapter, source)
    strange = [name for name in trained if ".lora_A." not in name and ".lora_B." not in name]
    if strange:
        raise _unfit(source, f"the adapter has more than A and B of LoRA: {strange[:3]}")
    return {
        name: torch.zeros_like(parameter) if ".lora_B." in name else parameter.detach().clone()
        for name, parameter in trained.items()
    }


def _unfit(source: Source, why: str) -> WorkerError:
    return WorkerError("BAD_PARAMS", f"{source.name} does not fit: {why}")


def _shapes(model: Model) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in model.network.trainable().items()}


def size_of(kept: Kept) -> int:
    """Return its bytes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in kept.values())


@contextmanager
def shown(model: Model, kept: Kept | None) -> Iterator[None]:
    """Let the network compute with what is kept for a while; BAD_PARAMS where that is nothing."""
    if kept is None:
        raise WorkerError("BAD_PARAMS", "kept: nothing is kept; ask `keep` first")
    names = dict(model.trained.named_parameters())
    held = {name: names[name].data for name in kept}
    for name, tensor in kept.items():
        names[name].data = tensor.to(held[name].dtype)
    try:
        yield
    finally:
        for name, data in held.items():
            names[name].data = data


def state_of(kept: Kept | None) -> dict[str, torch.Tensor]:
    """Return tensors for a training state."""
    return {f"{PREFIX}{name}": tensor for name, tensor in (kept or {}).items()}


def split_state(
    model: Model, tensors: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], Kept | None]:
    """Take what was kept out of the tensors of a training state."""
    kept = {
        name.removeprefix(PREFIX): tensor.to(model.device)
        for name, tensor in tensors.items()
        if name.startswith(PREFIX)
    }
    rest = {name: tensor for name, tensor in tensors.items() if not name.startswith(PREFIX)}
    return rest, kept or None
