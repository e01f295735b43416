"""Refuse a model whose numbers are broken before anything is concluded from how it behaves, and ids that it cannot know."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from py_worker.describe import eos_of_files, is_token_id
from py_worker.errors import WorkerError, from_library, one_line
from py_worker.model import Known, Model

LEAST_KNOWN = 0.9
NAMED = 3
"""Tensors that a message names."""


@torch.inference_mode()
def require_sound(model: Model, where: str) -> None:
    """Raise BAD_MODEL where a weight is NaN or infinite, the network cannot run, or what it computes is NaN."""
    broken = [name for name, weight in model.trained.named_parameters() if not _is_finite(weight)]
    # An attention kernel may turn NaN of the rotary frequencies into zeros; infinite buffers may be masks.
    broken += [name for name, buffer in model.trained.named_buffers() if buffer.isnan().any()]
    if broken:
        names = ", ".join(broken[:NAMED]) + (", …" if len(broken) > NAMED else "")
        raise WorkerError(
            "BAD_MODEL",
            f"Weights of {where} hold NaN or infinite numbers in {len(broken)} tensors ({names}): its training diverged, "
            "its files are damaged or its config.json is. Use an earlier checkpoint, or copy the files again.",
            {"reason": "non_finite_weights", "tensors": broken[:20]},
        )

    def explain(error: BaseException) -> WorkerError:
        return WorkerError(
            "BAD_MODEL",
            f"Model {where} was loaded but cannot run: {one_line(error)}. Check its config.json against the "
            "model it was copied from.",
        )

    with from_library(explain):
        ids_BT = torch.arange(min(4, model.max_positions or 4), device=model.device)[None] % model.vocab_size
        computed = model.causal_lm(input_ids=ids_BT, use_cache=False).logits
    if computed.isnan().any():
        raise WorkerError(
            "BAD_MODEL",
            f"Model {where} computes NaN although every weight is finite: weights or scales of its config.json are far too "
            "large. Copy its files again.",
            {"reason": "non_finite_logits"},
        )


def unlike_vocabularies(model: Model, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return sentences where the tokenizer seems to be of another model. An embedding is padded by a few percent at most."""
    known = len(tokenizer)
    notes = []
    if known > model.vocab_size:
        notes.append(f"The tokenizer knows {known} tokens, the model only {model.vocab_size}.")
    elif known < LEAST_KNOWN * model.vocab_size:
        notes.append(
            f"The tokenizer knows {known} of the model's {model.vocab_size} tokens: is it that of another model?"
        )
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    for token in eos_of_files(None, model.causal_lm.config, None):
        if is_token_id(model, token) and token not in special:
            name = tokenizer.convert_ids_to_tokens(token)
            notes.append(
                f"config.json has eos_token_id {token}, which is {name!r} in the tokenizer: is it that of another model?"
            )
    return notes


def require_embedded(model: Known, ids: np.ndarray, offsets: np.ndarray) -> None:
    """Raise BAD_PARAMS where the tokenizer wrote an id that the model has no embedding of, naming the example and the token."""
    outside = np.flatnonzero(ids >= model.vocab_size)
    if not len(outside):
        return
    index = int(np.searchsorted(offsets, outside[0], side="right")) - 1
    token = int(ids[outside[0]])
    name = model.tokenizer.convert_ids_to_tokens(token) if model.tokenizer else None
    raise WorkerError(
        "BAD_PARAMS",
        f"examples[{index}]: the tokenizer wrote {name!r}, id {token}, but the model has embeddings for ids below "
        f"{model.vocab_size} only: a token was added without one, or the tokenizer is of another model. Use the tokenizer "
        "that the model was trained with.",
        {"index": index, "reason": "token_without_embedding"},
    )


def _is_finite(weight: torch.Tensor) -> bool:
    """Say whether all is finite, without a copy: NaN goes through both extremes."""
    if not weight.numel() or not weight.is_floating_point():
        return True
    return all(bool(extreme.isfinite()) for extreme in weight.aminmax())
