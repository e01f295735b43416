"""The arithmetic that bench/gpu.sh reports speed by, against a run whose figures are known."""

from __future__ import annotations

import pytest

from bench.gpu.case import PEAK_FLOPS, SHAPES, gsm8k_like, step_flops


def test_model_flops_utilisation_is_what_was_measured_on_an_h100():
    """Qwen2.5-0.5B's shape, 128 rows of 28,783 tokens, 17,219 of them weighted: 5.8 % at 21,500 tokens a second, 16.6 % at 61,600."""
    lengths = gsm8k_like(128, 151936).ids
    scale = 28_783 / sum(map(len, lengths))
    flops = step_flops(SHAPES["0.5b"], [scale * len(ids) for ids in lengths], 17_219)
    assert 100 * flops * 21_500 / 28_783 / PEAK_FLOPS == pytest.approx(5.8, abs=0.06)
    assert 100 * flops * 61_600 / 28_783 / PEAK_FLOPS == pytest.approx(16.6, abs=0.15)


def test_work_is_six_operations_a_parameter_and_token_and_a_third_less_where_weights_are_frozen():
    # One layer of 2 × 2: queries and outputs 4 each, keys and values 4 each, three of 6 in the MLP: 34; a head of 10.
    shape = {
        "vocab_size": 5,
        "hidden_size": 2,
        "intermediate_size": 3,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
    }
    # Attention of 4 tokens: 2 × 2 products of 4 × 4 × 2 / 2 = 64 forward, thrice that with backward.
    assert step_flops(shape, [4], 3) == 6 * (34 * 4 + 10 * 3) + 3 * 64
    assert step_flops(shape, [4], 3, trains_all=False) == 4 * (34 * 4 + 10 * 3) + 2 * 64
