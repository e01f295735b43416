"""Write a Hugging Face directory with random weights, of a shape that benchmarks are run on.

    python bench/make_model.py --shape lab|qwen2.5-0.5b OUT_DIR

The tokenizer has one token per character: enough to encode any English text, and to load.
"""

from __future__ import annotations

import argparse
import string
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

SPECIAL_TOKENS = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
LAB: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
QWEN: dict[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
}
CONFIGS = {"lab": (LlamaConfig, LAB), "qwen2.5-0.5b": (Qwen2Config, QWEN)}


def main(shape: str, directory: str) -> None:
    config, fields = CONFIGS[shape]
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(
        config(tie_word_embeddings=True, dtype="float32", **ids, **fields)
    ).save_pretrained(directory)
    tokens = [*SPECIAL_TOKENS.values(), *string.printable][: fields["vocab_size"]]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS).save_pretrained(directory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=CONFIGS, required=True)
    parser.add_argument("directory")
    arguments = parser.parse_args()
    main(arguments.shape, arguments.directory)
