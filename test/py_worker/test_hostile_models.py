"""Broken and hostile model directories: each is refused by a code and a message that names the file and what to do."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import write_model
from safetensors.torch import load_file, save_file

from bench.records import load_params
from py_worker.errors import WorkerError
from py_worker.load import load_model
from py_worker.model import Model

Damage = Callable[[Path], object]
WEIGHTS, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
BIN = "pytorch_model.bin"


def load(directory: Path | str, **options: Any) -> Model:
    return load_model(load_params(str(directory), determinism="off", device="cpu", **options))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "llama")


class Attack:
    """Touches a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.witness,)


def write(name: str, content: bytes | str) -> Damage:
    data = content.encode() if isinstance(content, str) else content
    return lambda directory: (directory / name).write_bytes(data)


def edit(name: str, **changes: Any) -> Damage:
    def damage(directory: Path) -> None:
        file = directory / name
        found = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(found | changes))

    return damage


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(directory: Path) -> None:
        found = load_file(directory / WEIGHTS)
        change(found)
        save_file(found, directory / WEIGHTS, {"format": "pt"})

    return damage


def fill(name: str, value: float) -> Damage:
    return tensors(lambda found: found[name].view(-1)[7:9].fill_(value))


def as_bin(save: Callable[[Path, Path], object]) -> Damage:
    """Have the weights as a pickle that ``save(file, witness)`` writes."""

    def damage(directory: Path) -> None:
        save(directory / BIN, directory / "witness")
        (directory / WEIGHTS).unlink()

    return damage


def as_shards(index: Any) -> Damage:
    """Have the weights named by an index."""

    def damage(directory: Path) -> None:
        (directory / WEIGHTS).rename(directory / "model-00001-of-00001.safetensors")
        (directory / INDEX).write_text(index if isinstance(index, str) else json.dumps(index))

    return damage


def cut(name: str, keep: float) -> Damage:
    def damage(directory: Path) -> None:
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(content[: int(len(content) * keep)])

    return damage


def forged_header(header: Any) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


