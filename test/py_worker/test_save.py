import errno
import fcntl
import hashlib
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import write_model
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.records import adapter_params, load_params
from py_worker import merge_side
from py_worker.atomic import atomic_directory
from py_worker.describe import eos_token_ids
from py_worker.digest import tensors_digest, weights_digest
from py_worker.encode import encode
from py_worker.errors import WorkerError
from py_worker.load import load_model
from py_worker.model import Model
from py_worker.protocol import Adapter
from py_worker.save import (
    load_training_state,
    require_as_saved,
    restore_rng,
    save_training_state,
    save_weights,
)

IDS = torch.tensor([[5, 40, 41, 42, 60, 61]])


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "llama", tie_word_embeddings=True)


def load(model: Path, **options: Any) -> Model:
    defaults: dict[str, Any] = {"determinism": "seeded", "device": "cpu"}
    return load_model(load_params(str(model), **defaults | options))


def refused(act: Callable[[], Any]) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        act()
    return caught.value


def slow_digest(file: Path) -> str:
    """Compute the documented digest from the bytes of a safetensors file, without torch."""
    content = file.read_bytes()
    (header_size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + header_size])
    header.pop("__metadata__", None)
    digest = hashlib.sha256()
    for name in sorted(header):
        entry = header[name]
        dtype = {"F32": "float32", "BF16": "bfloat16"}[entry["dtype"]]
        digest.update(f'["{name}","{dtype}",{json.dumps(entry["shape"]).replace(" ", "")}]\n'.encode())
        start, end = entry["data_offsets"]
        digest.update(content[8 + header_size + start : 8 + header_size + end])
    return digest.hexdigest()


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_saved_weights_load_in_plain_transformers_with_equal_logits(family: str, tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "base", family=family))
    perturb(model)
    save_weights(model, tmp_path / "saved")
    plain = AutoModelForCausalLM.from_pretrained(
        tmp_path / "saved", attn_implementation=model.causal_lm.config._attn_implementation
    )
    assert torch.equal(plain(IDS).logits, model.causal_lm(IDS).logits)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizer("hello")["input_ids"] == [78, 75, 82, 82, 85]
    assert tokenizer.chat_template == model.tokenizer.chat_template  # type: ignore[union-attr]


def test_saved_weights_end_where_they_were_made_to_end_in_plain_transformers(tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "base"))
    before = model.causal_lm.generation_config.to_dict()
    save_weights(model, tmp_path / "saved", [3, 4])
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert plain.generation_config.eos_token_id == [3, 4]
    assert model.causal_lm.generation_config.to_dict() == before
    assert eos_token_ids(load(tmp_path / "saved")) == [3, 4]
    save_weights(model, tmp_path / "as loaded")
    as_loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "as loaded")
    assert as_loaded.generation_config.eos_token_id == 4


