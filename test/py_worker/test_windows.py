"""Models whose layers see a window, or whose rotary angles are scaled: sampled in the row cache like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sampling_case import SIZES, answer, build, bytes_of, ids_of, some_prompts
from test_generate import assert_greedy_and_scored, greedy_reference
from transformers import (
    Cohere2Config,
    Cohere2ForCausalLM,
    Exaone4Config,
    Exaone4ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from py_worker import decode, decode_grouped, step
from py_worker.attention_kind import attention_kind, step_masks
from py_worker.generate_probe import probe_strict

KINDS = ["sliding_attention", "full_attention"]
LONG: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [8.0] * 4,
}
LONG |= {"original_max_position_embeddings": 16, "factor": 4.0}
WINDOWED: dict[str, Any] = {
    "gemma3": (
        Gemma3ForCausalLM,
        Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=6, layer_types=KINDS, query_pre_attn_scalar=8),
    ),
    "phi3": (Phi3ForCausalLM, Phi3Config(**SIZES, sliding_window=6)),
    "cohere2": (Cohere2ForCausalLM, Cohere2Config(**SIZES, sliding_window=6)),
    "exaone4": (Exaone4ForCausalLM, Exaone4Config(**SIZES, sliding_window=6, layer_types=KINDS)),
    "dynamic": (
        LlamaForCausalLM,
        LlamaConfig(**SIZES, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}),
    ),
}


@pytest.mark.parametrize("kind", WINDOWED)
def test_windows_and_scaled_angles_are_sampled_in_the_row_cache(kind: str) -> None:
    model = build(*WINDOWED[kind])
    assert model.row_cache
    assert_greedy_and_scored(model)


def test_the_mask_of_a_step_hides_what_lies_before_the_window() -> None:
    model = build(*WINDOWED["gemma3"])
    masks = step_masks(model, attention_kind(model), torch.tensor([2, 8]), 10)
    assert isinstance(masks, dict)
    seen = {
        kind: [torch.nonzero(row == 0)[:, 0].tolist() for row in mask[:, 0, 0]]
        for kind, mask in masks.items()
    }
    assert seen["full_attention"] == [[0, 1, 2], list(range(9))]
    assert seen["sliding_attention"] == [[0, 1, 2], [3, 4, 5, 6, 7, 8]]


def test_a_window_leaves_the_setting_of_the_model_as_it_was() -> None:
    assert build(*WINDOWED["phi3"]).causal_lm.config.sliding_window == 6


@pytest.mark.parametrize("kind", ["gemma3", "phi3"])
def test_windowed_answers_are_bit_equal_in_any_batch(kind: str) -> None:
    model = build(*WINDOWED[kind], strict=True)
    assert probe_strict(model)
    prompts = some_prompts(12, 40)
    together = bytes_of(answer(model, prompts, max_new_tokens=9))
    for index in (0, 7):
        assert bytes_of(answer(model, [prompts[index]], [index], max_new_tokens=9)) == [together[index]]
    assert bytes_of(answer(model, prompts, max_new_tokens=9, max_rows=5)) == together


def test_a_request_longer_than_the_unscaled_angles_groups_rows_of_one_length() -> None:
    config = Phi3Config(**SIZES, rope_parameters=LONG)
    model = build(Phi3ForCausalLM, config)
    assert model.row_cache
    assert not probe_strict(model)
    draw = np.random.default_rng(3)
    for lengths in (
        [4, 9],
        [4, 20],
    ):  # beside a row of 24 tokens a short one would get the angles of long ones
        prompts = [draw.integers(0, 23, length).astype(np.int32) for length in lengths]
        found = ids_of(answer(model, prompts, max_new_tokens=4, temperature=0))
        assert found == [greedy_reference(model, prompt, 4) for prompt in prompts]


def test_256_prompts_of_mixed_length_take_as_many_passes_with_windows_as_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = 0

    def counted(function: Any) -> Any:
        def wrapper(*arguments: Any) -> Any:
            nonlocal passes
            passes += 1
            return function(*arguments)

        return wrapper

    for module, name in ((decode, "prompt_logits"), (step, "step_logits"), (decode_grouped, "_forward")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    draw = np.random.default_rng(0)
    lengths = np.clip(draw.normal(110, 35, 256), 40, 220).astype(int)
    prompts = [draw.integers(0, 23, length).astype(np.int32) for length in lengths]
    sizes: dict[str, Any] = SIZES | {"max_position_embeddings": 512}
    gemma3 = Gemma3TextConfig(**sizes, head_dim=8, sliding_window=32, layer_types=KINDS)
    counts = []
    for kind, config in ((Qwen2ForCausalLM, Qwen2Config(**sizes)), (Gemma3ForCausalLM, gemma3)):
        model = build(kind, config)
        passes = 0
        answer(model, prompts, max_new_tokens=24)
        counts.append(passes)
    assert counts[1] <= 1.2 * counts[0]
