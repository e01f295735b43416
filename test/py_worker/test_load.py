import hashlib
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from builders import bpe_tokenizer, char_tokenizer, tiny_network, write_model
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from bench.records import adapter_params, load_params
from py_worker.describe import describe
from py_worker.digest import weights_digest
from py_worker.errors import WorkerError
from py_worker.job import Job
from py_worker.load import choose_dtypes, load_model
from py_worker.model import Model
from py_worker.save import save_weights
from py_worker.source import files_digest
from py_worker.verbs import Session
from py_worker.wire import Request, encode_message

IDS = torch.tensor([[5, 40, 41, 42, 60, 61]])


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "llama")


def load(model: Path | str, *, needs_tokenizer: bool = True, **options: Any) -> Model:
    defaults: dict[str, Any] = {"determinism": "seeded", "device": "cpu"}
    return load_model(load_params(str(model), **defaults | options), needs_tokenizer=needs_tokenizer)


def refused(model: Path | str, **options: Any) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        load(model, **options)
    return caught.value


def adapter_tensors(model: Model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.trained.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_a_loaded_model_has_the_logits_of_plain_transformers(family: str, tmp_path: Path) -> None:
    write_model(tmp_path / family, family=family)
    model = load(tmp_path / family)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / family, dtype=torch.float32)
    assert torch.equal(model.causal_lm(IDS).logits, plain(IDS).logits)
    assert model.notes == []
    assert (model.max_positions, model.vocab_size, model.layout, model.network.head.whole) == (
        128,
        101,
        "bucket",
        None,
    )


def test_gemma2_falls_back_to_eager_attention_and_says_so(tmp_path: Path) -> None:
    # a soft cap this small moves the logits of a random model visibly
    write_model(tmp_path / "gemma", family="gemma2", attn_logit_softcapping=0.05, final_logit_softcapping=2.0)
    model = load(tmp_path / "gemma")
    eager = AutoModelForCausalLM.from_pretrained(tmp_path / "gemma", attn_implementation="eager")
    sdpa = AutoModelForCausalLM.from_pretrained(tmp_path / "gemma", attn_implementation="sdpa")
    assert torch.equal(model.causal_lm(IDS).logits, eager(IDS).logits)
    assert (eager(IDS).logits - sdpa(IDS).logits).abs().max() > 1e-3
    assert describe(model)["attention"] == "eager"
    assert model.network.head.finish.cap == 2
    assert any("soft cap" in note for note in model.notes)
    assert not any("slowly" in note for note in model.notes)


def test_describe_counts_parameters_and_joins_every_eos(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model", tie_word_embeddings=True)
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [4, 7]}))
    facts = describe(load(directory))
    layer = 32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 64 + 2 * 32
    assert facts["parameter_count"] == facts["trainable_parameter_count"] == 101 * 32 + 2 * layer + 32
    assert facts["eos_token_ids"] == [4, 7]
    assert (facts["bos_token_id"], facts["pad_token_id"], facts["has_chat_template"]) == (None, 1, True)
    assert (facts["dtype"], facts["compute_dtype"], facts["device"]) == ("float32", "float32", "cpu")


def test_describe_counts_only_the_adapter_as_trainable(llama: Path) -> None:
    options = adapter_params(r=2, target_modules=["q_proj", "v_proj"])
    facts = describe(load(llama, adapter=options))
    # per layer: q 32 to 32, v 32 to 16
    assert facts["trainable_parameter_count"] == 2 * 2 * (32 + 32 + 32 + 16)


def test_an_adapter_without_target_modules_takes_every_linear_layer_but_the_head(llama: Path) -> None:
    names = adapter_tensors(load(llama, adapter=adapter_params(r=2)))
    assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in names} == {
        *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    }