@pytest.mark.parametrize("use_dora", [False, True])
def test_a_saved_adapter_loads_in_plain_peft_with_equal_logits(
    llama: Path, tmp_path: Path, use_dora: bool
) -> None:
    options = adapter_params(r=2, alpha=3, use_rslora=True, use_dora=use_dora, modules_to_save=["lm_head"])
    model = load(llama, adapter=options)
    perturb(model)
    saved = save_weights(model, tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(llama)
    plain = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    assert torch.equal(plain(IDS).logits, model.trained(IDS).logits)
    names = {file["name"] for file in saved["files"]}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert not names & {"README.md", "config.json", "model.safetensors"}
    assert weights_digest(load(tmp_path / "adapter")) == saved["weights_digest"]
    asked = {"adapter": str(tmp_path / "adapter"), "into": str(tmp_path / "merged"), "dtype": "float32"}
    merged = json.loads(merge_side.merge(json.dumps(asked)))
    assert merged["ok"]["bytes"] == sum(file.stat().st_size for file in (tmp_path / "merged").iterdir())
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(whole(IDS).logits, model.trained(IDS).logits)
    again = json.loads(merge_side.merge(json.dumps(asked)))["err"]
    assert "merged" in again["message"]
    asked["adapter"] = str(llama)
    assert "no LoRA adapter" in json.loads(merge_side.merge(json.dumps(asked)))["err"]["message"]


def test_tied_weights_stay_tied_and_are_written_once(llama: Path, tmp_path: Path) -> None:
    model = load(llama)
    perturb(model)
    save_weights(model, tmp_path / "saved")
    assert "lm_head.weight" not in load_file(tmp_path / "saved" / "model.safetensors")
    again = load(tmp_path / "saved").causal_lm
    head, embedding = again.get_output_embeddings(), again.get_input_embeddings()
    assert head is not None
    assert head.weight is embedding.weight


def test_the_reply_lists_every_file_with_its_bytes_and_digest(llama: Path, tmp_path: Path) -> None:
    saved = save_weights(load(llama), tmp_path / "saved")
    on_disk = sorted(path for path in (tmp_path / "saved").iterdir())
    assert [file["name"] for file in saved["files"]] == [path.name for path in on_disk]
    assert saved["bytes"] == sum(path.stat().st_size for path in on_disk)
    assert saved["path"] == str(tmp_path / "saved")
    for file, path in zip(saved["files"], on_disk, strict=True):
        assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_have_the_rights_of_the_umask(llama: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        save_weights(load(llama), tmp_path / "saved")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "saved").iterdir()} == {0o644}


def test_the_digest_of_two_tensors_is_the_one_computed_by_hand() -> None:
    tensors = {"b": torch.tensor([1.0, -2.0]), "a": torch.tensor([[1], [2]], dtype=torch.int8)}
    expected = b'["a","int8",[2,1]]\n\x01\x02' + b'["b","float32",[2]]\n' + struct.pack("<2f", 1, -2)
    assert tensors_digest(tensors) == hashlib.sha256(expected).hexdigest()
    with_base = expected + b'["base","ff"]\n'
    assert tensors_digest(tensors, "ff") == hashlib.sha256(with_base).hexdigest()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_digest_of_a_model_can_be_computed_from_its_files(
    dtype: str, llama: Path, tmp_path: Path
) -> None:
    saved = save_weights(load(llama, dtype=dtype), tmp_path / "saved")
    assert slow_digest(tmp_path / "saved" / "model.safetensors") == saved["weights_digest"]


def test_the_digest_of_an_adapter_covers_its_base_and_does_not_move_with_names(llama: Path) -> None:
    model = load(llama, adapter=adapter_params(r=2))
    first = weights_digest(model)
    assert model.base_digest == weights_digest(load(llama))
    perturb(model)
    assert weights_digest(model) != first
    assert model.base_digest == weights_digest(load(llama))


def test_encoding_between_two_saves_does_not_change_a_byte(llama: Path, tmp_path: Path) -> None:
    model = load(llama)
    first = save_weights(model, tmp_path / "first")
    assert model.tokenizer is not None
    encode(model.tokenizer, [("ab", "cd")])
    model.causal_lm(IDS)
    second = save_weights(model, tmp_path / "second")
    assert first["files"] == second["files"]


@pytest.mark.parametrize("adapter", [None, adapter_params(r=2)])
def test_a_save_of_a_loaded_save_has_the_same_bytes(
    adapter: Adapter | None, llama: Path, tmp_path: Path
) -> None:
    first = save_weights(load(llama, adapter=adapter), tmp_path / "first")
    second = save_weights(load(tmp_path / "first"), tmp_path / "second")
    assert first["files"] == second["files"]


