from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import bpe_tokenizer
from sampling_case import SIZES, answer, build, ids_of, llama, some_prompts
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    JambaConfig,
    JambaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from py_worker.errors import WorkerError
from py_worker.generate import generate
from py_worker.generate_probe import probe_strict
from py_worker.mkl import choose_branch
from py_worker.model import Model
from py_worker.request import LENGTH, STOP_ID, STOP_TEXT, Request, ended_by
from py_worker.sampling import LIKELIEST, Sampling, _beyond_likeliest, _beyond_sorted, draw, uniforms
from py_worker.stop_texts import stop_texts

ROOT = Path(__file__).parents[2]
JAMBA = {"use_mamba_kernels": False, "num_experts": 1, "num_experts_per_tok": 1, "attn_layer_offset": 1}
KINDS: dict[str, Any] = {
    "gemma2": (Gemma2ForCausalLM, Gemma2Config(**SIZES, head_dim=8, sliding_window=6)),
    "mistral": (MistralForCausalLM, MistralConfig(**SIZES, sliding_window=6)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES)),
    "gpt2": (GPT2LMHeadModel, GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=23, n_positions=64)),
    "mamba": (
        MambaForCausalLM,
        MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=23, state_size=4),
    ),
    "jamba": (JambaForCausalLM, JambaConfig(**SIZES, **JAMBA, attn_layer_period=2)),
}


@torch.inference_mode()
def plain_logits(model: Model, ids: list[int]) -> torch.Tensor:
    return model.causal_lm(torch.tensor([ids]), use_cache=False).logits[0].float()


def greedy_reference(model: Model, prompt: np.ndarray, tokens: int) -> list[int]:
    ids = prompt.tolist()
    for _ in range(tokens):
        ids.append(int(plain_logits(model, ids)[-1].argmax()))
    return ids[len(prompt) :]


def assert_greedy_and_scored(model: Model) -> None:
    prompts = some_prompts(7, 20)
    found = answer(model, prompts, max_new_tokens=10, temperature=0, max_rows=3)
    assert ids_of(found) == [greedy_reference(model, prompt, 10) for prompt in prompts]
    for row, prompt in enumerate(prompts):
        ids = prompt.tolist() + ids_of(found)[row]
        rest = plain_logits(model, ids).log_softmax(-1)[len(prompt) - 1 : -1]
        expected = rest.gather(1, torch.tensor(ids[len(prompt) :])[:, None])[:, 0]
        np.testing.assert_allclose(found.logprobs[row * 10 : row * 10 + 10], expected, atol=1e-4)


@pytest.mark.parametrize("strict", [False, True])
def test_greedy_answers_equal_a_loop_without_a_cache(strict: bool) -> None:
    model = llama(strict=strict)
    assert model.row_cache
    assert_greedy_and_scored(model)


@pytest.mark.parametrize(
    ("kind", "row_cache"),
    [
        ("gemma2", True),
        ("mistral", True),
        ("qwen2", True),
        ("gpt2", True),
        ("mamba", False),
        ("jamba", False),
    ],
)
def test_other_architectures_give_the_answers_of_their_plain_forward(kind: str, row_cache: bool) -> None:
    model = build(*KINDS[kind])
    assert model.row_cache == row_cache
    assert_greedy_and_scored(model)


def test_the_fallback_stops_each_row_at_its_own_stop_token() -> None:
    model = llama()
    settings: dict[str, Any] = {"max_new_tokens": 12, "stop_ids": [4, 9]}
    expected = answer(model, some_prompts(9, 3), **settings)
    model.row_cache = False
    found = answer(model, some_prompts(9, 3), max_rows=2, **settings)
    assert ids_of(found) == ids_of(expected)
    assert found.finished.tolist() == expected.finished.tolist()
    assert 0 < expected.finished.sum() < 9


