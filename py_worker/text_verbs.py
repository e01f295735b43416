"""The verbs that need the tokenizer alone: the same in every worker."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from py_worker import protocol
from py_worker.encode import decode, encode
from py_worker.errors import WorkerError
from py_worker.job import Reply
from py_worker.model import Known
from py_worker.soundness import require_embedded
from py_worker.translate import encode_result, plain_example
from py_worker.wire import Tensors


def encode_examples(model: Known, eos_ids: Collection[int], params: protocol.EncodeParams) -> Reply:
    """Ids of text or messages."""
    encoded = encode(
        tokenizer_of(model),
        [plain_example(example) for example in params.examples],
        max_length=params.max_length,
        chat_template=params.chat_template,
        template_options=params.template_options,
        eos_ids=eos_ids,
        split_special_tokens=params.split_special_tokens,
        date=params.date,
    )
    require_embedded(model, encoded.ids, encoded.offsets)
    return encode_result(encoded)


def decode_ids(model: Known, params: protocol.DecodeParams, tensors: Tensors) -> Reply:
    """Text of ids."""
    tokenizer, ids = tokenizer_of(model), tensors["ids"]
    size = max(len(tokenizer), model.vocab_size)
    if len(ids) and not 0 <= ids.min() <= ids.max() < size:
        raise WorkerError("BAD_PARAMS", f"ids must be 0 to {size - 1}, found {ids.min()} to {ids.max()}")
    texts = decode(tokenizer, ids, tensors["offsets"], params.skip_special_tokens)
    return protocol.DecodeResult(texts=texts), {}


def tokenizer_of(model: Known) -> Any:
    """Return the tokenizer; raises NOT_FOUND where the model has none."""
    if model.tokenizer is None:
        raise WorkerError(
            "NOT_FOUND", "the loaded model has no tokenizer; put its files into the model's directory"
        )
    return model.tokenizer
