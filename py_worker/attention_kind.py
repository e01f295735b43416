"""What a step's queries may see, by kind of layer, and up to which position a row's angles are its own.

Shape suffixes: A or B rows, T queries of a row, S slots.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from py_worker.model import Model

Masks = torch.Tensor | dict[str, torch.Tensor]
UNFIT = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""Of a model that does not take our cache or our masks."""
SLIDING = "sliding_attention"
"""How transformers names layers that see a window."""


class AttentionKind(NamedTuple):
    """What a step must know of the layers; made once for many steps."""

    window: int | None
    """Tokens that windowed layers see, the query's own included; None where all layers see everything."""
    layer_types: tuple[str, ...] | None
    """Kinds of layers, where the model takes a mask for each."""
    last_position: int
    """Of tokens that change no other row's angles, and that the model has."""


def attention_kind(model: Model) -> AttentionKind:
    """Read it from the configuration."""
    types = getattr(_config(model), "layer_types", None)
    limits = [limit for limit in (model.max_positions, independent_positions(model)) if limit is not None]
    return AttentionKind(
        window=_window_of(model),
        layer_types=None if types is None else tuple(sorted(set(types))),
        last_position=min(limits, default=sys.maxsize) - 1,
    )


def has_plain_layers(model: Model) -> bool:
    """Say whether every layer keeps nothing but keys and values, of all tokens or of a sliding window (Llama 4 has chunks)."""
    layers = DynamicCache(config=model.causal_lm.config).layers
    plain = [DynamicLayer] + (
        [DynamicSlidingWindowLayer] if hasattr(_config(model), "sliding_window") else []
    )
    return all(type(layer) in plain for layer in layers)


def step_masks(model: Model, kind: AttentionKind, positions_A: torch.Tensor, seen: int) -> Masks:
    """Return additive masks [A, 1, 1, S] that hide the slots after each row's position, and before its window.

    One for each kind of layer where the model tells kinds apart; else one for all layers.
    """
    slots_S, position_A11 = torch.arange(seen, device=model.device), positions_A[:, None, None]
    behind = None if kind.window is None else slots_S <= position_A11 - kind.window
    return masks_of(model, kind, slots_S > position_A11, behind)


def masks_of(
    model: Model, kind: AttentionKind, hidden_BTS: torch.Tensor, behind_BTS: torch.Tensor | None
) -> Masks:
    """Return additive masks [B, 1, T, S] of the slots that all layers hide, and windowed ones those ``behind`` the window too."""
    if behind_BTS is None:
        return _additive(model, hidden_BTS)
    windowed = _additive(model, hidden_BTS | behind_BTS)
    if kind.layer_types is None:
        return windowed
    whole = _additive(model, hidden_BTS)
    return {name: windowed if name == SLIDING else whole for name in kind.layer_types}


def independent_positions(model: Model) -> int | None:
    """Return how many positions rotary angles are the same for whatever else is in the batch; None for all.

    Scaled angles (`dynamic`, `longrope`) change for a whole batch as soon as one of its rows is longer.
    """
    config = _config(model)
    ropes = config.to_dict().get("rope_parameters") or {}
    nested = [ropes, *(value for value in ropes.values() if isinstance(value, dict))]
    kinds = {str(rope.get("rope_type")): rope for rope in nested}
    if "longrope" in kinds:
        return int(kinds["longrope"]["original_max_position_embeddings"])
    return config.max_position_embeddings if any("dynamic" in kind for kind in kinds) else None


@contextmanager
def narrowed(model: Model, window: int) -> Iterator[None]:
    """Let windowed layers see ``window`` tokens for a while, so that a probe of few tokens meets the end of a window."""
    config = _config(model)
    before = _window_of(model)
    if before is not None:
        config.sliding_window = min(window, before)
    try:
        yield
    finally:
        if before is not None:
            config.sliding_window = before


def _window_of(model: Model) -> int | None:
    layers = DynamicCache(config=model.causal_lm.config).layers
    is_windowed = any(type(layer) is DynamicSlidingWindowLayer for layer in layers)
    return _config(model).sliding_window if is_windowed else None


def _additive(model: Model, hidden_BTS: torch.Tensor) -> torch.Tensor:
    mask_BTS = torch.zeros(hidden_BTS.shape, dtype=model.compute_dtype, device=model.device)
    return mask_BTS.masked_fill_(hidden_BTS, torch.finfo(model.compute_dtype).min)[:, None]


def _config(model: Model) -> Any:
    return model.causal_lm.config.get_text_config(decoder=True)
