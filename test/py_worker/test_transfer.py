from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Factory, Sequences, no_check
from plain_loop import NORMALIZERS, weighted

from py_worker import score, train, transfer
from py_worker.train import GradientOptions, accumulate_gradients


def test_arrays_of_all_kinds_share_one_copy():
    arrays = [np.arange(3), np.zeros(0, np.float32), np.array([[1.5], [2.5]], np.float32), np.array([[8, 7]])]
    tensors = transfer._together([torch.from_numpy(array.copy()) for array in arrays], torch.device("cpu"))
    assert [tensor.tolist() for tensor in tensors] == [[0, 1, 2], [], [[1.5], [2.5]], [[8, 7]]]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1
    assert all(tensor.data_ptr() % 16 == 0 for tensor in tensors)


def test_a_request_crosses_to_the_device_once_and_back_once(
    tiny_model: Factory, sequences: Sequences, monkeypatch: pytest.MonkeyPatch
):
    crossings: list[str] = []

    def counted(name: str) -> Any:
        plain = getattr(transfer, name)

        def run(*arguments: Any) -> Any:
            crossings.append(name)
            return plain(*arguments)

        return run

    for name in ("to_device", "to_host"):
        for module in (train, score):
            monkeypatch.setattr(module, name, counted(name))
    for name in ("item", "cpu", "tolist", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, _refused(name, getattr(torch.Tensor, name)))
    model = tiny_model(token_budget=40)
    options = GradientOptions(logprobs=True, entropy=True)
    report = accumulate_gradients(model, weighted(sequences), NORMALIZERS, options, no_check)
    assert report.micro_batches > 2
    assert crossings == ["to_device", "to_host"]
    score.score(model, *sequences, True, no_check)
    assert crossings == 2 * ["to_device", "to_host"]


def _refused(name: str, plain: Any) -> Any:
    def run(tensor: torch.Tensor, *arguments: Any) -> Any:
        caller = inspect.stack()[1]
        allowed = ("transfer.py", "/torch/", "transformers")
        assert any(place in caller.filename for place in allowed), f"{name} in {caller.filename}"
        return plain(tensor, *arguments)

    return run