def test_the_same_seed_gives_the_same_adapter_whatever_was_drawn_before(llama: Path) -> None:
    first = adapter_tensors(load(llama, adapter=adapter_params(r=4, seed=3), seed=0))
    torch.rand(17)
    second = adapter_tensors(load(llama, adapter=adapter_params(r=4, seed=3), seed=9))
    other = adapter_tensors(load(llama, adapter=adapter_params(r=4, seed=4), seed=0))
    drawn = [name for name in first if "lora_A" in name]
    assert drawn
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


def test_making_an_adapter_leaves_the_global_random_stream_alone(llama: Path) -> None:
    load(llama, seed=5)
    without = torch.rand(3)
    load(llama, seed=5, adapter=adapter_params(r=4))
    assert torch.equal(torch.rand(3), without)


def test_a_saved_adapter_is_loaded_on_its_base_and_trained_on(llama: Path, tmp_path: Path) -> None:
    model = load(llama, adapter=adapter_params(r=2, alpha=3, seed=1))
    perturb(model)
    save_weights(model, tmp_path / "adapter")
    again = load(tmp_path / "adapter")
    assert torch.equal(again.trained(IDS).logits, model.trained(IDS).logits)
    assert adapter_tensors(again).keys() == adapter_tensors(model).keys()
    assert refused(tmp_path / "adapter", adapter=adapter_params()).code == "BAD_PARAMS"


