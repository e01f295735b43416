"""A causal language model ready for work, and the two halves of its forward pass.

The forward pass is split into features and head so that losses and samplers can ask for logits of few positions at a
time. Shape suffixes: B rows, T tokens, M selected tokens, D features, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

Check = Callable[[], None]
"""Raises WorkerError CANCELLED when the client has cancelled the running request; called once per micro-batch or token."""


@dataclass
class Model:
    """A loaded model with what the verbs must know of it."""

    network: nn.Module
    """What is trained and saved: ``causal_lm`` itself, or the PEFT model around it."""
    causal_lm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    device: torch.device
    compute_dtype: torch.dtype
    """bfloat16 with float32 parameters means autocast."""
    vocab_size: int
    max_positions: int | None
    token_budget: int
    """Most padded tokens in one micro-batch."""
    layout: str = "bucket"
    """``bucket``: right-padded rows of like length; ``pack``: one row, positions restart, attention is block-diagonal."""
    split_head: bool = True
    """False where the model does more than ``lm_head`` after its backbone (soft caps, scaling): features are then logits."""
    row_cache: bool = True
    """False where the model keeps more than keys and values: sampling then groups prompts by length and uses its own cache."""
    slot_bytes: int = 0
    """Bytes of the keys and values of one token in the row cache, all layers together; 0 where there is none."""
    strict: bool = False
    """Sampling is bit-equal whatever the neighbours of a row."""
    base_tensors: dict[str, torch.Tensor] | None = None
    """With an adapter: the frozen weights under it, by the names they have without it."""
    base_digest: str | None = None
    """Digest of ``base_tensors``, kept because hashing them costs a second per gigabyte."""
    files_digest: str = ""
    """Digest of the files that it was loaded from, weights aside: configuration, tokenizer, template, code."""
    notes: list[str] = field(default_factory=list)
    """A sentence for every fallback taken while loading."""


def features(
    model: Model,
    ids_BT: torch.Tensor,
    position_ids_BT: torch.Tensor | None = None,
    attention_mask: torch.Tensor | dict[str, torch.Tensor] | None = None,
    cache: Any = None,
) -> torch.Tensor:
    """Return features [B, T, D]: what ``logits`` turns into logits, position by position.

    Without a mask attention is causal, so right padding needs none.
    """
    inputs: dict[str, Any] = {
        "input_ids": ids_BT,
        "position_ids": position_ids_BT,
        "attention_mask": attention_mask,
    }
    inputs |= {"past_key_values": cache, "use_cache": cache is not None}
    with autocast(model):
        if model.split_head:
            return model.causal_lm.base_model(**inputs).last_hidden_state
        return model.causal_lm(**inputs).logits


def logits(model: Model, features_MD: torch.Tensor) -> torch.Tensor:
    """Return float32 logits [..., V] of features [..., D]."""
    if not model.split_head:
        return features_MD.float()
    head = cast(nn.Module, model.causal_lm.get_output_embeddings())  # there is one: see probe_split_head
    with autocast(model):
        return head(features_MD).float()


def autocast(model: Model) -> torch.autocast:
    """Return the context in which the model computes in its compute dtype; without effect where parameters have it."""
    differs = model.compute_dtype != next(model.causal_lm.parameters()).dtype
    return torch.autocast(model.device.type, dtype=model.compute_dtype, enabled=differs)


@contextmanager
def mode(model: Model, *, training: bool) -> Iterator[None]:
    """Switch dropout and gradient checkpointing on or off for a while; between requests a model is in evaluation mode.

    Every module is set: a new PEFT model says it is training while the layers inside it are not.
    """
    model.network.train(training)
    try:
        yield
    finally:
        if training:
            model.network.eval()


@torch.inference_mode()
def probe_split_head(model: Model) -> bool:
    """Say whether ``logits(features(x))`` with a split head gives the model's own logits (false for Gemma 2, Cohere, Granite).

    Both ways run the same operations on the same shapes. The tolerance is that tight because a soft cap hardly bends the
    small logits of an untrained model.
    """
    whole, split = replace(model, split_head=False), replace(model, split_head=True)
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(model.vocab_size, (1, min(8, model.max_positions or 8)), generator=generator).to(
        model.device
    )
    own = logits(whole, features(whole, ids_BT))
    try:
        ours = logits(split, features(split, ids_BT))
    except (AttributeError, TypeError, RuntimeError):  # no backbone or head to call alone
        return False
    return own.shape == ours.shape and float((own - ours).abs().max()) <= 1e-6 * float(own.abs().max())
