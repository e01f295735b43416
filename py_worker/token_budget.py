"""How many tokens go through the model at a time while it learns: of the machine and the model, never of what memory held before."""

from __future__ import annotations

import gc

import torch

from py_worker.model import Model

CPU_TOKENS = 2048
"""More are no faster there: throughput is flat from 1,000 tokens on, at 0.9 M and 135 M parameters."""
MOST_TOKENS = 32_768
"""Matrix products of this height fill any card."""
LEAST_TOKENS = 512
ENOUGH_TOKENS = 8192
"""With so many a card is busy; computing activations again for more would cost a third of the time."""
FRACTION = 0.8
"""Of the card's memory beside weights, gradients and the optimiser's state: the rest is for the head's chunks and fragments."""


def set_checkpointing(model: Model, asked: bool | None) -> None:
    """Compute activations again in the backward pass, or keep them; None: keep them on a GPU where enough tokens fit."""
    if asked is None:
        asked = (
            model.device.type != "cuda"
            or tokens_on_card(token_bytes(model, checkpointed=False), _beside(model)) < ENOUGH_TOKENS
        )
    if not asked:
        return
    if model.causal_lm.supports_gradient_checkpointing:
        model.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        model.notes.append("The model cannot compute activations again: gradient checkpointing is off.")


def free_memory() -> None:
    """Give back what a failed request or a dropped model held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_checkpointed(model: Model) -> bool:
    """Say whether activations are computed again."""
    return model.causal_lm.is_gradient_checkpointing


def default_token_budget(model: Model) -> int:
    """Return how many padded tokens a micro-batch of this model may have on its device."""
    if model.device.type != "cuda":
        return CPU_TOKENS
    return tokens_on_card(token_bytes(model, checkpointed=is_checkpointed(model)), _beside(model))


def _beside(model: Model) -> int:
    """Return the bytes of the card that are for micro-batches."""
    _, total = torch.cuda.mem_get_info(model.device)
    return total - sum(parameter.nbytes for parameter in model.network.parameters()) - _learned_bytes(model)


def tokens_on_card(bytes_a_token: int, beside: int) -> int:
    """Return a power of two, so that cards of nearly the same size give the same bits."""
    tokens = MOST_TOKENS
    while tokens > LEAST_TOKENS and tokens * bytes_a_token > beside * FRACTION:
        tokens //= 2
    return tokens


def token_bytes(model: Model, *, checkpointed: bool) -> int:
    """Return what a token leaves for the backward pass: of every layer, or with checkpointing its input, and all of one layer.

    A layer keeps about 16 values a feature (norms, queries, keys, values, attention, residuals: Korthikanti 2205.05198, eq. 1)
    and 4 for each unit of its feed-forward part (gate, up, their product, its input's norm).
    """
    config = model.causal_lm.config.get_text_config()
    features, layers = config.hidden_size, config.num_hidden_layers
    units = getattr(config, "intermediate_size", None) or 4 * features
    whole = (16 * features + 4 * units) * model.compute_dtype.itemsize
    return features * model.compute_dtype.itemsize * layers + whole if checkpointed else layers * whole


def _learned_bytes(model: Model) -> int:
    """Return the bytes of float32 originals, gradients and AdamW's two moments, of what is trained."""
    own = {id(parameter) for parameter in model.network.parameters()}
    return sum(
        parameter.nbytes * (3 if id(parameter) in own else 4)
        for parameter in model.network.trainable().values()
    )
