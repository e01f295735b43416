"""Weights between those of two models, against weights that are computed here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from builders import write_model
from conftest import no_check, random_sequences
from huggingface_hub import constants
from peft import PeftModel

from bench.records import adapter_params, load_params
from py_worker.blend import blend
from py_worker.digest import saved_tensors
from py_worker.errors import WorkerError
from py_worker.kept import shown
from py_worker.load import find_other, load_model
from py_worker.model import Model
from py_worker.protocol import Blend, KeepParams, LoadParams
from py_worker.save import save_weights
from py_worker.score import score
from py_worker.source import find_source
from py_worker.verbs import Session

IDS = torch.tensor([[5, 40, 41, 42, 60, 61]])


def params(path: Path | str, **options: Any) -> LoadParams:
    return load_params(str(path), determinism="seeded", device="cpu", **options)


def load(path: Path | str, **options: Any) -> Model:
    return load_model(params(path, **options))


def mix(model: Model, path: Path, other: Path, share: float) -> None:
    blend(model, find_source(str(path)), find_other(params(path), str(other), None), share=share)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed in (0, 1):
        write_model(folder / str(seed), seed=seed)
    return folder


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_every_weight_is_a_share_of_each(models: Path, compute: str) -> None:
    one, other = load(models / "0", compute_dtype=compute), load(models / "1")
    before = {name: tensor.clone() for name, tensor in saved_tensors(one).items()}
    mix(one, models / "0", models / "1", 0.25)
    after = saved_tensors(one)
    for name, theirs in saved_tensors(other).items():
        torch.testing.assert_close(after[name], 0.75 * before[name] + 0.25 * theirs)
    head = one.causal_lm.get_parameter("lm_head.weight")  # what computes has the new weights too
    torch.testing.assert_close(head.float(), after["lm_head.weight"], rtol=1e-2, atol=1e-2)


def test_an_adapter_has_the_logits_of_weights_between(models: Path, tmp_path: Path) -> None:
    tuned = load(models / "0", adapter=adapter_params())
    with torch.no_grad():
        for name, parameter in tuned.trained.named_parameters():
            if "lora_B" in name:
                parameter.copy_(
                    torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
                )
    save_weights(tuned, tmp_path / "adapter")
    expected = load(models / "0").causal_lm
    assert isinstance(tuned.trained, PeftModel)
    merged: Any = tuned.trained.merge_and_unload()
    with torch.no_grad():
        for own, other in zip(expected.parameters(), merged.parameters(), strict=True):
            own.lerp_(other, 0.3)
    found = load(tmp_path / "adapter")
    mix(found, tmp_path / "adapter", models / "0", 0.7)
    torch.testing.assert_close(found.trained(IDS).logits, expected(IDS).logits, rtol=1e-4, atol=1e-4)
    with pytest.raises(WorkerError, match=r"only with the model that .* was trained on"):
        mix(found, tmp_path / "adapter", models / "1", 0.7)
    with pytest.raises(WorkerError, match="it is an adapter"):
        mix(load(models / "0"), models / "0", tmp_path / "adapter", 0.5)


def test_another_shape_is_refused_before_anything_changes(models: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "wide", intermediate_size=96)
    model = load(models / "0")
    logits = model.causal_lm(IDS).logits
    with pytest.raises(WorkerError, match="other names or shapes"):
        mix(model, models / "0", tmp_path / "wide", 0.5)
    assert torch.equal(model.causal_lm(IDS).logits, logits)


JOB: Any = SimpleNamespace(check=no_check)


def test_another_model_of_the_hub_is_of_the_revision_that_was_named(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "models--org--tiny"
    for commit, name in (("a" * 40, "main"), ("b" * 40, "v1")):
        write_model(cache / "snapshots" / commit, seed=0 if name == "main" else 1)
        (cache / "refs").mkdir(exist_ok=True)
        (cache / "refs" / name).write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    tuned = write_model(tmp_path / "tuned", seed=2)
    weights = {name: saved_tensors(load(path)) for name, path in (("v1", models / "1"), ("tuned", tuned))}

    session = Session()
    session.load(params(tuned, blend=Blend(model="org/tiny", revision="v1", share=0.25)), {}, JOB)
    for name, found in saved_tensors(session.model).items():
        torch.testing.assert_close(found, 0.75 * weights["tuned"][name] + 0.25 * weights["v1"][name])

    session.load(params("org/tiny", revision="v1", adapter=adapter_params()), {}, JOB)
    session.keep(KeepParams(model="org/tiny", revision="v1", share=1.0), {}, JOB)
    with pytest.raises(WorkerError, match="the model that it stands on"):
        session.keep(KeepParams(model="org/tiny", revision="main", share=1.0), {}, JOB)
    save_weights(session.model, tmp_path / "adapter")
    session.load(
        params(tmp_path / "adapter", blend=Blend(model="org/tiny", revision="v1", share=0.5)), {}, JOB
    )

    session.load(params(tuned), {}, JOB)
    session.keep(KeepParams(model="org/tiny", revision="v1", share=1.0), {}, JOB)
    sequences = random_sequences([9, 4])
    with shown(session.model, session._kept):
        found = score(session.model, *sequences, False, no_check)[0]
    np.testing.assert_allclose(found, score(load(models / "1"), *sequences, False, no_check)[0], atol=1e-5)
