from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import write_model
from torch import nn
from transformers import AttentionInterface, AutoModelForCausalLM
from transformers.integrations import sdpa_attention

from bench.records import load_params
from py_worker import grouped_heads
from py_worker.generate import generate
from py_worker.load import load_model


def grouped_module(groups: int) -> nn.Module:
    module = nn.Module()
    module.num_key_value_groups = groups  # pyright: ignore[reportArgumentType]
    module.is_causal = True  # pyright: ignore[reportArgumentType]
    return module


def states(queries: int = 3, slots: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    query_BHTD, key_BGSD, value_BGSD = (
        torch.randn(2, heads, length, 8, generator=generator)
        for heads, length in ((6, queries), (2, slots), (2, slots))
    )
    hidden = torch.rand(2, 1, queries, slots, generator=generator) < 0.4
    hidden[..., 0] = False
    mask = torch.zeros(2, 1, queries, slots).masked_fill_(hidden, torch.finfo(torch.float32).min)
    return query_BHTD, key_BGSD, value_BGSD, mask


@torch.inference_mode()
def test_each_query_head_attends_with_the_keys_of_its_group():
    query_BHTD, key_BGSD, value_BGSD, mask = states()
    found_BTHD, _ = grouped_heads.attend(
        grouped_module(3), query_BHTD, key_BGSD, value_BGSD, mask, scaling=0.3
    )
    for b, h, t in np.ndindex(2, 6, 3):
        weights_S = (key_BGSD[b, h // 3] @ query_BHTD[b, h, t] * 0.3 + mask[b, 0, t]).softmax(-1)
        expected_D = weights_S @ value_BGSD[b, h // 3]
        torch.testing.assert_close(found_BTHD[b, t, h], expected_D, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 5), (1, 333), (1, 1600), (600, 700)])
@torch.inference_mode()
def test_the_bits_are_those_of_transformers(dtype: torch.dtype, shape: tuple[int, int]):
    query, key, value, mask = (tensor.to(dtype) for tensor in states(*shape))
    expected, _ = sdpa_attention.sdpa_attention_forward(grouped_module(3), query, key, value, mask)
    assert torch.equal(grouped_heads.attend(grouped_module(3), query, key, value, mask)[0], expected)


def test_gradients_are_those_of_transformers():
    def gradient(attend: Any) -> torch.Tensor:
        query, key, value, mask = states()
        query.requires_grad_()
        attend(grouped_module(3), query, key, value, mask)[0].square().sum().backward()
        assert query.grad is not None
        return query.grad

    assert torch.equal(gradient(grouped_heads.attend), gradient(sdpa_attention.sdpa_attention_forward))


def test_a_loaded_model_samples_without_copies_of_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_model(tmp_path)
    AttentionInterface.register("sdpa", sdpa_attention.sdpa_attention_forward)
    plain: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    model = load_model(load_params(str(tmp_path), device="cpu"))
    assert model.causal_lm.config.num_attention_heads > model.causal_lm.config.num_key_value_heads

    def refuse(*_: object) -> None:
        raise AssertionError("keys were copied")

    prompts = [[5, 9, 11, 6], [7, 8]]
    with torch.inference_mode():
        expected = [
            plain.generate(torch.tensor([ids]), max_new_tokens=6, do_sample=False, eos_token_id=None)[
                0, len(ids) :
            ].tolist()
            for ids in prompts
        ]
    monkeypatch.setattr(sdpa_attention, "repeat_kv", refuse)
    ids, offsets = np.array([*prompts[0], *prompts[1]], np.int32), np.array([0, 4, 6])
    answers = generate(model, ids, offsets, np.zeros(2, np.uint64), max_new_tokens=6, temperature=0.0)
    assert [row.tolist() for row in np.split(answers.ids, answers.offsets[1:-1])] == expected
