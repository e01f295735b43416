"""Tiny random models and tokenizers, written as real Hugging Face directories.

    python test/py_worker/builders.py OUT_DIR [--chat] [--family llama|gemma2|qwen2|gpt2] [--seed N]

writes a model of hidden size 32 with 2 layers and 128 positions, and a tokenizer with one token per character.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

PAD, BOS, START, END = "<|pad|>", "<|bos|>", "<|im_start|>", "<|im_end|>"

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA2 = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]"
    "{% else %} {{ message.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
THINKING = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
"""Opens a thought for the model to go on with, and strips thoughts from every message."""
PLAIN = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
"""Ends no turn with a token of its own."""

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}


def char_tokenizer(
    *, chat_template: str | None = CHATML, eos: str | None = END, adds_bos: bool = False
) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per printable ASCII character; ids are 5 and up, specials 0 to 4."""
    tokens = ["<unk>", PAD, BOS, START, END, "\n", *map(chr, range(32, 127))]
    backend = Tokenizer(
        models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    return _wrap(backend, chat_template=chat_template, eos=eos, adds_bos=adds_bos)


def bpe_tokenizer(
    texts: Sequence[str], *, chat_template: str | None = CHATML, eos: str | None = END, adds_bos: bool = False
) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer trained on ``texts``, whose merges may cross the end of a prompt."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", PAD, BOS, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return _wrap(backend, chat_template=chat_template, eos=eos, adds_bos=adds_bos)


def tiny_network(
    family: str = "llama", *, vocab_size: int = 101, seed: int = 0, **overrides: Any
) -> PreTrainedModel:
    """Return a random model; ``overrides`` are fields of its config."""
    special = {"vocab_size": vocab_size, "bos_token_id": 2, "eos_token_id": 4, "pad_token_id": 1}
    if family == "gpt2":
        shape = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.2}
        config = GPT2Config(**shape, **special, **overrides)
    else:
        kinds = {"llama": LlamaConfig, "qwen2": Qwen2Config, "gemma2": Gemma2Config}
        head = {"head_dim": 8} if family == "gemma2" else {}
        config = kinds[family](**SHAPE | special | head | overrides)
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config).eval()


def write_model(
    directory: Path,
    *,
    family: str = "llama",
    tokenizer: PreTrainedTokenizerFast | None = None,
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """Write a random model with its tokenizer (by default a character one with ChatML) and return the directory."""
    tokenizer = tokenizer or char_tokenizer()
    network = tiny_network(family, vocab_size=len(tokenizer), seed=seed, **overrides)
    network.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def _wrap(
    backend: Tokenizer, *, chat_template: str | None, eos: str | None, adds_bos: bool
) -> PreTrainedTokenizerFast:
    if adds_bos:
        bos = (BOS, backend.token_to_id(BOS))
        backend.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[bos])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        pad_token=PAD,
        bos_token=BOS if adds_bos or (chat_template and "bos_token" in chat_template) else None,
        eos_token=eos,
        additional_special_tokens=[START, END],
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--chat", action="store_true", help="with a ChatML template")
    parser.add_argument("--family", default="llama", choices=["llama", "gemma2", "qwen2", "gpt2"])
    parser.add_argument("--hidden-size", type=int, help="of each token's features")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tokenizer = char_tokenizer(chat_template=CHATML if arguments.chat else None)
    overrides = {"hidden_size": arguments.hidden_size} if arguments.hidden_size else {}
    write_model(
        arguments.directory, family=arguments.family, tokenizer=tokenizer, seed=arguments.seed, **overrides
    )


if __name__ == "__main__":
    main()
