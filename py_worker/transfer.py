"""Arrays to the device and values back, each in one go: every crossing by itself makes host and device wait for each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

ALIGNMENT = 16
"""Bytes: where an array begins inside the common buffer."""


def to_device(arrays: Sequence[np.ndarray], device: torch.device) -> list[torch.Tensor]:
    """Return the arrays as tensors; a GPU gets them as one copy that nobody waits for."""
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    return tensors if device.type == "cpu" else _together(tensors, device)


def to_host(tensors: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Return float32 tensors as arrays, with one wait for the device."""
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return [tensor.numpy() for tensor in tensors]
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).cpu()
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).numpy() for part, tensor in zip(parts, tensors, strict=True)]


def _together(tensors: list[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
    sizes = [tensor.numel() * tensor.element_size() for tensor in tensors]
    starts = np.cumsum([0, *(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)]).tolist()
    host = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")
    places = list(zip(tensors, starts, sizes, strict=False))
    for tensor, start, size in places:
        if size:  # an empty array may have a stride that bytes cannot be read with
            host[start : start + size] = tensor.reshape(-1).view(torch.uint8)
    there = host.to(device, non_blocking=True)
    return [
        there[start : start + size].view(tensor.dtype).view(tensor.shape) for tensor, start, size in places
    ]
