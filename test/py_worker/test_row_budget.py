"""The memory of the row cache: allocated as planned, and planned from the machine and the request alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from sampling_case import SIZES, answer, build, llama, some_prompts
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, Gemma2Config, Gemma2ForCausalLM

from py_worker import decode
from py_worker.decode import slots_of
from py_worker.kv_cache import RowCache
from py_worker.row_budget import CPU_CACHE_BYTES, LOGIT_BYTES, default_rows, rows_on_card

GIB = 1 << 30
LATENT: dict[str, Any] = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 6,
}


def cache_after(monkeypatch: pytest.MonkeyPatch, model: Any, longest: int, new: int) -> RowCache:
    made: list[RowCache] = []

    def noted(*arguments: Any) -> RowCache:
        made.append(RowCache(*arguments))
        return made[-1]

    monkeypatch.setattr(decode, "RowCache", noted)
    answer(model, some_prompts(9, longest), max_new_tokens=new, max_rows=4)
    (cache,) = made
    return cache


@pytest.mark.parametrize(
    ("kind", "token_bytes"),
    [
        ("llama", 2 * 2 * 2 * 8 * 4),  # layers, keys and values, heads, features, bytes
        ("gemma2", 2 * 2 * 2 * 8 * 4),
        ("latent", 2 * (16 + 4) * 4),  # one latent vector and one rotary key for all heads
    ],
)
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_as_many_bytes_are_allocated_as_were_planned(
    monkeypatch: pytest.MonkeyPatch, kind: str, token_bytes: int, compute: torch.dtype
) -> None:
    latent: dict[str, Any] = SIZES | LATENT | {"num_key_value_heads": 4}
    kinds: dict[str, Any] = {
        "gemma2": (Gemma2ForCausalLM, Gemma2Config(**SIZES, head_dim=8)),
        "latent": (DeepseekV3ForCausalLM, DeepseekV3Config(**latent)),
    }
    model = build(*kinds[kind], compute=compute) if kind in kinds else llama(compute=compute)
    token_bytes = token_bytes * compute.itemsize // 4
    assert model.slot_bytes == token_bytes
    cache = cache_after(monkeypatch, model, longest=30, new=11)
    longest = max(len(prompt) for prompt in some_prompts(9, 30))
    assert cache.slots == slots_of(longest + 11) < longest + 11 + 16
    assert sum(stored.nbytes for stored in (*cache.keys, *cache.values)) == 4 * cache.slots * token_bytes
    assert {stored.dtype for stored in (*cache.keys, *cache.values)} == {compute}


def test_rows_on_a_cpu_fit_the_memory_set_aside() -> None:
    model = replace(llama(), vocab_size=1000)
    row = 8_000_000 * 256 + LOGIT_BYTES * 1000
    assert default_rows(model, 8_000_000) == CPU_CACHE_BYTES // row == 1
    assert default_rows(model, 16) == 256


@pytest.mark.parametrize(
    ("row_bytes", "beside_weights", "available", "rows"),
    [
        (1 << 20, 78 * GIB, 77 * GIB, 1024),
        (GIB, 78 * GIB, 77 * GIB, 32),  # a half of 78 GiB holds 39
        (GIB, 78 * GIB, 70 * GIB, 32),  # whatever an earlier request left there
        (GIB, 78 * GIB, 20 * GIB, 16),  # somebody else holds most of it
        (200 * GIB, 78 * GIB, 77 * GIB, 1),
    ],
)
def test_rows_on_a_card_are_a_power_of_two_that_small_changes_of_memory_leave(
    row_bytes: int, beside_weights: int, available: int, rows: int
) -> None:
    assert rows_on_card(row_bytes, beside_weights, available) == rows
