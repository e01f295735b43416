"""Every architecture through the worker's verbs, against plain transformers: one sequence at a time, full logits, no cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import FAMILIES, VOCAB_SIZE, write_family
from peft import PeftModel
from transformers import AutoModelForCausalLM
from worker_verbs import gradients_of, greedy_answers, load, logprobs_of, save, take_step

from bench.records import adapter_params
from py_worker.errors import WorkerError
from py_worker.score import score

LENGTHS = (5, 12, 33, 1, 12, 20, 7)
PROMPT_LENGTHS = (3, 17, 1, 9, 20, 17)
NEW_TOKENS = 6
NORMALIZER = 30.0
ADAPTED = (
    "llama-llama3-rope",
    "qwen2-tied",
    "qwen3",
    "qwen3-moe",
    "qwen3-next",
    "mixtral",
    "gemma2",
    "gemma3",
    "mistral",
    "phi3",
    "gpt2",
    "opt",
    "falcon",
    "deepseek-v3",
    "lfm2",
)
"""Linear layers of every kind: apart, fused, transposed, and three-dimensional ones of experts."""


SCORED_APART = ("qwen3-next", "qwen3.5", "bloom", "lfm2", "minimax", "llama4", "mamba")
"""They keep more than keys and values, or make their own masks: options of a question cannot share it."""


@pytest.fixture(scope="module")
def rows() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return sequences and the loss weight of each of their tokens: two thirds have one, no two the same."""
    draw = np.random.default_rng(0)
    sequences = [draw.integers(5, VOCAB_SIZE, length).astype(np.int32) for length in LENGTHS]
    weights = [draw.uniform(0.1, 2.0, length) * (draw.random(length) < 0.67) for length in LENGTHS]
    for row in weights:
        row[0] = 0
    return sequences, [row.astype(np.float32) for row in weights]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_computes_what_plain_transformers_does(
    name: str, tmp_path: Path, rows: tuple[list[np.ndarray], list[np.ndarray]]
):
    family, directory = FAMILIES[name], write_family(name, tmp_path / "model")
    plain = plain_model(directory, family.attention)
    model = load(directory, attention=family.attention)
    expected_logprobs, expected_gradients = plain_losses(plain, *rows)

    layouts = ["bucket"]
    if family.packs:
        layouts.append("pack")
    else:
        with pytest.raises(WorkerError, match="see each other"):
            load(directory, attention=family.attention, layout="pack")
    for layout in layouts:
        model = model if layout == "bucket" else load(directory, attention=family.attention, layout=layout)
        assert_close(gradients_of(model, *rows, NORMALIZER), expected_gradients, layout)
        for found, expected in zip(logprobs_of(model, rows[0]), expected_logprobs, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=layout)

    prompts = some_prompts()
    assert greedy_answers(model, prompts, NEW_TOKENS) == [plain_greedy(plain, prompt) for prompt in prompts]

    save(model, tmp_path / "saved")
    assert_same_weights(plain_model(tmp_path / "saved", family.attention), plain)


@pytest.mark.parametrize("name", FAMILIES)
def test_continuations_of_a_context_score_as_each_does_alone(name: str, tmp_path: Path):
    family, directory = FAMILIES[name], write_family(name, tmp_path / "model")
    model, plain = load(directory, attention=family.attention), plain_model(directory, family.attention)
    sequences, starts = continuations()
    scores = [
        np.concatenate([np.zeros(start), plain_logprobs(plain, ids).detach().numpy()[start - 1 :]])
        for ids, start in zip(sequences, starts, strict=True)
    ]
    ids, offsets = np.concatenate(sequences), np.cumsum([0, *map(len, sequences)]).astype(np.int32)
    found, _ = score(model, ids, offsets, False, lambda: None, starts=starts)
    np.testing.assert_allclose(found, np.concatenate(scores), atol=1e-5)
    assert model.has_trees == (name not in SCORED_APART)


