"""Tiny models to sample from, and the strict check that runs in a process of its own."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PretrainedConfig, PreTrainedModel

from py_worker.generate import Answers, generate
from py_worker.generate_probe import probe_row_cache, probe_strict
from py_worker.model import Model
from py_worker.network import Network

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 23,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}


def wrap(causal_lm: PreTrainedModel, strict: bool = False, compute: torch.dtype = torch.float32) -> Model:
    causal_lm.eval()
    config: Any = causal_lm.config
    positions = getattr(config, "max_position_embeddings", None)
    network = Network(causal_lm, causal_lm, compute)
    network.find_head(config.vocab_size)
    model = Model(network, None, torch.device("cpu"), config.vocab_size, positions, token_budget=512)
    model.row_cache = probe_row_cache(model)
    model.strict = strict
    return model


def build(
    kind: type[PreTrainedModel],
    config: PretrainedConfig,
    strict: bool = False,
    compute: torch.dtype = torch.float32,
) -> Model:
    """Make a model with weights large enough that its distributions are far from flat."""
    torch.manual_seed(0)
    causal_lm = kind(config)
    with torch.no_grad():
        for weight in causal_lm.parameters():
            if weight.ndim == 2:
                weight.mul_(4)
    return wrap(causal_lm, strict, compute)


def llama(strict: bool = False, compute: torch.dtype = torch.float32, **changes: Any) -> Model:
    return build(LlamaForCausalLM, LlamaConfig(**(SIZES | changes)), strict, compute)


def some_prompts(count: int, longest: int, vocab_size: int = 23) -> list[np.ndarray]:
    draw = np.random.default_rng(1)
    lengths = draw.integers(1, longest + 1, count)
    return [draw.integers(0, vocab_size, length).astype(np.int32) for length in lengths]


def answer(model: Model, prompts: list[np.ndarray], seeds: Any = None, **settings: Any) -> Answers:
    offsets = np.concatenate([[0], np.cumsum([len(prompt) for prompt in prompts])])
    seeds = np.arange(len(prompts)) if seeds is None else seeds
    return generate(model, np.concatenate(prompts), offsets, np.asarray(seeds, np.uint32), **settings)


def ids_of(answers: Answers) -> list[list[int]]:
    return [part.tolist() for part in np.split(answers.ids, answers.offsets[1:-1])]


def bytes_of(answers: Answers) -> list[bytes]:
    ids, logprobs = (np.split(array, answers.offsets[1:-1]) for array in (answers.ids, answers.logprobs))
    return [a.tobytes() + b.tobytes() for a, b in zip(ids, logprobs, strict=True)]


def changed_rows() -> list[str]:
    """Return which ways of batching 24 prompts changed a bit of any answer; the lab shape and one with grouped heads."""
    found = []
    lab: dict[str, Any] = {
        "hidden_size": 128,
        "num_hidden_layers": 3,
        "num_key_value_heads": 4,
        "intermediate_size": 352,
    }
    shapes: dict[str, dict[str, Any]] = {
        "lab": lab | {"vocab_size": 61},
        "grouped": {"max_position_embeddings": 512},
    }
    for name, changes in shapes.items():
        model = llama(strict=True, **changes)
        if not probe_strict(model):
            found.append(f"{name}: probe")
        assert model.max_positions is not None
        prompts = some_prompts(24, min(model.max_positions - 8, 220))
        settings: dict[str, Any] = {
            "max_new_tokens": 8,
            "stop_ids": [5],
            "temperature": 0.9,
            "top_k": 17,
            "top_p": 0.95,
        }
        together = bytes_of(answer(model, prompts, **settings))
        shuffled = np.random.default_rng(2).permutation(24)
        ways = (
            (range(23, -1, -1), 24),
            (shuffled, 7),
            (range(12), 4),
            (range(24), 1),
            ([7], 1),
            ([3, 20], 2),
        )
        for order, rows in ways:
            got = bytes_of(answer(model, [prompts[i] for i in order], list(order), max_rows=rows, **settings))
            if got != [together[i] for i in order]:
                found.append(f"{name}: {list(order)} in batches of {rows}")
    return found


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    sys.stdout.write(str(changed_rows()))