def test_a_base_with_a_relative_path_is_found_beside_the_adapter(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(llama, adapter=adapter_params(r=2))
    save_weights(model, tmp_path / "adapter")
    (tmp_path / "base").symlink_to(llama)
    edit_json(tmp_path / "adapter" / "adapter_config.json", base_model_name_or_path="../base")
    here = tmp_path / "elsewhere" / "here"
    here.mkdir(parents=True)
    (tmp_path / "elsewhere" / "base").mkdir()  # of that name, and no model
    monkeypatch.chdir(here)
    assert load(tmp_path / "adapter").network is not None


def test_an_adapter_that_lacks_a_tensor_is_refused(llama: Path, tmp_path: Path) -> None:
    save_weights(load(llama, adapter=adapter_params(r=2)), tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    dropped = tensors.pop(sorted(tensors)[0])
    save_file(tensors, file)
    error = refused(tmp_path / "adapter")
    assert error.code == "BAD_MODEL"
    assert "1 tensors missing" in str(error)
    save_file({**tensors, sorted(tensors)[0]: dropped[:1]}, file)
    assert refused(tmp_path / "adapter").code == "BAD_MODEL"


def test_an_adapter_whose_base_is_gone_is_refused(llama: Path, tmp_path: Path) -> None:
    save_weights(load(llama, adapter=adapter_params(r=2)), tmp_path / "adapter")
    edit_json(tmp_path / "adapter" / "adapter_config.json", base_model_name_or_path="/nowhere/base")
    error = refused(tmp_path / "adapter")
    assert error.code == "NOT_FOUND"
    assert "/nowhere/base" in str(error)


def test_what_peft_warns_of_is_noted(tmp_path: Path) -> None:
    tied = write_model(tmp_path / "tied", tie_word_embeddings=True)
    model = load(tied, adapter=adapter_params(r=2, modules_to_save=["lm_head"]))
    assert any("ensure_weight_tying" in note for note in model.notes)


def test_unknown_target_modules_are_refused_with_the_names_that_exist(llama: Path) -> None:
    error = refused(llama, adapter=adapter_params(target_modules=["query"]))
    assert error.code == "BAD_PARAMS"
    assert "q_proj" in str(error)


def test_a_path_that_does_not_exist_is_refused_without_asking_the_hub() -> None:
    error = refused("/nowhere/model")
    assert error.code == "NOT_FOUND"
    assert "no such directory" in str(error)


HUB = {
    "/api/models/acme/gated/revision/main": (403, "GatedRepo"),
    "/api/models/acme/none/revision/main": (401, "RepoNotFound"),
    "/api/models/acme/model/revision/v9": (404, "RevisionNotFound"),
    "/api/models/acme/closed/revision/main": (403, ""),
    "/api/models/acme/ill/revision/main": (500, ""),
}


class Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, code = HUB[self.path]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("model", "revision", "said"),
    [
        (
            "gated",
            None,
            r"The model acme/gated is gated: .* To do: accept the conditions there, then log in .*HF_TOKEN",
        ),
        (
            "none",
            None,
            r"The hub has no model acme/none, or it is private\. To do: check the name, or log in",
        ),
        (
            "model",
            "v9",
            r"The model acme/model has no revision 'v9'\. To do: name a branch, a tag or a commit",
        ),
        ("closed", None, r"The hub refuses the model acme/closed \(403\)"),
        ("ill", None, r"The hub answers 500 for the model acme/ill.*try again later"),
    ],
)
def test_what_the_hub_refuses_is_said_with_what_to_do(
    model: str, revision: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    error = refused(f"acme/{model}", revision=revision)
    server.shutdown()
    server.server_close()
    assert error.code == "NOT_FOUND"
    assert re.match(said, str(error), re.DOTALL), str(error)


def test_without_a_network_what_is_not_here_is_refused_with_the_switch_that_keeps_the_hub_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        said = str(refused("acme/model"))
        assert said.startswith("The model acme/model is not here, and the hub cannot be reached: ")
        assert said.endswith("or name a local file or directory.")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert "the hub is not asked: HF_HUB_OFFLINE is set. To do: go online once" in str(
            refused("acme/model")
        )


def test_a_model_of_the_hub_that_has_only_pickles_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--acme--old" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "pytorch_model.bin").write_bytes(b"")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = str(refused("acme/old", revision="0" * 40))
    assert "Model acme/old has no safetensors files on the hub" in said
    assert "M.from_pretrained('acme/old').save_pretrained('converted')" in said


def test_directories_without_config_or_weights_or_tokenizer_are_refused(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert "no config.json" in str(refused(tmp_path))
    assert "notes.txt" in str(refused(tmp_path))
    assert "is a file" in str(refused(tmp_path / "notes.txt"))
    copy = write_model(tmp_path / "copy")
    (copy / "tokenizer.json").unlink()
    assert "no tokenizer.json" in str(refused(copy))
    edit_json(copy / "tokenizer_config.json", tokenizer_class="LlamaTokenizer")
    assert "no vocabulary" in str(refused(copy))
    (copy / "tokenizer_config.json").unlink()
    error = refused(copy)
    assert error.code == "NOT_FOUND"
    assert "no tokenizer files" in str(error)
    without = load(copy, needs_tokenizer=False)
    assert without.tokenizer is None
    assert any("no tokenizer" in note for note in without.notes)
    (copy / "model.safetensors").unlink()
    assert "no weights" in str(refused(copy))


def test_an_unfinished_save_is_not_loaded(llama: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "step-3.tms-4242-0a1b2c3d.part")
    assert "unfinished save" in str(refused(tmp_path / "step-3.tms-4242-0a1b2c3d.part"))


@pytest.mark.parametrize("damage", ["truncated", "garbage header", "empty"])
def test_broken_safetensors_are_refused_by_name(damage: str, tmp_path: Path) -> None:
    file = write_model(tmp_path / "model") / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(
        {"truncated": content[: len(content) // 2], "garbage header": b"\xff" * 64, "empty": b""}[damage]
    )
    error = refused(tmp_path / "model")
    assert error.code == "BAD_MODEL"
    assert str(file) in str(error)
    assert error.data == {"file": str(file), "bytes": file.stat().st_size}


def test_a_missing_shard_is_refused_by_name(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model")
    network = tiny_network(vocab_size=101)
    (directory / "model.safetensors").unlink()
    network.save_pretrained(directory, max_shard_size="50KB")
    shard = sorted(directory.glob("model-*.safetensors"))[1]
    assert load(directory).vocab_size == 101
    shard.unlink()
    error = refused(directory)
    assert error.code == "BAD_MODEL"
    assert shard.name in str(error)


def test_missing_and_misshapen_weights_are_never_filled_with_random_numbers(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model") / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    tensors["model.norm.weight"] = torch.ones(31)
    save_file(tensors, file, {"format": "pt"})
    error = refused(tmp_path / "model")
    assert error.code == "BAD_MODEL"
    assert "model.layers.1.mlp.up_proj.weight" in str(error)
    assert "model.norm.weight: file (31,), model (32,)" in str(error)


def test_unused_tensors_are_noted(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model") / "model.safetensors"
    save_file({**load_file(file), "score.weight": torch.ones(2)}, file, {"format": "pt"})
    assert any("score.weight" in note for note in load(tmp_path / "model").notes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "no_such_type"}, "no_such_type"),
        ({"model_type": "t5", "architectures": ["T5Model"]}, "causal language model"),
        ({"num_attention_heads": "many"}, "num_attention_heads"),
    ],
)
def test_configs_that_are_no_causal_language_model_are_refused(
    change: dict, said: str, tmp_path: Path
) -> None:
    directory = write_model(tmp_path / "model")
    edit_json(directory / "config.json", **change)
    error = refused(directory)
    assert error.code == "BAD_MODEL"
    assert said in str(error)


def test_a_config_that_is_no_json_is_refused_with_the_place(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model")
    (directory / "config.json").write_text('{"vocab_size": 3,')
    assert "config.json is not readable JSON" in str(refused(directory))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attention": "no_such_attention"}, "no_such_attention"),
        ({"device": "cuda:77"}, "cuda:77"),
        ({"device": "toaster"}, "toaster"),
        ({"dtype": "bfloat16", "compute_dtype": "float32"}, "compute_dtype"),
    ],
)
def test_options_that_cannot_be_met_are_refused(options: dict[str, str], said: str, llama: Path) -> None:
    error = refused(llama, **options)
    assert error.code == "BAD_PARAMS"
    assert said in str(error)


def test_an_invalid_generation_config_neither_matters_nor_gets_lost(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model")
    # a temperature without sampling: transformers warns when loading and refuses to save it
    (directory / "generation_config.json").write_text(json.dumps({"temperature": 0.7, "do_sample": False}))
    save_weights(load(directory), tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "generation_config.json").read_text())["temperature"] == 0.7


def test_strict_turns_deterministic_kernels_on_and_off_again(llama: Path) -> None:
    load(llama, determinism="strict")
    assert torch.are_deterministic_algorithms_enabled()
    load(llama, determinism="off")
    assert not torch.are_deterministic_algorithms_enabled()


def test_strict_is_refused_where_it_does_not_hold_and_auto_says_so(tmp_path: Path) -> None:
    factors = {"short_factor": [1.0] * 4, "long_factor": [8.0] * 4, "factor": 8.0}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 16, **factors}
    write_model(tmp_path / "scaled", rope_parameters=rope)  # a long row scales the angles of its neighbours
    error = refused(tmp_path / "scaled", determinism="strict")
    assert error.code == "BAD_PARAMS"
    assert "use determinism seeded" in str(error)
    with_demand = refused(tmp_path / "scaled", determinism="seeded", strict_sampling=True)
    assert "answers depend on their neighbours" in str(with_demand)
    training = load(tmp_path / "scaled", determinism="strict", strict_sampling=False)
    assert torch.are_deterministic_algorithms_enabled()
    assert not training.strict
    model = load(tmp_path / "scaled", determinism="auto")
    assert not model.strict
    assert any(note.startswith("Sampling is not strict") for note in model.notes)


def test_bfloat16_weights_and_compute_are_as_asked(llama: Path) -> None:
    model = load(llama, dtype="bfloat16")
    assert (model.causal_lm.dtype, model.compute_dtype) == (torch.bfloat16, torch.bfloat16)
    mixed = load(llama, compute_dtype="bfloat16")
    assert (mixed.causal_lm.dtype, mixed.compute_dtype) == (torch.bfloat16, torch.bfloat16)
    assert describe(mixed)["dtype"] == "float32"
    assert weights_digest(mixed) == weights_digest(load(llama))


def test_auto_computes_in_bfloat16_on_a_gpu_that_has_it_and_not_on_a_cpu(
    llama: Path, monkeypatch: pytest.MonkeyPatch
):
    assert load(llama, compute_dtype="auto").compute_dtype == torch.float32
    assert load(llama, dtype="bfloat16", compute_dtype="auto").compute_dtype == torch.bfloat16
    options, gpu = load_params(str(llama), compute_dtype="auto"), torch.device("cuda", 0)
    for capability, expected in (((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert choose_dtypes(options, gpu) == (torch.float32, expected)


def test_a_larger_tokenizer_than_vocabulary_is_noted(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model", tokenizer=char_tokenizer())
    bpe_tokenizer(["some text"]).save_pretrained(directory)
    assert any("the model only 101" in note for note in load(directory).notes)


def test_a_tokenizer_of_another_model_is_noted_by_its_size_and_by_what_ends_an_answer(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model", tokenizer=bpe_tokenizer(["some text"]))
    assert not [note for note in load(directory).notes if "another model" in note]
    size = load(directory).vocab_size
    edit_json(directory / "config.json", eos_token_id=71)  # the letter of the character tokenizer
    char_tokenizer().save_pretrained(directory)
    assert [note for note in load(directory).notes if "another model" in note] == [
        f"The tokenizer knows 101 of the model's {size} tokens: is it that of another model?",
        "config.json has eos_token_id 71, which is 'a' in the tokenizer: is it that of another model?",
    ]


def test_an_id_without_an_embedding_is_refused_with_its_example_and_token(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model", tokenizer=char_tokenizer())
    tokenizer = char_tokenizer()
    tokenizer.add_tokens(["<new>"])  # id 101 of a model with 101 embeddings
    tokenizer.save_pretrained(directory)
    session = Session()
    session.run(job("load", wire_params(directory)))
    with pytest.raises(WorkerError, match=r"examples\[1\].*'<new>', id 101.*below 101") as caught:
        session.run(job("encode", encode_params("ab", "a<new>b")))
    assert caught.value.data == {"index": 1, "reason": "token_without_embedding"}
    assert session.run(job("encode", encode_params("ab")))[1]["ids"].tolist()[:2] == [71, 72]


def test_a_load_without_threads_takes_those_of_the_beginning(llama: Path) -> None:
    before = torch.get_num_threads()
    session = Session()
    session.run(job("load", wire_params(llama) | {"threads": before + 1}))
    assert torch.get_num_threads() == before + 1
    session.run(job("load", wire_params(llama)))
    assert torch.get_num_threads() == before


class CountedHash:
    """SHA-256 that counts the bytes it is fed."""

    fed = 0

    def __init__(self, content: Any = b"") -> None:
        self._hash = hashlib.new("sha256")
        self.update(content)

    def update(self, content: Any) -> None:
        CountedHash.fed += memoryview(content).nbytes
        self._hash.update(content)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def test_weights_whose_digest_is_known_are_hashed_once_by_a_save(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashlib, "sha256", CountedHash)
    session = Session()

    def save(name: str, kind: str = "weights") -> tuple[Any, int]:
        CountedHash.fed = 0
        params = {"path": str(tmp_path / name), "kind": kind, "stopIds": None}
        saved, _ = session.run(job("save", params))
        return saved, CountedHash.fed

    session.run(job("load", wire_params(llama) | {"digest": True}))
    loaded, hashed = save("loaded")
    assert hashed == loaded.bytes
    losses = {"ce": {"normalizer": 1.0}, "dft": None, "policyGradient": None}
    told = {"match": None, "dropoutSeed": None, "returnLogprobs": False, "returnEntropy": False}
    tensors: dict[str, np.ndarray] = {
        "ids": np.array([5, 6], np.int32),
        "offsets": np.array([0, 2], np.int32),
    }
    tensors |= {"ceWeights": np.array([0, 1], np.float32)}
    session.run(job("forwardBackward", losses | told, tensors))
    adamw = {"learningRate": 0.1, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.0}
    adamw |= {"eightBit": False}
    none = {"muon": None, "maxGradNorm": None, "countUpdates": False}
    session.run(job("optimStep", {"dependsOn": [1], "adamw": adamw, **none}))
    state, hashed = save("state", "trainingState")
    size = sum(file.bytes for file in state.files if file.name == "model.safetensors")
    assert hashed > state.bytes + size * 0.9
    stepped, hashed = save("stepped")
    assert hashed == stepped.bytes
    assert stepped.weights_digest == state.weights_digest != loaded.weights_digest
    for saved in (loaded, state, stepped):
        assert saved.weights_digest == weights_digest(load(saved.path))


def job(verb: str, params: dict[str, Any], tensors: dict[str, np.ndarray] | None = None) -> Job:
    header, *frames = encode_message("res", 1, {}, tensors)
    table = msgspec.msgpack.decode(header)["tz"]
    request = Request(v=1, id=1, op=verb, p=msgspec.Raw(msgspec.msgpack.encode(params)), tz=table)
    return Job(b"client", request, frames, lambda _: None)


def wire_params(model: Path) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("revision", "adapter", "threads", "expectedDigest", "torchCompile", "blend", "quantization")
    )
    fixed = {
        "dtype": "float32",
        "computeDtype": "float32",
        "rounding": "nearest",
        "device": "cpu",
        "attention": "sdpa",
    }
    more = {"tokenBudget": 64, "layout": "auto", "determinism": "off", "strictSampling": None, "seed": 0}
    off = dict.fromkeys(("trustRemoteCode", "gradientCheckpointing", "restoreTrainingState", "digest"), False)
    return {"model": str(model), **nothing, **fixed, **more, **off}


def encode_params(*prompts: str) -> dict[str, Any]:
    examples = [{"prompt": prompt, "completion": None, "tools": None} for prompt in prompts]
    none = dict.fromkeys(("maxLength", "chatTemplate", "date"))
    options = {**none, "templateOptions": {}, "splitSpecialTokens": True}
    return {"examples": examples, **options}


def perturb(model: Model) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.trained.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_the_digest_of_files_changes_with_every_file_that_loading_reads(tmp_path) -> None:
    (tmp_path / "code").mkdir()
    texts = {
        "config.json": "{}",
        "tokenizer.json": "{}",
        "chat_template.jinja": "{{ 1 }}",
        "code/model.py": "a = 1",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = files_digest([tmp_path])
    for name, text in texts.items():
        (tmp_path / name).write_text(text + " ")
        assert files_digest([tmp_path]) != before, name
        (tmp_path / name).write_text(text)
    (tmp_path / "model.safetensors").write_bytes(b"others")
    (tmp_path / "README.md").write_text("a card")
    assert files_digest([tmp_path]) == before
    (tmp_path / "generation_config.json").write_text("{}")
    assert files_digest([tmp_path]) != before


@pytest.mark.parametrize("asked", [True, False, None])
def test_layers_are_compiled_only_where_that_is_asked_for(
    llama: Path, monkeypatch: pytest.MonkeyPatch, asked: bool | None
):
    compiled: list[Model] = []
    monkeypatch.setattr("py_worker.load.compile_layers", compiled.append)
    model = load(llama, torch_compile=asked)
    assert compiled == ([model] if asked else [])
