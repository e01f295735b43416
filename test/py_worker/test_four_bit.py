"""QLoRA on a CPU, by bitsandbytes itself; without it only the refusals are tested."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import write_model
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from bench.records import adamw_params, adapter_params, load_params
from py_worker import optim
from py_worker.describe import describe
from py_worker.digest import tensors_digest, weights_digest
from py_worker.errors import WorkerError
from py_worker.load import load_model
from py_worker.model import Model
from py_worker.protocol import Quantization
from py_worker.save import save_weights
from py_worker.sequences import WeightedSequences
from py_worker.train import GradientOptions, accumulate_gradients

NF4 = Quantization(quant_type="nf4", double_quant=True)


def load(directory: Path, **options: Any) -> Model:
    defaults: dict[str, Any] = {"device": "cpu", "determinism": "seeded", "quantization": NF4}
    return load_model(load_params(str(directory), **defaults | options))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "wide", hidden_size=64, intermediate_size=128)


def loss(model: Model) -> float:
    ids = np.arange(24, dtype=np.int32) + 5
    weights = np.ones(24, np.float32)
    weights[[0, 12]] = 0
    batch = WeightedSequences(ids, np.array([0, 12, 24], dtype=np.int64), {"ce": weights})
    report = accumulate_gradients(model, batch, {"ce": 22.0}, GradientOptions(), lambda: None)
    return report.components["ce"].loss_sum / 22.0


def test_an_adapter_learns_on_weights_in_four_bits_which_stay_as_they_are(wide: Path, tmp_path: Path) -> None:
    bnb = pytest.importorskip("bitsandbytes", reason="tms setup --with bitsandbytes")
    model = load(wide, adapter=adapter_params())
    own = load_file(wide / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    held: Any = dict(model.causal_lm.named_parameters())["model.layers.0.self_attn.q_proj.base_layer.weight"]
    assert (held.dtype, held.numel()) == (torch.uint8, 64 * 64 // 2)
    back = bnb.functional.dequantize_4bit(held.data, held.quant_state)
    # The widest gap of NF4 (arXiv 2305.14314, appendix E) is 0.304, between -1 and -0.696: half of it times the largest weight of a block of 64.
    blocks = own[name].reshape(-1, 64)
    most = (0.16 * blocks.abs().amax(1, keepdim=True)).expand_as(blocks).reshape(64, 64)
    assert ((back - own[name]).abs() <= most).all()
    whole = load(wide, adapter=adapter_params(), quantization=None)
    assert describe(model)["parameter_count"] == describe(whole)["parameter_count"]
    assert model.base_tensors is not None
    before = tensors_digest(model.base_tensors)
    state, losses = optim.OptimizerState(), []
    for _ in range(8):
        losses.append(loss(model))
        optim.step(model, state, adamw_params(2e-2), None, None)
    assert losses[-1] < losses[0] - 0.3
    assert tensors_digest(model.base_tensors) == before
    saved = tmp_path / "adapter"
    save_weights(model, saved)
    again = load(saved)
    assert weights_digest(again) == weights_digest(model)
    assert weights_digest(load(saved, quantization=None)) != weights_digest(model)
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(wide), saved)
    assert {n for n, _ in plain.named_parameters() if "lora" in n} >= {
        f"base_model.model.{name[:-7]}.lora_A.default.weight"
    }


def test_what_four_bits_cannot_do_is_refused(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        WorkerError, match=r"in 4 bits do not learn.*use_peft: true.*load_in_4bit: false"
    ) as caught:
        load(wide)
    assert caught.value.code == "BAD_PARAMS"
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(
        WorkerError, match=r"load_in_4bit needs .*bitsandbytes.*tms setup --with bitsandbytes"
    ) as caught:
        load(wide, adapter=adapter_params())
    assert caught.value.code == "NOT_FOUND"
