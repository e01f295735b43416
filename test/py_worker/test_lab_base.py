"""The shipped base of the lab, through transformers alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from py_worker.digest import tensors_digest

LAB = Path(__file__).parents[2] / "configs" / "lab"
BASE = LAB / "base"
SKILLS = ["copy", "reverse", "sort", "count", "sum-modulo-ten", "maximum", "next-letters", "subtract-digit"]
QUESTIONS = 10


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(BASE)


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(BASE)


@pytest.mark.parametrize("skill", SKILLS)
def test_greedy_answers_to_retention_prompts_are_right(
    skill: str, model: Any, tokenizer: PreTrainedTokenizerFast
) -> None:
    lines = (LAB / "data" / f"retention-{skill}.jsonl").read_text().splitlines()[:QUESTIONS]
    examples = [json.loads(line) for line in lines]
    wrong = [e for e in examples if answer(model, tokenizer, e["prompt"]) != f"{e['completion']}<eos>"]
    assert len(examples) == QUESTIONS
    assert len(wrong) <= 0.1 * QUESTIONS, wrong


def test_generation_settings_hold_no_surprises() -> None:
    settings = json.loads((BASE / "generation_config.json").read_text())
    known = {"_from_model_config", "bos_token_id", "eos_token_id", "pad_token_id", "transformers_version"}
    assert set(settings) <= known | {"use_cache", "output_attentions", "output_hidden_states"}
    assert (settings["pad_token_id"], settings["bos_token_id"], settings["eos_token_id"]) == (0, 1, 2)


def test_text_survives_the_tokenizer_character_by_character(tokenizer: PreTrainedTokenizerFast) -> None:
    everything = "".join(t for t in tokenizer.convert_ids_to_tokens(list(range(61))) if len(t) == 1)
    assert len(everything) == 58
    ids = tokenizer(everything)["input_ids"]
    assert ids == [1, *range(3, 61)]
    assert tokenizer.decode(ids) == f"<bos>{everything}"
    assert tokenizer.decode(ids, skip_special_tokens=True) == everything


def test_bos_is_added_and_eos_is_not(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer("M7+8=")["input_ids"] == [1, 55, 10, 39, 11, 41]
    assert tokenizer("M7+8=", add_special_tokens=False)["input_ids"] == [55, 10, 39, 11, 41]
    assert tokenizer("5<eos>", add_special_tokens=False)["input_ids"] == [8, 2]
    assert tokenizer.chat_template is None


def test_an_unknown_character_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(Exception, match="UNK"):
        tokenizer("M7 8=")


def test_weights_are_small_and_those_of_the_record() -> None:
    record = json.loads((BASE / "recipe.json").read_text())
    tensors = load_file(BASE / "model.safetensors")
    assert (BASE / "model.safetensors").stat().st_size <= 3_000_000
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert tensors_digest(tensors) == record["weightsDigest"]


def answer(model: Any, tokenizer: PreTrainedTokenizerFast, prompt: str) -> str:
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    found = model.generate(ids, max_new_tokens=12, do_sample=False)
    return str(tokenizer.decode(found[0, ids.shape[1] :]))
