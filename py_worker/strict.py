"""What makes a forward pass on CPU give a row the same bits whatever the other rows are.

Shape suffixes: M rows of a product, D its inputs, N its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

OUTPUTS_PER_THREAD = 16
"""MKL cuts products with fewer outputs per thread another way as soon as there are as many rows as outputs."""
FEWEST_ROWS = 4
"""Products of fewer rows round differently."""
CUDA_ROWS = 64
"""Rows of every step on CUDA, answered or not: a product of one shape has one kernel, so a row's bits are its own."""
PROBED_ROWS = (5, 7, 16, 33, 256)
PROBED_PRODUCTS = 1 << 30
"""Most multiplications in one probe: a large head is tried with few rows only."""


@contextmanager
def widened(causal_lm: nn.Module) -> Iterator[None]:
    """Compute narrow linear layers (adapters of rank 16, small vocabularies) with outputs of zero beside their own."""
    width = OUTPUTS_PER_THREAD * torch.get_num_threads()
    layers = [layer for layer in causal_lm.modules() if isinstance(layer, nn.Linear)]
    narrow = [layer for layer in layers if layer.weight.device.type == "cpu" and layer.out_features < width]
    for layer in narrow:
        layer.forward = _wide_forward(layer, width)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        for layer in narrow:
            del layer.forward


@contextmanager
def sampling_kernels(device: torch.device) -> Iterator[None]:
    """Allow a GPU all kernels while it samples: a probe has tried those, and ``cumsum`` is refused among the deterministic ones."""
    before = torch.are_deterministic_algorithms_enabled()
    if device.type == "cuda":
        torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@torch.inference_mode()
def probe_products(causal_lm: nn.Module) -> bool:
    """Say whether every shape of linear layer gives rows the same bits in products of four and of more rows."""
    layers = [layer for layer in causal_lm.modules() if isinstance(layer, nn.Linear)]
    by_shape = {layer.weight.shape: layer for layer in layers}
    with widened(causal_lm):
        return all(_is_invariant(layer) for layer in by_shape.values())


def _is_invariant(layer: nn.Linear) -> bool:
    generator = torch.Generator().manual_seed(0)
    input_MD = torch.randn(max(PROBED_ROWS), layer.in_features, generator=generator).to(layer.weight)
    expected = layer(input_MD[:FEWEST_ROWS])
    fitting = [rows for rows in PROBED_ROWS if rows * layer.weight.numel() <= PROBED_PRODUCTS]
    return all(torch.equal(layer(input_MD[:rows])[:FEWEST_ROWS], expected) for rows in fitting)


def _wide_forward(layer: nn.Linear, width: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(input_MD: torch.Tensor) -> torch.Tensor:
        weight_ND = layer.weight.new_zeros(width, layer.in_features)
        weight_ND[: layer.out_features] = layer.weight
        output_MN = nn.functional.linear(input_MD, weight_ND)[..., : layer.out_features]
        return output_MN if layer.bias is None else output_MN + layer.bias

    return forward
