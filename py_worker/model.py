"""A causal language model ready for work, with what the verbs must know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from py_worker.network import Network

if TYPE_CHECKING:
    from peft import PeftModel  # importing it takes seconds, which a run without an adapter has no use for

Check = Callable[[], None]
"""Raises WorkerError CANCELLED when the client has cancelled the running request; called once per micro-batch or token."""


class Known(Protocol):
    """What requests are checked against and texts are read with, whichever engine holds the weights."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """None: the model has none."""
        ...

    @property
    def vocab_size(self) -> int:
        """Ids are below this."""
        ...

    @property
    def max_positions(self) -> int | None:
        """None: as many as there is memory for."""
        ...


@dataclass
class Model:
    """A loaded model with what the verbs must know of it."""

    network: Network
    """All that computes with the weights."""
    tokenizer: PreTrainedTokenizerBase | None
    device: torch.device
    vocab_size: int
    max_positions: int | None
    token_budget: int
    """Most padded tokens in one micro-batch."""
    may_halve_budget: bool = False
    """When memory runs out, for good: the budget was our own choice, and the bits of a gradient may depend on it."""
    layout: str = "bucket"
    """``bucket``: right-padded rows of like length; ``pack``: one row, positions restart, attention is block-diagonal."""
    row_cache: bool = True
    """False where the model keeps more than keys and values: sampling then groups prompts by length and uses its own cache."""
    slot_bytes: int = 0
    """Bytes of the keys and values of one token in the row cache, all layers together; 0 where there is none."""
    varlen: bool = False
    """Packed rows attend through variable-length attention, padded to few widths."""
    has_trees: bool | None = None
    """Continuations of one context can be scored side by side; None: not tried yet."""
    rounding: str = "stochastic"
    """How updates are written into weights without float32 originals: so that their mean is right, or to the ``nearest``."""
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

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The model of transformers, with or without an adapter in it."""
        return self.network.causal_lm

    @property
    def trained(self) -> nn.Module:
        """What is trained and saved: ``causal_lm`` itself, or the PEFT model around it."""
        return self.network.trained

    @property
    def adapter(self) -> PeftModel | None:
        """The PEFT model around ``causal_lm``; None where there is none."""
        return None if self.trained is self.causal_lm else cast("PeftModel", self.trained)

    @property
    def compute_dtype(self) -> torch.dtype:
        """Of matrix products."""
        return self.network.compute_dtype


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