def continuations() -> tuple[list[np.ndarray], np.ndarray]:
    """Return sequences, neighbours of which have a context in common, and where their continuations start."""
    draw = np.random.default_rng(1)
    sequences, starts = [], []
    for context, lengths in ((9, (4, 1, 6, 0, 4)), (20, (3, 5)), (3, (2,)), (7, (1, 1, 1))):
        common = draw.integers(5, VOCAB_SIZE, context)
        for length in lengths:
            own = draw.integers(5, VOCAB_SIZE, length)
            sequences.append(np.concatenate([common, own]).astype(np.int32))
            starts.append(context)
    return sequences, np.array(starts, np.int32)


@pytest.mark.parametrize("name", ADAPTED)
def test_an_adapter_of_a_family_is_what_peft_loads(name: str, tmp_path: Path):
    base, sequences = write_family(name, tmp_path / "model"), some_prompts()
    model = load(base, adapter=adapter_params(r=4, alpha=8.0))
    before = logprobs_of(model, sequences)
    take_step(model, sequences, 1e-2)
    learned = logprobs_of(model, sequences)
    assert np.abs(np.concatenate(learned) - np.concatenate(before)).max() > 0.05

    save(model, tmp_path / "saved")
    peft = PeftModel.from_pretrained(plain_model(base), tmp_path / "saved").eval()
    for network, tolerance in ((peft, 1e-5), (peft.merge_and_unload(), 5e-5)):
        for ids, expected in zip(sequences, learned, strict=True):
            np.testing.assert_allclose(plain_logprobs(network, ids), expected[1:], atol=tolerance)
    again = logprobs_of(load(tmp_path / "saved"), sequences)
    assert [row.tobytes() for row in again] == [row.tobytes() for row in learned]


def plain_model(directory: Path, attention: str = "sdpa") -> Any:
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        directory, attn_implementation=attention, dtype=torch.float32
    )
    # As the documentation of Gemma 2 says: sdpa would leave its soft cap out.
    if getattr(loaded.config, "attn_logit_softcapping", None):
        loaded.set_attn_implementation("eager")
    return loaded.eval()


def plain_losses(
    plain: Any, sequences: list[np.ndarray], weights: list[np.ndarray]
) -> tuple[list[np.ndarray], dict[str, torch.Tensor]]:
    """Return the log-probability of each token (0 for the first) and the gradient of the weighted mean, by parameter."""
    logprobs, total = [], torch.zeros(())
    for ids, row in zip(sequences, weights, strict=True):
        logprobs_T = plain_logprobs(plain, ids)
        total = total - (logprobs_T * torch.from_numpy(row[1:])).sum() / NORMALIZER
        logprobs.append(np.concatenate([[0], logprobs_T.detach().numpy()]))
    total.backward()
    return logprobs, {name: p.grad for name, p in plain.named_parameters() if p.grad is not None}


def plain_logprobs(network: Any, ids: np.ndarray) -> torch.Tensor:
    """Return the log-probability of each token but the first, from full logits."""
    ids_1T = torch.from_numpy(ids).long()[None]
    log_softmax_TV = torch.log_softmax(network(input_ids=ids_1T, use_cache=False).logits[0, :-1], -1)
    return log_softmax_TV.gather(1, ids_1T[0, 1:, None])[:, 0]


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], layout: str) -> None:
    """Compare within float32 rounding of the largest entry of each parameter; what got no gradient must be zero.

    Some gradients are zero by the mathematics (a bias of keys, the gate of a single expert), hence the second tolerance.
    """
    assert found.keys() >= expected.keys()
    rounding = 1e-7 * max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in found.items():
        wanted = expected.get(name, torch.zeros_like(gradient))
        difference = float((gradient - wanted).abs().max())
        assert difference <= 1e-5 * float(wanted.abs().max()) + rounding, f"{layout}: {name}"


def some_prompts() -> list[np.ndarray]:
    draw = np.random.default_rng(1)
    return [draw.integers(5, VOCAB_SIZE, length).astype(np.int32) for length in PROMPT_LENGTHS]


@torch.no_grad()
def plain_greedy(plain: Any, prompt: np.ndarray) -> list[int]:
    ids = prompt.tolist()
    for _ in range(NEW_TOKENS):
        logits_TV = plain(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        ids.append(int(logits_TV[-1].argmax()))
    return ids[len(prompt) :]


def assert_same_weights(found: Any, expected: Any) -> None:
    kept = found.state_dict()
    assert kept.keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(kept[name], tensor), name
