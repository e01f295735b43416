"""AdamW with moments in 8 bits (arXiv 2110.02861): a quarter of their memory, by a library that is not always there."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from py_worker.errors import WorkerError, from_library, one_line
from py_worker.four_bit import without_bitsandbytes

PROBED_WEIGHTS = 4096
"""The fewest that the library keeps in 8 bits."""


def eight_bit_adamw(
    groups: list[dict[str, Any]], exact: Iterable[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """Return AdamW over ``groups``; the moments of ``exact`` stay in float32, as transformers keeps those of embeddings.

    Raises NOT_FOUND where the library cannot be loaded, BAD_PARAMS where it has nothing for this device.
    """
    library = _library()
    probed = nn.Parameter(torch.zeros(PROBED_WEIGHTS, device=device))
    probed.grad = torch.ones_like(probed)
    with from_library(lambda error: _unusable(device, one_line(error))):
        library.optim.AdamW8bit([probed], lr=1.0, weight_decay=0.0).step()
    if not bool((probed < 0).all()):
        raise _unusable(device, "a trial step moves weights wrongly")
    optimizer = library.optim.AdamW8bit(groups)
    # The library's own manager is one for the process, and knows parameters by ids that others get later.
    manager: Any = type(optimizer.mng)
    optimizer.mng = manager.__new__(manager)
    optimizer.mng.initialize()
    optimizer.mng.override_config(list(exact), "optim_bits", 32)
    return optimizer


def _unusable(device: torch.device, found: str) -> WorkerError:
    fix = "use optim adamw_torch, or install a bitsandbytes that has kernels for this device"
    return WorkerError("BAD_PARAMS", f"8-bit AdamW does not work on {device} ({found}); {fix}")


def _library() -> Any:
    def missing(error: BaseException) -> WorkerError:
        return without_bitsandbytes("8-bit AdamW", error, "use optim adamw_torch")

    with from_library(missing):
        return importlib.import_module("bitsandbytes")
