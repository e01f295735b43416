"""Find the directory of a model, a local one or a snapshot of the hub, and check that its files can be loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from safetensors import safe_open

from py_worker.atomic import UNFINISHED
from py_worker.errors import WorkerError, from_library
from py_worker.hub import refusal_of

VOCABULARY_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
)
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "*.tiktoken", "*.py"]
_HUB_IGNORED = ["*/*", "consolidated*"]
_WEIGHT_SUFFIXES = frozenset(
    (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf", ".ckpt")
)
_SAID_BESIDE = frozenset(
    ("README.md", "LICENSE", ".gitattributes", "model.safetensors.index.json", "saved_files.json")
)
"""Files that say something about a model and change nothing of it."""
_REMEDY = "Copy or download it again."


@dataclass(frozen=True)
class Source:
    """A directory that holds a model or an adapter, complete as far as can be told without loading it."""

    name: str
    """The absolute directory or the hub id: what a saved adapter names as its base."""
    directory: Path
    is_adapter: bool


def find_source(model: str, revision: str | None = None) -> Source:
    """Return the checked directory of ``model``; NOT_FOUND when it is nowhere, BAD_MODEL when its files are broken."""
    with from_library(partial(_unreadable, model)):
        path = Path(model).expanduser()
        local = path.resolve() if path.exists() else None
        source = Source(str(local), local, (local / "adapter_config.json").is_file()) if local else None
    source = source or _from_hub(model, revision)
    with from_library(partial(_unreadable, source.directory)):
        _check_directory(source)
    return source


def _unreadable(what: str | Path, error: BaseException) -> WorkerError:
    return WorkerError(
        "NOT_FOUND", f"Model {what} cannot be read: {error}. Check the path and the rights of its files."
    )


def base_of_adapter(adapter: Source) -> Source:
    """Return the model that an adapter directory was trained on; a relative base is also looked for beside it."""
    file = adapter.directory / "adapter_config.json"
    config = read_json(file)
    name = config.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise WorkerError(
            "BAD_MODEL", f"{file} has no base_model_name_or_path, the name or path of its base; add it."
        )
    with from_library(partial(_unreadable, name)):
        beside = adapter.directory / name
        found = str(beside) if _holds_model(beside) and not _holds_model(Path(name).expanduser()) else name
    base = find_source(found, config.get("revision"))
    if base.is_adapter:
        raise WorkerError(
            "BAD_MODEL", f"The base of adapter {adapter.directory} is itself an adapter: {base.directory}."
        )
    return base


def _holds_model(directory: Path) -> bool:
    return any((directory / name).is_file() for name in ("config.json", "adapter_config.json"))


def files_digest(directories: list[Path]) -> str:
    """Return the SHA-256 of all files of a model but its weights: whatever loading may read, code in folders below included."""
    digest = hashlib.sha256()
    for directory in dict.fromkeys(directories):
        files = [*directory.glob("*"), *directory.glob("*/**/*.py")]
        for file in sorted(file for file in files if file.is_file()):
            if file.suffix in _WEIGHT_SUFFIXES or file.name in _SAID_BESIDE or UNFINISHED.search(file.name):
                continue
            name = file.relative_to(directory).as_posix()
            digest.update(json.dumps([name, hashlib.sha256(file.read_bytes()).hexdigest()]).encode())
    return digest.hexdigest()


def has_tokenizer_files(directory: Path) -> bool:
    """Say whether any file of a tokenizer is there."""
    return (directory / "tokenizer_config.json").is_file() or has_vocabulary(directory)


def has_vocabulary(directory: Path) -> bool:
    """Say whether a file with a tokenizer's vocabulary is there."""
    return any((directory / name).is_file() for name in VOCABULARY_FILES) or any(directory.glob("*.tiktoken"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; BAD_MODEL names the file and the place where it breaks."""

    def explain(error: BaseException) -> WorkerError:
        found = "it is nested too deeply" if isinstance(error, RecursionError) else error
        return WorkerError(
            "BAD_MODEL", f"{path} is not readable JSON ({found}); copy the file again.", {"file": str(path)}
        )

    with from_library(explain):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise WorkerError("BAD_MODEL", f"{path} should hold a JSON object, found {type(content).__name__}.")
    return content


def _from_hub(model: str, revision: str | None) -> Source:
    looks_like_path = model.startswith(("/", "./", "../", "~")) or model.count("/") > 1 or "\\" in model
    if looks_like_path:
        raise WorkerError("NOT_FOUND", f"Model {model!r} does not exist: no such directory. Check the path.")
    directory = _snapshot(model, revision)
    return Source(model, directory, (directory / "adapter_config.json").is_file())


def _snapshot(model: str, revision: str | None) -> Path:
    def explain(error: BaseException) -> WorkerError:
        refusal = refusal_of(error, f"the model {model}", revision or "main")
        if refusal is not None:
            said = str(refusal)
            return WorkerError("NOT_FOUND", f"{said[0].upper()}{said[1:]}. To do: {refusal.fix}.")
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        return WorkerError(
            "NOT_FOUND",
            f"Model {model!r} (revision {revision or 'main'}) is neither a local directory nor to be had from the hub: {reason}. "
            "Check the spelling, or give a directory.",
        )

    with from_library(explain):
        found = snapshot_download(
            model, revision=revision, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_IGNORED
        )
    if not Path(found).is_dir():
        raise WorkerError(
            "NOT_FOUND",
            f"The hub's {model} holds no file of a model: is its name right? Give one with config.json.",
        )
    return Path(found)


def _check_directory(source: Source) -> None:
    directory = source.directory
    if not directory.is_dir():
        raise WorkerError(
            "NOT_FOUND", f"Model {directory} is a file; give the directory that holds config.json."
        )
    if UNFINISHED.search(directory.name):
        raise WorkerError(
            "NOT_FOUND", f"{directory} is an unfinished save, left by a worker that was killed; delete it."
        )
    is_of_hub = source.name != str(directory)
    if is_of_hub and not any(directory.glob("*.safetensors")):
        raise _pickled(source, "has no safetensors files on the hub")
    if source.is_adapter:
        weights = _first_existing(directory, ("adapter_model.safetensors", "adapter_model.bin"))
        if weights is None:
            raise _missing(directory, "adapter_config.json but no adapter_model.safetensors")
        _check_weights(source, [weights])
        return
    if not (directory / "config.json").is_file():
        raise _missing(directory, "no config.json and no adapter_config.json")
    read_json(directory / "config.json")
    _check_weights(source, weight_files(directory))


def weight_files(directory: Path) -> list[Path]:
    """Return the files that transformers reads a model's weights from."""
    order = (
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    )
    first = _first_existing(directory, order)
    if first is None:
        raise _missing(directory, "config.json but no weights (model.safetensors)")
    if first.suffix != ".json":
        return [first]
    weight_map = read_json(first).get("weight_map")
    names = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise WorkerError(
            "BAD_MODEL",
            f"{first} should map each tensor to the name of a file beside it (weight_map). {_REMEDY}",
            {"file": str(first)},
        )
    shards = [directory / name for name in sorted(set(names))]
    absent = [shard.name for shard in shards if not shard.is_file()]
    if absent:
        raise WorkerError(
            "BAD_MODEL", f"{first} names weight files that are not there: {', '.join(absent)}. Copy them too."
        )
    return shards


def _check_weights(source: Source, files: list[Path]) -> None:
    """Open every file, which checks its header against its length; BAD_MODEL names a pickle or a broken one."""
    for file in files:
        if file.suffix != ".safetensors":
            raise _pickled(source, f"has its weights as a pickle only ({file.name})")
        with from_library(partial(_broken_weights, file)), safe_open(str(file), "pt"):
            pass


def _pickled(source: Source, found: str) -> WorkerError:
    """Return the refusal of weights that are no safetensors files, with the command that converts them."""
    kind = (
        "peft import AutoPeftModelForCausalLM"
        if source.is_adapter
        else "transformers import AutoModelForCausalLM"
    )
    program = f"from {kind} as M; M.from_pretrained('{source.name}').save_pretrained('converted')"
    return WorkerError(
        "BAD_MODEL",
        f"Model {source.name} {found}: unpickling can run code, so pickles are not loaded. Take a revision that has safetensors "
        f'files, or, where you trust its origin, convert it once with `python -c "{program}"` and copy its tokenizer files there.',
        {"reason": "pickle"},
    )


def _broken_weights(file: Path, error: BaseException) -> WorkerError:
    size = file.stat().st_size
    return WorkerError(
        "BAD_MODEL",
        f"Weights file {file} is corrupted or truncated ({error}; {size} bytes found). {_REMEDY}",
        {"file": str(file), "bytes": size},
    )


def _first_existing(directory: Path, names: tuple[str, ...]) -> Path | None:
    return next((directory / name for name in names if (directory / name).is_file()), None)


def _missing(directory: Path, what: str) -> WorkerError:
    found = sorted(entry.name for entry in directory.iterdir())
    shown = ", ".join(found[:8]) + (", …" if len(found) > 8 else "") if found else "nothing"
    return WorkerError(
        "NOT_FOUND",
        f"Directory {directory} has {what}; found {shown}. Give a directory written by save_pretrained or by this worker.",
    )
