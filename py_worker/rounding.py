"""AdamW on bfloat16 weights without float32 originals: 8 bytes a weight with its gradient, in place of 18.

What is written back is rounded up or down at random, in proportion to what is lost, so that updates far below the last bit
count on average (arXiv 2010.06192). The bits drawn depend on (step, name of the parameter) alone: a resumed training draws the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

PART = 1 << 24
"""Most weights that are held in float32 at a time."""


class RoundingAdamw(torch.optim.Optimizer):
    """AdamW (arXiv 1711.05101) whose weights and moments stay in the dtype of the weights."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], groups: list[dict[str, Any]]) -> None:
        defaults = {"lr": 0.0, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
        super().__init__(groups, defaults)
        self._names = {id(parameter): name for name, parameter in parameters.items()}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # torch allows a closure
        """Take a step on the gradients that are there."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        step = int(state["step"])
        seed = zlib.crc32(f"{step} {self._names[id(parameter)]}".encode())
        generator = torch.Generator(parameter.device).manual_seed(seed)
        held = [t.reshape(-1) for t in (parameter.data, state["exp_avg"], state["exp_avg_sq"], gradient)]
        for start in range(0, parameter.numel(), PART):
            parts = [tensor[start : start + PART] for tensor in held]
            exact = [part.float() for part in parts]
            _adamw(*exact, step=step, group=group)
            for part, value in zip(parts[:3], exact[:3], strict=True):
                part.copy_(stochastically_rounded(value, generator))


def _adamw(
    weight: torch.Tensor,
    mean: torch.Tensor,
    square: torch.Tensor,
    gradient: torch.Tensor,
    *,
    step: int,
    group: dict[str, Any],
) -> None:
    beta1, beta2 = group["betas"]
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    scale = square.div(1 - beta2**step).sqrt_().add_(group["eps"])
    weight.mul_(1 - group["lr"] * group["weight_decay"])
    weight.addcdiv_(mean, scale, value=-group["lr"] / (1 - beta1**step))


def stochastically_rounded(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Round float32 to bfloat16 so that the mean is right: the chance to go up is the part of the last bit that is there."""
    bits = values.view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, generator=generator, dtype=torch.int32, device=bits.device)
    return ((bits + noise) & -(1 << 16)).view(torch.float32).to(torch.bfloat16)