def tokenizer_of(texts: list[str], specials: int = 2, metaspace: bool = False) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose token i has the text ``texts[i]``; the first ones are special."""
    scores = [(text, -float(len(text) == 1)) for text in texts]
    backend = Tokenizer(models.Unigram(scores, unk_id=0))
    backend.decoder = decoders.Metaspace() if metaspace else decoders.Fuse()
    if metaspace:
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token=texts[0], additional_special_tokens=texts[:specials]
    )


TEXTS = [
    "<unk>",
    "<end>",
    *"abcde.\n",
    "\nq",
    "q",
    "ab",
    ".\n",
    "\n\n",
    "c\n",
    " ",
    "d e",
    "Q:",
    "Q",
    ":",
    "\nQ",
    "aa",
    "é",
]


def stopped_by_hand(tokenizer: Any, ids: list[int], stops: list[str]) -> tuple[int, str | None]:
    """Return the number of ids up to the first stop text, and the text before it; None where there is none."""
    for count in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:count], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for end in range(1, len(text) + 1):
            found = [stop for stop in stops if text[:end].endswith(stop)]
            if found:
                return count, text[: end - max(map(len, found))]
    return len(ids), None


@pytest.mark.parametrize(("row_cache", "strict"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("stops", [["\n"], ["\nQ:"], ["\n\n", "Q:", "bc"], ["é", "a"], ["never"]])
def test_a_stop_text_ends_the_answer_wherever_its_tokens_begin(
    row_cache: bool, strict: bool, stops: list[str]
) -> None:
    model = llama(strict=strict)
    model.row_cache = row_cache
    tokenizer = tokenizer_of(TEXTS)
    assert len(TEXTS) == model.vocab_size
    prompts = some_prompts(24, 9)
    settings: dict[str, Any] = {"max_new_tokens": 14, "stop_ids": [1], "temperature": 1.5}
    whole = answer(model, prompts, **settings)
    found = answer(model, prompts, max_rows=5, stop_texts=stop_texts(tokenizer, stops), **settings)
    assert found.text_ids is not None
    assert found.text_offsets is not None
    texts = np.split(found.text_ids, found.text_offsets[1:-1])
    for row, ids in enumerate(ids_of(whole)):
        count, before = stopped_by_hand(tokenizer, ids, stops)
        assert ids_of(found)[row] == ids[:count]
        assert found.finished[row] == (whole.finished[row] if before is None else 2)
        said = tokenizer.decode(texts[row], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert said == (tokenizer.decode(ids, skip_special_tokens=True) if before is None else before)
    assert (stops == ["never"]) != bool((found.finished == 2).any())


def test_what_stands_before_a_stop_text_are_the_ids_that_were_sampled_as_far_as_their_text_ends_there() -> (
    None
):
    tokenizer = tokenizer_of(TEXTS)
    ids_by_text = {text: index for index, text in enumerate(TEXTS)}
    cases = {
        ("a", "b", "\n"): ["a", "b"],  # not ["ab"]: nothing is written anew that need not be
        ("ab", ".\n"): ["ab", "."],
        ("ab", "\nq"): ["ab"],
        ("c\n",): ["c"],
        ("\n",): [],
        ("a", "<end>", "\n"): ["a", "<end>"],
        ("b", "c\n"): ["b", "c"],
    }
    stops = stop_texts(tokenizer, ["\n"])
    assert stops is not None
    for said, expected in cases.items():
        found = stops.before(np.array([ids_by_text[text] for text in said], np.int32))
        assert [TEXTS[token] for token in found] == expected


def test_a_tokenizer_that_puts_a_space_before_a_text_writes_none_into_an_answer() -> None:
    texts = ["<unk>", "<end>", "\u2581the", "\n", "\u2581end", "end", "s.Q:", "s", ".", "Q:", "\u2581"]
    tokenizer = tokenizer_of(texts, metaspace=True)
    stops = stop_texts(tokenizer, ["Q:"])
    assert stops is not None
    ids = np.array([2, 4, 6], np.int32)
    assert stops.ended([ids]).all()
    assert [texts[token] for token in stops.before(ids)] == ["\u2581the", "\u2581end", "s", "."]


def test_a_stop_text_of_characters_of_several_bytes_is_found_when_its_last_byte_is_there() -> None:
    tokenizer = bpe_tokenizer(["plain words"])
    ids = np.array(tokenizer("no。yes", add_special_tokens=False)["input_ids"], np.int32)
    stops = stop_texts(tokenizer, ["。"])
    assert stops is not None
    first = [bool(stops.ended([ids[:count]])[0]) for count in range(1, len(ids) + 1)]
    assert first.index(True) == 4  # n, o and three bytes
    assert tokenizer.decode(stops.before(ids[:5])) == "no"


def test_a_stop_text_is_found_however_many_tokens_it_has_and_whatever_special_ones_stand_within() -> None:
    bpe = bpe_tokenizer(["plain words"])
    ids = np.array(bpe("no。。。。", add_special_tokens=False)["input_ids"], np.int32)
    assert len(ids) == 2 + 4 * 3
    stops = stop_texts(bpe, ["。。。。"])
    assert stops is not None
    assert stops.ended([ids, ids[:-1]]).tolist() == [True, False]
    ids_by_text = {text: index for index, text in enumerate(TEXTS)}
    within = np.array([ids_by_text[text] for text in ["a", "Q", *["<end>"] * 9, ":"]], np.int32)
    stops = stop_texts(tokenizer_of(TEXTS), ["Q:"])
    assert stops is not None
    assert stops.ended([within, within[:-1]]).tolist() == [True, False]
    assert [TEXTS[token] for token in stops.before(within)] == ["a"]


def test_answers_that_end_at_one_step_end_each_by_what_it_has() -> None:
    ids_by_text = {text: index for index, text in enumerate(TEXTS)}
    rows = [
        [ids_by_text[text] for text in row] for row in (["a", "<end>"], ["a", "b"], ["a", "\n"], ["b", "."])
    ]
    is_stop = np.arange(len(TEXTS)) == 1
    stops = stop_texts(tokenizer_of(TEXTS), ["\n"])
    request = Request([], np.zeros(0), 9, Sampling(), is_stop, stops, 4, print, print)
    found = ended_by(request, np.array([row[-1] for row in rows]), lambda row: np.array(rows[row]))
    assert found.tolist() == [STOP_ID, LENGTH, STOP_TEXT, LENGTH]


def test_of_two_stop_texts_in_one_token_the_one_that_is_complete_first_counts() -> None:
    ids_by_text = {text: index for index, text in enumerate(TEXTS)}
    ids = np.array([ids_by_text["a"], ids_by_text["d e"]], np.int32)
    for texts, expected in {(" ", "d e"): ["a", "d"], ("d e",): ["a"], ("d ", " "): ["a"]}.items():
        stops = stop_texts(tokenizer_of(TEXTS), texts)
        assert stops is not None
        assert [TEXTS[token] for token in stops.before(ids)] == expected


def test_each_token_is_the_inverse_of_the_cumulative_distribution() -> None:
    model = llama()
    prompts = some_prompts(5, 9)
    found = ids_of(answer(model, prompts, seeds=[3, 4, 5, 6, 2**32 - 1], max_new_tokens=6))
    for prompt, seed, ids in zip(prompts, [3, 4, 5, 6, 2**32 - 1], found, strict=True):
        for step, token in enumerate(ids):
            logits = plain_logits(model, prompt.tolist() + ids[:step])[-1]
            reached = logits.double().softmax(-1).cumsum(-1).numpy()
            u = uniforms(np.array([seed], np.uint64), np.array([step], np.uint64))[0]
            assert token == int((reached > u).argmax())


def test_uniform_numbers_are_splitmix64() -> None:
    # Steele, Lea, Flood: the first output of the generator whose state is 0 is 0xE220A8397B1DCDAF.
    start = 0xE220A8397B1DCDAF
    mask = 2**64 - 1
    z = (start + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    expected = ((z ^ (z >> 31)) >> 11) / 2**53
    assert uniforms(np.zeros(1, np.uint64), np.zeros(1, np.uint64))[0] == expected


@pytest.mark.parametrize("vocabulary", [7, 3000])
def test_frequencies_match_probabilities(vocabulary: int) -> None:
    count = 40_000
    logits = torch.randn(1, vocabulary, generator=torch.Generator().manual_seed(0)) * 2
    seeds = np.arange(count, dtype=np.uint64)
    ids, _ = draw(logits.expand(count, -1), torch.from_numpy(uniforms(seeds, seeds % 3)), Sampling())
    expected = logits[0].double().softmax(-1).numpy() * count
    seen = np.bincount(ids.numpy(), minlength=vocabulary)
    common = expected >= 5
    chi_square = ((seen - expected)[common] ** 2 / expected[common]).sum()
    degrees = common.sum() - (1 if common.all() else 0)
    assert abs(chi_square - degrees) < 4 * np.sqrt(2 * degrees)


def possible(logits: list[float], sampling: Sampling) -> set[int]:
    count = 2000
    ids, _ = draw(torch.tensor([logits]).expand(count, -1), (torch.arange(count) / count).double(), sampling)
    return set(ids.tolist())


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(top_k=2), {1, 3}),
        (Sampling(top_k=1), {3}),
        (Sampling(top_k=99), {0, 1, 2, 3}),
        (Sampling(top_p=0.4), {3}),
        (Sampling(top_p=0.6), {1, 3}),
        (Sampling(top_p=0.96), {0, 1, 2, 3}),
        (Sampling(top_p=1e-9), {3}),
        # among the two most likely 0.5 and 0.3 become 0.625 and 0.375
        (Sampling(top_k=2, top_p=0.6), {3}),
        # squared and renormalised: 0.25, 0.09, 0.0225, 0.0025 of 0.365: the first is 0.685
        (Sampling(temperature=0.5, top_p=0.6), {3}),
        (Sampling(temperature=1e-9), {3}),
    ],
)
def test_filters_keep_the_right_tokens(sampling: Sampling, kept: set[int]) -> None:
    assert possible(np.log([0.05, 0.3, 0.15, 0.5]).tolist(), sampling) == kept


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("spread", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("levels", [None, 8])
def test_the_nucleus_is_found_among_the_likeliest_as_by_sorting_everything(
    top_p: float, spread: float, levels: int | None
) -> None:
    logits = torch.randn(40, 3001, generator=torch.Generator().manual_seed(1)) * spread
    if levels is not None:  # many equals, as in half precision
        logits = (logits * levels).round() / levels
    expected = _beyond_sorted(logits, top_p)
    found = _beyond_likeliest(logits, top_p)
    is_small = int((~expected).sum(-1).max()) < LIKELIEST
    assert (found is not None) == is_small
    assert found is None or torch.equal(found, expected)
    ids, _ = draw(logits, torch.full((40,), 0.7).double(), Sampling(top_p=top_p))
    assert not expected[torch.arange(40), ids].any()


def test_greedy_takes_the_lowest_id_among_equals() -> None:
    assert possible([0.0, 2.0, 2.0, 1.0], Sampling(temperature=0)) == {1}


def test_logprobs_ignore_temperature_and_filters() -> None:
    probabilities = [0.05, 0.3, 0.15, 0.5]
    ids, logprobs = draw(
        torch.tensor([probabilities]).log(), torch.zeros(1).double(), Sampling(temperature=0.3, top_k=1)
    )
    assert ids.item() == 3
    assert logprobs.item() == pytest.approx(np.log(0.5), abs=1e-6)


def test_the_stop_token_is_kept_and_ends_its_row() -> None:
    model = llama()
    prompts = some_prompts(20, 9)
    free = ids_of(answer(model, prompts, max_new_tokens=10))
    found = answer(model, prompts, max_new_tokens=10, stop_ids=[4, 9], max_rows=6)
    for ids, all_ids, is_stopped in zip(ids_of(found), free, found.finished, strict=True):
        stops = [step for step, token in enumerate(all_ids) if token in (4, 9)]
        assert ids == (all_ids[: stops[0] + 1] if stops else all_ids)
        assert is_stopped == bool(stops)
    assert 0 < found.finished.sum() < 20


def test_waiting_prompts_are_admitted_while_others_go_on() -> None:
    model = llama()
    progress: list[tuple[int, int, int]] = []
    prompts = some_prompts(20, 9)
    found = answer(
        model,
        prompts,
        max_new_tokens=10,
        stop_ids=[4, 9],
        max_rows=4,
        on_progress=lambda *now: progress.append(now),
    )
    assert progress[-1] == (20, 20, len(found.ids))
    assert progress == sorted(progress)
    # Batches of four one after the other would need ten passes each.
    assert len(progress) < 50


def test_check_runs_at_every_step_and_its_error_passes() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 4:
            raise WorkerError("CANCELLED", "enough")

    with pytest.raises(WorkerError, match="enough"):
        answer(llama(), some_prompts(2, 4), max_new_tokens=9, check=check)


def test_generation_config_and_dropout_change_nothing() -> None:
    model = llama(attention_dropout=0.5)
    expected = answer(model, some_prompts(4, 9), max_new_tokens=8)
    config: Any = model.causal_lm.generation_config
    config.temperature, config.top_k, config.eos_token_id, config.repetition_penalty = (
        0.1,
        1,
        list(range(23)),
        5.0,
    )
    model.network.train()
    found = answer(model, some_prompts(4, 9), max_new_tokens=8)
    assert ids_of(found) == ids_of(expected)
    assert model.network.training


def test_no_prompts_give_no_answers() -> None:
    nothing = np.zeros(0, np.int32)
    found = generate(llama(), nothing, np.zeros(1, np.int64), np.zeros(0, np.uint32), max_new_tokens=3)
    assert found.offsets.tolist() == [0]
    assert len(found.ids) == len(found.logprobs) == len(found.finished) == 0


def test_an_answer_may_fill_the_last_position() -> None:
    found = answer(llama(), [np.ones(50, np.int32)], max_new_tokens=14)
    assert len(found.ids) == 14


@pytest.mark.parametrize("threads", [1, 2])
def test_strict_answers_are_bit_equal_in_any_batch(threads: int) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, str(Path(__file__).with_name("sampling_case.py")), str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]"


@pytest.mark.parametrize(
    ("cpu_info", "branch"),
    [
        ("vendor_id : GenuineIntel\nflags : fpu avx avx2 avx512f avx512bw", "AVX512,STRICT"),
        ("vendor_id : GenuineIntel\nflags : fpu avx avx2", "AVX2,STRICT"),
        ("vendor_id : AuthenticAMD\nflags : fpu avx avx2 avx512f", "AUTO"),
        ("", "AUTO"),
    ],
)
def test_the_branch_of_mkl_is_one_that_holds_on_the_processor(cpu_info: str, branch: str) -> None:
    assert choose_branch(cpu_info) == branch


def test_strict_is_refused_without_a_row_cache() -> None:
    model = build(*KINDS["mamba"])
    assert not probe_strict(model)


@pytest.mark.parametrize("is_infinite", [False, True])
@pytest.mark.parametrize("temperature", [0, 1])
def test_weights_that_are_not_finite_are_refused(temperature: float, is_infinite: bool) -> None:
    model = llama()
    head: Any = model.causal_lm.get_output_embeddings()
    with torch.no_grad():
        head.weight[3] = torch.inf if is_infinite else torch.nan
    with pytest.raises(WorkerError, match="prompt 0 are not finite at new token 0") as caught:
        answer(model, [np.array([1, 2], np.int32)], max_new_tokens=2, temperature=temperature)
    assert caught.value.code == "NON_FINITE"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be ≥ 1, found 0"),
        ({"max_new_tokens": 62}, "prompt 1 has 3 ids and max_new_tokens is 62.*at most 61"),
        ({"temperature": -1}, "temperature .* found -1"),
        ({"temperature": float("nan")}, "temperature .* found nan"),
        ({"top_p": 0}, "top_p .* found 0"),
        ({"top_p": 1.5}, "top_p .* found 1.5"),
        ({"top_k": -2}, "top_k .* found -2"),
        ({"max_rows": 0}, "max_rows .* found 0"),
        ({"stop_ids": [3, 23]}, r"stop_ids\[1\] is 23"),
        ({"seeds": [1]}, "1 seeds for 2 prompts"),
        ({"prompts": [[1, 2], []]}, "prompt 1 is empty"),
        ({"prompts": [[1, 2], [3, 23]]}, "prompt 1 has id 23 at 1, outside the vocabulary of 23"),
        ({"prompts": [[-1], [3]]}, "prompt 0 has id -1 at 0"),
    ],
)
def test_bad_input_is_refused_with_its_place_and_value(changes: dict[str, Any], message: str) -> None:
    settings = {"max_new_tokens": 4, "prompts": [[1, 2], [3, 4, 5]]} | changes
    settings["prompts"] = [np.array(ids, np.int32) for ids in settings["prompts"]]
    with pytest.raises(WorkerError, match=message) as caught:
        answer(llama(), **settings)
    assert caught.value.code == "BAD_PARAMS"


def test_offsets_that_do_not_fit_the_ids_are_refused() -> None:
    with pytest.raises(WorkerError, match="offsets must rise from 0"):
        generate(llama(), np.ones(3, np.int32), np.array([0, 2]), np.zeros(1, np.uint32), max_new_tokens=1)
