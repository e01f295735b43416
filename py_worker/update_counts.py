"""How many updates of weights are lost to rounding: a weight that had a gradient and is bit for bit what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from py_worker.protocol import UpdateCounts

SAMPLE = 65_536
"""About as many elements of a tensor are looked at, all of a smaller one."""


def count_lost(parameters: Iterable[nn.Parameter], update: Callable[[], None]) -> UpdateCounts:
    """Run ``update``, which changes ``parameters`` in place, and count what it left as it was."""
    watched = [(p, _some(p).clone(), _some(p.grad) != 0) for p in parameters if p.grad is not None]
    update()
    counted = sum(int(moving.sum()) for _, _, moving in watched)
    lost = sum(int(((_some(p) == before) & moving).sum()) for p, before, moving in watched)
    return UpdateCounts(counted=counted, lost=lost)


def _some(tensor: torch.Tensor) -> torch.Tensor:
    """Return evenly spread elements; the distance is odd, so that no column of a matrix is left out for its even width."""
    distance = tensor.numel() // SAMPLE | 1
    return tensor.detach().reshape(-1)[::distance]