def test_hash_seeds_do_not_change_the_bytes_of_an_adapter(llama: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from py_worker.load import load_model; from py_worker.save import save_weights\n"
        "from bench.records import adapter_params, load_params\n"
        "save_weights(load_model(load_params(sys.argv[1], determinism='off', adapter=adapter_params(r=2))), sys.argv[2])"
    )
    other_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    command = [sys.executable, "-c", program, str(llama), str(tmp_path / "1")]
    child = subprocess.Popen(command, env=os.environ | {"PYTHONHASHSEED": other_seed})
    save_weights(load(llama, determinism="off", adapter=adapter_params(r=2)), tmp_path / "0")
    assert child.wait() == 0
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_training_continues_bit_equal_after_save_and_load(llama: Path, tmp_path: Path) -> None:
    model = load(llama, adapter=adapter_params(r=2, dropout=0.3), seed=1)
    optimizer = torch.optim.AdamW(trained(model).values(), lr=1e-2)
    train(model, optimizer, 3)
    names = list(trained(model))
    state = optimizer.state_dict()["state"]
    tensors = {f"{names[i]}/{key}": value for i, entries in state.items() for key, value in entries.items()}
    save_training_state(model, (tensors, {"steps": 3}), tmp_path / "state")
    train(model, optimizer, 2)

    again = load(tmp_path / "state", seed=99)
    torch.rand(5)
    tensors, meta, rng = load_training_state(tmp_path / "state")
    optimizer = torch.optim.AdamW(trained(again).values(), lr=1e-2)
    entries = ("step", "exp_avg", "exp_avg_sq")
    restored = {
        i: {key: tensors[f"{name}/{key}"] for key in entries} for i, name in enumerate(trained(again))
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": restored})
    restore_rng(rng, again.device)
    train(again, optimizer, 2)
    assert meta == {"steps": 3}
    assert weights_digest(again) == weights_digest(model)


@pytest.mark.parametrize("family", ["weights", "state", "adapter"])
def test_a_flipped_byte_in_any_saved_file_is_found(family: str, llama: Path, tmp_path: Path) -> None:
    directory = tmp_path / "saved"
    model = load(llama, adapter=adapter_params(r=2) if family == "adapter" else None)
    if family == "state":
        saved = save_training_state(model, ({"moment": torch.ones(1000)}, {}), directory)
    else:
        saved = save_weights(model, directory)
    require_as_saved(directory, saved["weights_digest"])
    for file in sorted(directory.iterdir()):
        content = file.read_bytes()
        for place in {0, len(content) // 3, len(content) - 2}:
            flipped = bytearray(content)
            flipped[place] ^= 1
            file.write_bytes(flipped)
            error = refused(lambda: require_as_saved(directory, saved["weights_digest"]))
            assert error.code == "BAD_MODEL"
            assert error.data is not None
            assert error.data["reason"] == "damaged"
            assert file.name == "saved_files.json" or error.data["path"] == str(file)
        file.write_bytes(content)
    require_as_saved(directory, saved["weights_digest"])


def test_what_is_damaged_is_named_with_both_digests_and_what_to_do(llama: Path, tmp_path: Path) -> None:
    directory = tmp_path / "state"
    save_training_state(load(llama), ({"moment": torch.ones(9)}, {}), directory)
    optimizer = directory / "optimizer.safetensors"
    before = hashlib.sha256(optimizer.read_bytes()).hexdigest()
    optimizer.write_bytes(b"other")
    error = refused(lambda: require_as_saved(directory, None))
    found = hashlib.sha256(b"other").hexdigest()
    for word in (str(optimizer), found, before, "Delete the directory"):
        assert word in str(error)
    optimizer.unlink()
    assert "no file found" in str(refused(lambda: require_as_saved(directory, None)))
    (directory / "saved_files.json").unlink()
    assert "saved_files.json is damaged" in str(refused(lambda: require_as_saved(directory, None)))


def test_files_that_others_put_beside_and_directories_of_others_pass(llama: Path, tmp_path: Path) -> None:
    require_as_saved(llama, "ff")
    require_as_saved("an/id", "ff")
    save_weights(load(llama), tmp_path / "saved")
    (tmp_path / "saved" / "README.md").write_text("a card")
    require_as_saved(tmp_path / "saved", None)


def test_weights_alone_are_no_training_state(llama: Path, tmp_path: Path) -> None:
    save_weights(load(llama), tmp_path / "saved")
    assert refused(lambda: load_training_state(tmp_path / "saved")).code == "NOT_FOUND"


def test_nothing_is_overwritten_and_an_empty_directory_is_used(llama: Path, tmp_path: Path) -> None:
    model = load(llama)
    (tmp_path / "empty").mkdir()
    save_weights(model, tmp_path / "empty")
    before = (tmp_path / "empty" / "model.safetensors").stat().st_mtime_ns
    assert refused(lambda: save_weights(model, tmp_path / "empty")).code == "BAD_PARAMS"
    assert (tmp_path / "empty" / "model.safetensors").stat().st_mtime_ns == before
    (tmp_path / "file").write_text("precious")
    assert refused(lambda: save_weights(model, tmp_path / "file")).code == "BAD_PARAMS"
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(
    ("number", "reason", "advice"),
    [
        (errno.ENOSPC, "no_space", "Free space"),
        (errno.EDQUOT, "quota", "quota"),
        (errno.EFBIG, "file_too_large", "ulimit -f"),
        (errno.EROFS, "read_only", "another place"),
        (errno.EACCES, "permission", "change the rights"),
        (errno.EIO, "disk_fault", "check this one"),
        (errno.ENXIO, "other", "another disk"),
    ],
)
def test_a_disk_that_refuses_says_why_and_leaves_nothing(
    number: int, reason: str, advice: str, tmp_path: Path
) -> None:
    for refusal in (OSError(number, "refused"), SafetensorError(f"I/O error: refused (os error {number})")):
        error = refused(lambda refusal=refusal: write_and_raise(tmp_path / "saved", refusal))
        assert error.code == "SAVE_FAILED"
        assert error.data is not None
        assert error.data["reason"] == reason
        assert advice in str(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lack", [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")])
