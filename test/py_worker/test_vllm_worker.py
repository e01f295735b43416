"""The vLLM worker's own logic on a stand-in for vLLM; test_vllm_engine.py asks a real one."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_vllm
import msgspec
import numpy as np
import pytest
import torch
from builders import write_model
from fake_vllm import FAULTS, LOG
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from vllm_client import Client
from worker_verbs import load as load_torch

from py_worker import protocol
from py_worker.digest import weights_digest
from py_worker.errors import EngineLostError, WorkerError
from py_worker.save import save_weights

if importlib.util.find_spec("vllm") is not None:
    pytest.skip("a real vLLM is here", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def stand_in() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, module in fake_vllm.modules().items():
            patch.setitem(sys.modules, name, module)
        yield
    for name in [name for name in sys.modules if name.startswith("py_worker.vllm.")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("ab"):
        write_model(root / name, seed=seed)
        save_weights(load_torch(root / name), root / f"saved-{name}")
    write_model(root / "wider", seed=3, intermediate_size=96)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture
def client() -> Client:
    from py_worker.vllm.verbs import Session

    LOG.clear()
    FAULTS.clear()
    return Client(Session())


def asked(*kinds: str) -> list[str]:
    return [kind for kind, _ in LOG if kind in kinds]


STEPS = ("start", "reload_weights", "refresh_heads", "reset_prefix_cache", "shutdown")


def test_an_engine_is_told_everything_that_it_would_guess(client: Client, models: dict[str, Path]) -> None:
    client.load(models["a"], seed=5)
    _, arguments = LOG[0]
    assert arguments["dtype"] == "float32"
    assert arguments["seed"] == 5
    assert arguments["max_model_len"] == 129  # a sequence of all 128 positions is scored too
    assert arguments["skip_tokenizer_init"] is True
    assert arguments["logprobs_mode"] == "raw_logprobs"
    assert arguments["enable_chunked_prefill"] is False
    assert arguments["max_num_batched_tokens"] >= 129


def test_on_a_gpu_an_engine_takes_the_part_of_its_memory_that_it_is_told(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from py_worker.vllm import engine

    monkeypatch.setattr(engine, "is_cpu", lambda: False)
    options = engine.EngineOptions("float32", 129, False, 0)
    assert "gpu_memory_utilization" not in engine.engine_arguments(models["a"], options)
    monkeypatch.setenv("TMS_VLLM_GPU_MEMORY", "0.4")
    assert engine.engine_arguments(models["a"], options)["gpu_memory_utilization"] == 0.4


def test_every_answer_has_its_seed_and_only_our_stops(client: Client, models: dict[str, Path]) -> None:
    client.load(models["a"])
    LOG.clear()
    settings: dict[str, Any] = {"temperature": 0.5, "topP": 0.9, "topK": 7, "stopIds": [4]}
    client.generate([[7], [8, 9]], [11, 2**32 - 1], maxNewTokens=3, **settings)
    params = [values for kind, values in LOG if kind == "params"]
    assert [values["seed"] for values in params] == [11, 2**32 - 1]
    for values in params:
        assert (values["temperature"], values["top_p"], values["top_k"]) == (0.5, 0.9, 7)
        assert (values["max_tokens"], values["logprobs"], values["n"]) == (3, 0, 1)
        assert (values["stop_token_ids"], values["ignore_eos"], values["detokenize"]) == ([4], True, False)
    LOG.clear()
    client.generate([[7], [8, 9]], [1, 2], temperature=0.0, topP=0.5)
    assert {(v["temperature"], v["seed"], v["top_p"]) for k, v in LOG if k == "params"} == {(0.0, None, 1.0)}
    for temperature in (0.001, 2.5):
        with pytest.raises(WorkerError, match="temperature"):
            client.generate([[7]], [1], temperature=temperature)


def test_weights_are_taken_in_place_then_heads_then_the_cache(
    client: Client, models: dict[str, Path]
) -> None:
    client.load(models["a"])
    prompt = list(range(5, 40))
    before, *_ = client.generate([prompt], [1])
    assert {values["cache_salt"] for kind, values in LOG if kind == "add"} == {"0"}
    client.load(models["b"])
    assert asked(*STEPS) == ["start", "reload_weights", "refresh_heads", "reset_prefix_cache"]
    assert client.generate([prompt], [1])[0] != before  # a stale prefix would give the same
    assert {values["cache_salt"] for kind, values in LOG if kind == "add"} == {"0", "1"}
    client.load(models["a"])
    assert client.generate([prompt], [1])[0] == before


def test_another_architecture_has_the_engine_ended_and_started(
    client: Client, models: dict[str, Path]
) -> None:
    client.load(models["a"])
    client.load(models["wider"])
    assert asked(*STEPS) == ["start", "shutdown", "start"]
    client.load(models["wider"], dtype="bfloat16", computeDtype="bfloat16")
    assert asked(*STEPS)[3:] == ["shutdown", "start"]
    assert [values["dtype"] for kind, values in LOG if kind == "start"][-1] == "bfloat16"


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_tensors_that_lack_or_do_not_fit_are_refused_before_the_engine_sees_them(
    client: Client, models: dict[str, Path], tmp_path: Path, fault: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(models["b"], broken)
    file = broken / "model.safetensors"
    tensors = load_file(file)
    name = "model.layers.1.mlp.up_proj.weight"
    if fault == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][:-1].contiguous()
    save_file(tensors, file, {"format": "pt"})
    client.load(models["a"])
    with pytest.raises(WorkerError, match=name) as refused:
        client.load(broken)
    assert refused.value.code == "BAD_MODEL"
    assert asked(*STEPS) == ["start"]
    with pytest.raises(WorkerError, match="no model"):
        client.logprobs([7, 8])
    client.load(models["b"])
    assert asked("start") == ["start"]


@pytest.mark.parametrize("fault", ["spoilt", "held"])
def test_an_engine_that_could_not_reload_is_replaced(
    client: Client, models: dict[str, Path], fault: str
) -> None:
    client.load(models["a"])
    FAULTS.add(fault)
    client.load(models["b"])
    assert asked("start", "shutdown") == ["start", "shutdown", "start"]


def test_a_dead_engine_ends_the_worker(client: Client, models: dict[str, Path]) -> None:
    client.load(models["a"])
    FAULTS.add("dead")
    with pytest.raises(EngineLostError, match="engine of vLLM died"):
        client.generate([[7]], [1])


def test_an_answer_ends_with_the_token_that_completes_a_stop_text(
    client: Client, models: dict[str, Path]
) -> None:
    client.load(models["a"])
    whole, logprobs, finished = client.generate([[7], [8]], [1, 50], maxNewTokens=30)
    assert finished == [0, 0]
    (text,) = client.call(
        "decode",
        {"skipSpecialTokens": True},
        {"ids": np.array(whole[0], np.int32), "offsets": np.array([0, 30], np.int32)},
    )[0].texts
    stop = text[9:11]  # a token is a character: completed by the eleventh
    LOG.clear()
    ids, cut, finished = client.generate([[7], [8]], [1, 50], maxNewTokens=30, stopTexts=[stop])
    assert (ids[0], finished[0]) == (whole[0][:11], 2)
    np.testing.assert_array_equal(cut[0], logprobs[0][:11])
    assert asked("abort")
    packed = {"ids": np.array([7], np.int32), "offsets": np.array([0, 1], np.int32)}
    params = {"maxNewTokens": 30, "temperature": 1.0, "topP": 1.0, "topK": 0, "stopIds": [], "maxRows": None}
    _, found = client.call(
        "generate", params | {"stopTexts": [stop]}, packed | {"seeds": np.array([1], np.uint32)}
    )
    assert found["textIds"].tolist() == whole[0][:9]


def test_a_stop_id_ends_an_answer_and_stands_in_it(client: Client, models: dict[str, Path]) -> None:
    client.load(models["a"])
    (whole,), *_ = client.generate([[7]], [1], maxNewTokens=9)
    ids, _, finished = client.generate([[7]], [1], maxNewTokens=9, stopIds=[whole[4]])
    assert (ids, finished) == ([whole[:5]], [1])


def test_finished_answers_leave_before_an_error(client: Client, models: dict[str, Path]) -> None:
    client.load(models["a"])
    (whole,), *_ = client.generate([[7]], [1], maxNewTokens=9)
    real = client.session._engine.step

    def step() -> list[Any]:
        found = real()
        if found:
            FAULTS.add("dead")
        return found

    client.session._engine.step = step
    client.sent.clear()
    with pytest.raises(EngineLostError):
        client.generate([[7], [8]], [1, 40], maxNewTokens=9, stopIds=[whole[2]])
    assert [part["rows"].tolist() for part in client.parts()] == [[0]]


def test_no_more_than_max_rows_are_asked_at_once(client: Client, models: dict[str, Path]) -> None:
    client.load(models["a"])
    most, real = [0], client.session._engine.step

    def step() -> list[Any]:
        most[0] = max(most[0], len(client.session._engine._llm.llm_engine.requests))
        return real()

    client.session._engine.step = step
    ids, *_ = client.generate([[7 + i] for i in range(7)], range(7), maxRows=3)
    assert (len(ids), most[0]) == (7, 3)


def test_replies_name_the_weights_as_the_trainer_names_them(client: Client, models: dict[str, Path]) -> None:
    expected = weights_digest(load_torch(models["a"]))
    assert client.load(models["a"], digest=True).weights_digest == expected
    pair = {"ids": np.array([7, 8], np.int32), "offsets": np.array([0, 2], np.int32)}
    assert (
        client.call("forward", {"returnEntropy": False, "topK": 0, "kept": False, "other": None}, pair)[
            0
        ].weights_digest
        == expected
    )
    client.load(models["saved-b"], expectedDigest=weights_digest(load_torch(models["b"])))
    with pytest.raises(WorkerError, match="damaged"):
        client.load(models["saved-a"], expectedDigest=weights_digest(load_torch(models["b"])))
    half = weights_digest(load_torch(models["a"], dtype="bfloat16", compute_dtype="bfloat16"))
    options = {"dtype": "bfloat16", "computeDtype": "bfloat16", "digest": True}
    assert client.load(models["a"], **options).weights_digest == half


def test_an_adapter_is_merged_into_its_base(client: Client, models: dict[str, Path], tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(models["a"])
    network = get_peft_model(base, LoraConfig(target_modules=["q_proj", "up_proj"], init_lora_weights=False))
    network.peft_config["default"].base_model_name_or_path = str(models["a"])
    adapter = tmp_path / "adapter"
    network.save_pretrained(str(adapter))
    trainer = load_torch(adapter)
    assert client.load(adapter, digest=True).weights_digest == weights_digest(trainer)
    (started,) = [values for kind, values in LOG if kind == "start"]
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        expected = network(ids).logits
        found = AutoModelForCausalLM.from_pretrained(started["model"])(ids).logits
    assert float((found - expected).abs().max()) < 1e-4


def test_a_new_adapter_is_the_base_under_the_name_that_the_trainer_gives_it(
    client: Client, models: dict[str, Path]
) -> None:
    adapter = {
        "r": 4,
        "alpha": 8.0,
        "dropout": 0.0,
        "targetModules": None,
        "useRslora": False,
        "useDora": False,
        "modulesToSave": None,
        "seed": 7,
    }
    options = msgspec.convert(adapter, protocol.Adapter)
    expected = weights_digest(load_torch(models["a"], adapter=options))
    assert client.load(models["a"], adapter=adapter, digest=True).weights_digest == expected


def test_a_longer_request_has_a_larger_engine_built(
    client: Client, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from py_worker.vllm import verbs

    monkeypatch.setattr(verbs, "FIRST_LONGEST", 16)
    client.load(models["a"])
    client.generate([[7] * 8], [1], maxNewTokens=8)
    client.generate([[7] * 9], [1], maxNewTokens=8)
    client.load(models["b"])
    client.logprobs([7] * 128)
    assert [v["max_model_len"] for k, v in LOG if k == "start"] == [17, 35, 129]
    with pytest.raises(
        WorkerError, match="prompt 0 has 121 ids and max_new_tokens is 8, but the model has 128"
    ):
        client.generate([[7] * 121], [1], maxNewTokens=8)


@pytest.mark.parametrize("verb", ["forwardBackward", "optimStep", "save"])
def test_what_trains_is_left_to_the_trainer(client: Client, verb: str) -> None:
    file = Path(__file__).parent.parent / "fixtures/protocol/examples.json"
    params = json.loads(file.read_text())[verb]["params"]
    ragged = {"ids": np.array([7, 8], np.int32), "offsets": np.array([0, 2], np.int32)}
    with pytest.raises(WorkerError, match="ask the trainer"):
        client.call(verb, params, ragged if verb == "forwardBackward" else {})


def test_a_load_that_asks_for_what_only_a_trainer_can_is_refused(
    client: Client, models: dict[str, Path]
) -> None:
    for options in (
        {"restoreTrainingState": True},
        {"determinism": "strict"},
        {"strictSampling": True},
        {"device": "cuda"},
    ):
        with pytest.raises(WorkerError, match=r"trainer|not strict|this vLLM computes on cpu"):
            client.load(models["a"], **options)
    assert asked("start") == []
    assert client.load(models["a"]).strict_sampling is False


def test_versions_below_the_floor_are_refused_and_newer_ones_noted() -> None:
    from py_worker.vllm.versions import check_version

    for version in ("0.19.0", "0.9.2"):
        with pytest.raises(WorkerError, match=r"0\.19\.1"):
            check_version(version)
    assert [check_version(version) for version in ("0.19.1", "0.32.0", "0.32.1+cpu")] == [None] * 3
    assert "newer" in str(check_version("0.33.0"))
