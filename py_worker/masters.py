"""Float32 originals of weights that compute in bfloat16, so that small updates are not rounded away.

A step adds to a weight a thousandth of it or less, and bfloat16 holds 8 significant bits. So the optimiser, saves and digests
see the originals; the network holds bfloat16 copies, written once a step. This is what FSDP2's MixedPrecisionPolicy does, in
plain tensors: on one device it would bring process groups and DTensors into every save, digest and adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel


class Masters:
    """Originals by the name of their parameter: of trained weights that were loaded in float32, and of all that an adapter trains.

    Frozen weights are rounded for good. Gradients of the copies are added up in float32, micro-batch by micro-batch.
    """

    def __init__(self, trained: nn.Module, causal_lm: PreTrainedModel, compute_dtype: torch.dtype) -> None:
        self._copies = {
            name: parameter
            for name, parameter in trained.named_parameters()
            if parameter.requires_grad and (parameter.dtype == torch.float32 or trained is not causal_lm)
        }
        self.parameters: dict[str, nn.Parameter] = {
            name: nn.Parameter(copy.detach().float()) for name, copy in self._copies.items()
        }
        exact = getattr(causal_lm, "_keep_in_fp32_modules_strict", None) or set()
        for name, parameter in trained.named_parameters():
            if parameter.dtype == torch.float32 and not any(part in exact for part in name.split(".")):
                parameter.data = parameter.data.to(compute_dtype)
        for name, copy in self._copies.items():
            copy.register_post_accumulate_grad_hook(self._collector(self.parameters[name]))

    def publish(self) -> None:
        """Write the originals into the copies."""
        if not self._copies:
            return
        with torch.no_grad():
            torch._foreach_copy_(
                list(self._copies.values()), list(self.parameters.values())
            )  # as torch.optim

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the network hold the originals for a while, without a copy: for what reads weights by name."""
        held = {name: copy.data for name, copy in self._copies.items()}
        for name, copy in self._copies.items():
            copy.data = self.parameters[name].data
        try:
            yield
        finally:
            for name, copy in self._copies.items():
                copy.data = held[name]

    @staticmethod
    def _collector(master: nn.Parameter) -> Callable[[torch.Tensor], None]:
        def collect(copy: torch.Tensor) -> None:
            assert copy.grad is not None
            if master.grad is None:
                master.grad = copy.grad.float()
            else:
                master.grad.add_(copy.grad)
            copy.grad = None

        return collect