def test_a_lack_of_memory_while_saving_is_no_failure_of_the_disk(lack: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(lack)) as caught:
        write_and_raise(tmp_path / "saved", lack)
    assert caught.value is lack
    assert list(tmp_path.iterdir()) == []


def write_and_raise(target: Path, error: Exception) -> None:
    with atomic_directory(target, 0) as directory:
        (directory / "half").write_text("written")
        raise error


def test_a_name_that_is_too_long_is_a_failed_save(llama: Path, tmp_path: Path) -> None:
    error = refused(lambda: save_weights(load(llama), tmp_path / ("x" * 300)))
    assert error.code == "SAVE_FAILED"
    assert error.data is not None
    assert error.data["reason"] == "name_too_long"


def test_a_save_that_another_process_was_quicker_with_says_so_and_touches_nothing(tmp_path: Path) -> None:
    target = tmp_path / "saved"

    def lose() -> None:
        with atomic_directory(target, 0) as directory:
            (directory / "mine").write_text("")
            target.mkdir()
            (target / "theirs").write_text("")

    error = refused(lose)
    assert error.code == "SAVE_FAILED"
    assert error.data == {"path": str(target), "reason": "exists"}
    assert "another process" in str(error)
    assert "Free space" not in str(error)
    assert [path.name for path in tmp_path.rglob("*")] == ["saved", "theirs"]
    error = refused(lambda: write_and_raise(target, ValueError()))
    assert (error.code, error.data) == ("BAD_PARAMS", {"path": str(target), "reason": "exists"})