NORM, EMBEDDING = "model.layers.1.input_layernorm.weight", "model.embed_tokens.weight"
DEEP = "[" * 100_000 + "]" * 100_000
BAD, ABSENT = "BAD_MODEL", "NOT_FOUND"
CASES: dict[str, tuple[Damage, str, str]] = {
    "pickle that runs code": (
        as_bin(lambda file, witness: torch.save({"a": Attack(witness)}, file)),
        BAD,
        rf"pickle only \({BIN}\).*convert it once with `python -c \"from transformers import AutoModelForCausalLM",
    ),
    "pickle of the old format that runs code": (
        as_bin(lambda file, witness: file.write_bytes(pickle.dumps({"a": Attack(witness)}, protocol=2))),
        BAD,
        "pickle only",
    ),
    "pickle of the right tensors": (
        as_bin(lambda file, _: torch.save(load_file(file.parent / WEIGHTS), file)),
        BAD,
        rf"pickle only \({BIN}\).*convert",
    ),
    "empty pickle": (as_bin(lambda file, _: file.write_bytes(b"")), BAD, "pickle only"),
    "index that is no JSON": (as_shards("{'weight_map':"), BAD, f"{INDEX} is not readable JSON"),
    "index that is a list": (as_shards([1]), BAD, f"{INDEX} should hold a JSON object"),
    "index without a map": (as_shards({"metadata": {}}), BAD, rf"{INDEX} should map .*again"),
    "index of lists": (as_shards({"weight_map": {"a": ["b"]}}), BAD, rf"{INDEX} should map .*again"),
    "index that leaves the directory": (
        as_shards({"weight_map": {"a": "../../secret.safetensors"}}),
        BAD,
        rf"{INDEX} should map .*again",
    ),
    "index of a file that is not there": (
        as_shards({"weight_map": {"a": "b.safetensors"}}),
        BAD,
        r"b\.safetensors\. Copy",
    ),
    "index without metadata": (
        as_shards({"weight_map": {NORM: "model-00001-of-00001.safetensors"}}),
        BAD,
        "model",
    ),
    "truncated weights": (cut(WEIGHTS, 0.7), BAD, rf"{WEIGHTS} is corrupted or truncated .*again"),
    "weights of 7 bytes": (write(WEIGHTS, b"1234567"), BAD, rf"{WEIGHTS} is corrupted or truncated"),
    "weights with a header of 2^63 bytes": (
        write(WEIGHTS, struct.pack("<Q", 2**63) + b"{}"),
        BAD,
        rf"{WEIGHTS} is corrupted or truncated",
    ),
    "weights whose header is no JSON": (
        write(WEIGHTS, struct.pack("<Q", 8) + b"not JSON"),
        BAD,
        rf"{WEIGHTS} is corrupted or truncated",
    ),
    "weights of an unknown type": (
        write(WEIGHTS, forged_header({"a": {"dtype": "F3", "shape": [2], "data_offsets": [0, 16]}})),
        BAD,
        rf"{WEIGHTS} is corrupted or truncated",
    ),
    "weights that lie about their place": (
        write(WEIGHTS, forged_header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 40]}})),
        BAD,
        rf"{WEIGHTS} is corrupted or truncated",
    ),
    "a weight that is missing": (tensors(lambda found: found.pop(NORM)), BAD, rf"missing \({NORM}\).*random"),
    "a weight of another shape": (
        tensors(lambda found: found.update({NORM: torch.ones(31)})),
        BAD,
        rf"{NORM}: file \(31,\), model \(32,\)",
    ),
    "no weights that fit": (
        tensors(lambda found: [found.update({f"x.{name}": found.pop(name)}) for name in list(found)]),
        BAD,
        "tensors are missing",
    ),
    "NaN in a norm": (fill(NORM, float("nan")), BAD, rf"NaN or infinite numbers in 1 tensors \({NORM}\)"),
    "an infinite embedding": (fill(EMBEDDING, float("-inf")), BAD, rf"NaN or infinite .*{EMBEDDING}"),
    "finite weights that overflow": (
        tensors(lambda found: found["model.layers.0.mlp.up_proj.weight"].fill_(3e38)),
        BAD,
        "computes NaN although every weight is finite",
    ),
    "config that is no JSON": (cut(CONFIG, 0.5), BAD, rf"{CONFIG} is not readable JSON .*copy"),
    "config in another encoding": (write(CONFIG, b"\xff\xfe{\x00}\x00"), BAD, rf"{CONFIG} is not readable"),
    "config that is a list": (write(CONFIG, "[1]"), BAD, f"{CONFIG} should hold a JSON object"),
    "config nested deeply": (write(CONFIG, '{"a": ' + DEEP + "}"), BAD, f"{CONFIG} .*nested too deeply"),
    "config without a type": (write(CONFIG, "{}"), BAD, r"cannot be loaded .*config\.json"),
    "no heads": (edit(CONFIG, num_attention_heads=0), BAD, r"cannot be loaded .*config\.json"),
    "no key heads": (edit(CONFIG, num_key_value_heads=0), BAD, r"config\.json"),
    "heads that do not divide": (edit(CONFIG, num_attention_heads=5), BAD, r"config\.json"),
    "a negative width": (edit(CONFIG, hidden_size=-32), BAD, r"config\.json"),
    "a vocabulary of 10^12": (edit(CONFIG, vocab_size=10**12), BAD, r"config\.json"),
    "no vocabulary": (edit(CONFIG, vocab_size=0), BAD, r"config\.json"),
    "10^9 layers": (
        edit(CONFIG, num_hidden_layers=10**9),
        BAD,
        "num_hidden_layers 1000000000, but its weights",
    ),
    "10^400 layers": (edit(CONFIG, num_hidden_layers=10**400), BAD, "num_hidden_layers"),
    "a nested text config": (edit(CONFIG, text_config={"hidden_size": "x"}), BAD, r"config\.json"),
    "an unknown activation": (edit(CONFIG, hidden_act="boom"), BAD, r"boom.*config\.json"),
    "a rope of an unknown type": (
        edit(CONFIG, rope_parameters={"rope_type": "warp", "rope_theta": 1.0}),
        BAD,
        r"config\.json",
    ),
    "a rope with a negative theta": (
        edit(CONFIG, rope_parameters={"rope_type": "default", "rope_theta": -1.0}),
        BAD,
        r"NaN|config\.json",
    ),
    "code of its own": (
        edit(
            CONFIG, model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Lm"}
        ),
        BAD,
        r"Python code that comes with it.*trust_remote_code: true",
    ),
    "a tokenizer with code of its own": (
        edit(
            TOKENIZER_CONFIG,
            tokenizer_class="OwnTokenizer",
            auto_map={"AutoTokenizer": ["own.Tokenizer", None]},
        ),
        BAD,
        r"trust_remote_code: true",
    ),
    "a quantisation that is not there": (
        edit(CONFIG, quantization_config={"quant_method": "gptq", "bits": 4}),
        BAD,
        r"config\.json|gptq",
    ),
    "a tokenizer that is no JSON": (cut(TOKENIZER, 0.5), BAD, f"{TOKENIZER} is not readable JSON"),
    "a tokenizer without a model": (write(TOKENIZER, '{"version": "1.0"}'), BAD, r"tokenizer in .*again"),
    "a tokenizer of an unknown kind": (
        edit(TOKENIZER, model={"type": "Magic", "vocab": {}}),
        BAD,
        r"tokenizer in .*again",
    ),
    "a tokenizer nested deeply": (edit(TOKENIZER, extra="deep"), BAD, "nested too deeply"),
    "a tokenizer config that is no JSON": (
        write(TOKENIZER_CONFIG, "{"),
        BAD,
        f"{TOKENIZER_CONFIG} is not readable JSON",
    ),
    "a tokenizer config that is a list": (
        write(TOKENIZER_CONFIG, "[]"),
        BAD,
        f"{TOKENIZER_CONFIG} should hold",
    ),
    "special tokens of a wrong type": (
        edit(TOKENIZER_CONFIG, eos_token=[1, {}]),
        BAD,
        "tokenizer in .*again",
    ),
    "a directory in place of the weights": (
        lambda directory: [(directory / WEIGHTS).unlink(), (directory / WEIGHTS).mkdir()],
        ABSENT,
        "no weights",
    ),
    "a link to itself in place of the config": (
        lambda directory: [(directory / CONFIG).unlink(), (directory / CONFIG).symlink_to(CONFIG)],
        ABSENT,
        r"no config\.json",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_broken_directory_is_refused_with_its_file_and_what_to_do(
    name: str, sound: Path, tmp_path: Path
) -> None:
    damage, code, said = CASES[name]
    directory = tmp_path / "broken"
    shutil.copytree(sound, directory)
    damage(directory)
    if name == "a tokenizer nested deeply":
        text = (directory / TOKENIZER).read_text()
        (directory / TOKENIZER).write_text(text.replace('"deep"', DEEP))
    with pytest.raises(WorkerError, match=rf"(?s){said}") as caught:
        load(directory)
    message = str(caught.value)
    assert caught.value.code == code
    assert str(directory) in message
    assert "weights_only" not in message
    assert not (directory / "witness").exists()
