"""Write a Hugging Face directory with random weights and a character tokenizer: where pretraining starts.

    python lab/make_model.py DIRECTORY DESCRIPTION

DESCRIPTION is JSON with ``tokens`` (all tokens by id: ``<pad>``, ``<bos>``, ``<eos>``, then characters), ``shape`` (fields of a
LlamaConfig) and ``seed``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

SPECIAL_TOKENS = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}


def main(directory: str, description: dict[str, Any]) -> None:
    """Write model and tokenizer."""
    tokens, shape = description["tokens"], description["shape"]
    ids = {name.replace("_token", "_token_id"): tokens.index(token) for name, token in SPECIAL_TOKENS.items()}
    logging.disable_progress_bar()
    torch.manual_seed(description["seed"])
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokens), dtype="float32", **ids, **shape))
    model.save_pretrained(directory)
    make_tokenizer(tokens, shape["max_position_embeddings"]).save_pretrained(directory)


def make_tokenizer(tokens: list[str], max_length: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer that makes each character a token, puts BOS first and refuses characters that it does not know."""
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))  # without unk_token: an unknown character is an error
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    bos = SPECIAL_TOKENS["bos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, vocabulary[bos])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
        **SPECIAL_TOKENS,
    )


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
