"""Weights between those of two models, against weights that are computed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from builders import write_model
from peft import PeftModel

from bench.records import adapter_params, load_params
from py_worker.blend import blend
from py_worker.digest import saved_tensors
from py_worker.errors import WorkerError
from py_worker.load import load_model
from py_worker.model import Model
from py_worker.protocol import Blend
from py_worker.save import save_weights

IDS = torch.tensor([[5, 40, 41, 42, 60, 61]])


def load(path: Path | str, **options: Any) -> Model:
    return load_model(load_params(str(path), determinism="seeded", device="cpu", **options))


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
    blend(one, str(models / "0"), Blend(model=str(models / "1"), share=0.25), load)
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
    blend(found, str(tmp_path / "adapter"), Blend(model=str(models / "0"), share=0.7), load)
    torch.testing.assert_close(found.trained(IDS).logits, expected(IDS).logits, rtol=1e-4, atol=1e-4)
    with pytest.raises(WorkerError, match=r"only with the model that .* was trained on"):
        blend(found, str(tmp_path / "adapter"), Blend(model=str(models / "1"), share=0.7), load)
    with pytest.raises(WorkerError, match="it is an adapter"):
        blend(load(models / "0"), str(models / "0"), Blend(model=str(tmp_path / "adapter"), share=0.5), load)


def test_another_shape_is_refused_before_anything_changes(models: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "wide", intermediate_size=96)
    model = load(models / "0")
    logits = model.causal_lm(IDS).logits
    with pytest.raises(WorkerError, match="other names or shapes"):
        blend(model, str(models / "0"), Blend(model=str(tmp_path / "wide"), share=0.5), load)
    assert torch.equal(model.causal_lm(IDS).logits, logits)
