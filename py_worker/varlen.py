"""Packed rows through the variable-length attention of torch, whose work is linear in the row and which needs no mask.

A pass that names its sequences (``Spans``) attends with it; every other pass of the model attends as sdpa does.
Shapes: H heads, T tokens, D features of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from py_worker.grouped_heads import attend

NAME = "tms_varlen"
Kernel = Callable[..., Any]


@dataclass(frozen=True)
class Spans:
    """The sequences of one packed row."""

    bounds: torch.Tensor
    """int32: where each begins, and the end; what is behind the end repeats it, so that all rows have as many."""
    longest: int

    def inputs(self) -> dict[str, Any]:
        """Return what the model hands on to attention; the mask is never looked at, and keeps transformers from making one."""
        no_mask = torch.zeros((1, 1, 1, 1), dtype=torch.bool, device=self.bounds.device)
        return {"attention_mask": no_mask, "cu_seq_lens_q": self.bounds, "max_length_q": self.longest}


def find_kernel() -> Kernel | None:
    """Return torch's kernel where this torch has it."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def install(config: Any, kernel: Kernel) -> None:
    """Let the model of ``config`` attend with ``kernel`` where a pass names its sequences."""
    AttentionInterface.register(NAME, _forward_with(kernel))
    AttentionMaskInterface.register(NAME, sdpa_mask)
    config._attn_implementation = NAME  # as transformers itself sets it


def _forward_with(kernel: Kernel) -> Callable[..., tuple[torch.Tensor, None]]:
    def forward(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        sliding_window: int | None = None,
        cu_seq_lens_q: torch.Tensor | None = None,
        max_length_q: int = 0,
        **rest: Any,
    ) -> tuple[torch.Tensor, None]:
        if cu_seq_lens_q is None:
            return attend(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest)
        unknown = [name for name in ("softcap", "s_aux", "position_bias") if rest.get(name) is not None]
        if unknown or dropout:
            raise NotImplementedError(f"variable-length attention has no {unknown or 'dropout'}")
        query_THD, key_THD, value_THD = (states[0].transpose(0, 1) for states in (query, key, value))
        groups = query_THD.shape[1] // key_THD.shape[1]
        if groups > 1:  # torch 2.11 has no grouped heads
            key_THD, value_THD = (states.repeat_interleave(groups, 1) for states in (key_THD, value_THD))
        seen = -1 if sliding_window is None else sliding_window - 1
        output_THD = kernel(
            query_THD,
            key_THD,
            value_THD,
            cu_seq_lens_q,
            cu_seq_lens_q,
            max_length_q,
            max_length_q,
            scale=scaling,
            window_size=(seen, 0),
        )
        return output_THD[None], None

    return forward