def test_an_unfinished_save_is_removed_unless_a_process_in_another_container_writes_it(
    tmp_path: Path,
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    unfinished = tmp_path / f"saved.tms-{ended.pid}-0a1b2c3d.part"
    for name in (unfinished.name, "saved.part", f"saved.tms-{ended.pid}.part", "saved.tmp-1-0a1b2c3d"):
        (tmp_path / name).mkdir()
    writer = os.open(unfinished, os.O_RDONLY)
    fcntl.flock(writer, fcntl.LOCK_EX)  # what the other process holds; its pid means nothing here
    with atomic_directory(tmp_path / "saved", 0):
        assert unfinished.exists()
    os.close(writer)
    (tmp_path / "saved").rmdir()
    with atomic_directory(tmp_path / "saved", 0):
        assert not unfinished.exists()
    assert len(list(tmp_path.iterdir())) == 4  # saved, and three that are not ours


def test_loading_and_saving_on_the_cpu_start_no_thread(llama: Path, tmp_path: Path) -> None:
    """Where memory is short CPython waits for ever for a thread that could not say that it started."""

    def without_threads() -> None:
        def refuse(event: str, _: object) -> None:
            if event.startswith("_thread.start"):
                raise RuntimeError("a thread was started")

        sys.addaudithook(refuse)
        save_training_state(load(llama), ({"moment": torch.ones(9)}, {}), tmp_path / "saved")

    assert in_child(without_threads) == 0
    assert (tmp_path / "saved" / "training_state.json").exists()


def test_a_path_that_cannot_be_made_is_a_failed_save(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refused(lambda: save_weights(load(llama), tmp_path / "file" / "below"))
    assert error.code == "SAVE_FAILED"


@pytest.mark.parametrize("limit", [300, 2_000, 20_000, 80_000])
def test_a_write_that_fails_anywhere_leaves_nothing(limit: int, llama: Path, tmp_path: Path) -> None:
    model = load(llama)

    def save_limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        error = refused(
            lambda: save_training_state(model, ({"moment": torch.ones(9)}, {}), tmp_path / "saved")
        )
        assert error.code == "SAVE_FAILED"
        assert error.data is not None
        assert error.data["bytes_needed"] > 80_000
        assert error.data["bytes_free"] > 0
        assert error.data["reason"] == "file_too_large"
        assert "ulimit -f" in str(error)

    assert in_child(save_limited) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root to mount a small disk")
@pytest.mark.parametrize("filler_bytes", [0, 1_000_000])
def test_a_full_disk_is_a_failed_save(filler_bytes: int, tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "model", hidden_size=128, intermediate_size=256))
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        (disk / "filler").write_bytes(bytes(filler_bytes))
        error = refused(lambda: save_weights(model, disk / "saved"))
        assert error.code == "SAVE_FAILED"
        assert error.data is not None
        assert error.data["bytes_free"] < error.data["bytes_needed"]
        assert [path.name for path in disk.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_process_killed_while_writing_leaves_nothing_at_the_target(llama: Path, tmp_path: Path) -> None:
    model = load(llama)

    def die_writing() -> None:
        # the kernel kills the process in the middle of the first file that grows beyond this
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        save_weights(model, tmp_path / "saved")

    assert in_child(die_writing) == -signal.SIGXFSZ
    (abandoned,) = tmp_path.iterdir()
    assert "unfinished save" in str(refused(lambda: load(abandoned)))
    assert refused(lambda: load(tmp_path / "saved")).code == "NOT_FOUND"
    save_weights(model, tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_a_kill_at_any_moment_leaves_all_or_nothing(llama: Path, tmp_path: Path) -> None:
    model = load(llama)
    digest = weights_digest(model)
    complete = []
    for attempt, delay in enumerate((0.0, 0.002, 0.005, 0.01, 0.02, 0.04, None)):
        target = tmp_path / str(attempt)
        child = fork(lambda target=target: save_weights(model, target))
        if delay is not None:
            time.sleep(delay)  # whichever moment it is: what must hold holds at all of them
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        complete.append(target.exists())
        if target.exists():
            assert weights_digest(load(target)) == digest
    assert complete[-1]


def trained(model: Model) -> dict[str, torch.nn.Parameter]:
    return {
        name: parameter for name, parameter in model.trained.named_parameters() if parameter.requires_grad
    }


def train(model: Model, optimizer: torch.optim.Optimizer, steps: int) -> None:
    model.network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        logits = model.trained(IDS).logits
        torch.nn.functional.cross_entropy(logits[0, :-1], IDS[0, 1:]).backward()
        optimizer.step()
    model.network.eval()


def perturb(model: Model) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)


def fork(act: Callable[[], Any]) -> int:
    """Run ``act`` in a copy of this process, which then ends without pytest's own ending; return its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        act()
        status = 0
    finally:
        os._exit(status)


def in_child(act: Callable[[], Any]) -> int:
    """Return the exit status of ``act`` in a copy of this process, negative for a signal."""
    _, status = os.waitpid(fork(act), 0)
    return os.waitstatus_to_exitcode(status)
