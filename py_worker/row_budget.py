"""How many rows are sampled at a time: of the machine, the model and the request, never of what memory held before."""

from __future__ import annotations

import torch

from py_worker.model import Model

CPU_CACHE_BYTES = 2 << 30
CUDA_FRACTION = 0.5
"""Of the card's memory beside the weights: the rest is for an optimiser's state and for prompts on their way through."""
CUDA_RESERVE = 0.1
"""Of the memory that nothing holds: left free."""
MOST_ROWS = {"cpu": 256, "cuda": 1024}
"""More rows no longer make a step cheaper per row."""
LOGIT_BYTES = 16
"""Per row and vocabulary entry: logits, shifted logits and weights in float32, and one spare."""


def default_rows(model: Model, slots: int) -> int:
    """Return how many rows of ``slots`` slots fit the memory set aside for keys, values and logits."""
    row_bytes = slots * (model.slot_bytes or _slot_bytes(model)) + LOGIT_BYTES * model.vocab_size
    if model.device.type != "cuda":
        return max(1, min(CPU_CACHE_BYTES // row_bytes, MOST_ROWS["cpu"]))
    free, total = torch.cuda.mem_get_info(model.device)
    unused = torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    weights = sum(parameter.nbytes for parameter in model.network.parameters())
    rows = rows_on_card(row_bytes, total - weights, free + unused)
    if rows * row_bytes > free:
        torch.cuda.empty_cache()
    return rows


def rows_on_card(row_bytes: int, beside_weights: int, available: int) -> int:
    """Return a power of two: so many that a part of what the card has ``beside_weights`` holds them.

    Fewer only where others hold the memory: ``available`` counts what PyTorch keeps for itself as free, so that an earlier
    request changes nothing.
    """
    rows = MOST_ROWS["cuda"]
    most = min(beside_weights * CUDA_FRACTION, available * (1 - CUDA_RESERVE))
    while rows > 1 and rows * row_bytes > most:
        rows //= 2
    return rows


def _slot_bytes(model: Model) -> int:
    """Guess it from the configuration, for a model whose own cache is used."""
    config = model.causal_lm.config.get_text_config(decoder=True)
    heads = config.num_attention_heads if hasattr(config, "num_attention_heads") else 1
    kept_heads = config.num_key_value_heads if hasattr(config, "num_key_value_heads") else heads
    # Without grouped heads or a head_dim of its own this is 2 × layers × hidden size.
    width = config.head_dim if getattr(config, "head_dim", None) else config.hidden_size // heads
    return 2 * config.num_hidden_layers * (kept_heads or heads) * width * model.compute_dtype.itemsize
