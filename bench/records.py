"""Records of the protocol with the settings that benchmarks and tests leave as they are: on the wire every field is sent."""

from __future__ import annotations

from typing import Any

from py_worker.protocol import Adamw, Adapter, LoadParams, Muon


def load_params(model: str, **changes: Any) -> LoadParams:
    """Return what loads ``model`` in float32, its weights updated as they are computed with; ``changes`` are fields of LoadParams."""
    dtype = changes.get("dtype", "float32")
    settings: dict[str, Any] = {
        "revision": None,
        "dtype": dtype,
        "compute_dtype": dtype,
        "rounding": "stochastic",
        "device": "auto",
        "attention": "auto",
        "trust_remote_code": False,
        "adapter": None,
        "quantization": None,
        "gradient_checkpointing": False,
        "torch_compile": False,
        "token_budget": None,
        "layout": "auto",
        "determinism": "auto",
        "strict_sampling": None,
        "threads": None,
        "seed": 0,
        "restore_training_state": False,
        "digest": False,
        "expected_digest": None,
        "blend": None,
    }
    return LoadParams(model=model, **(settings | changes))


def adapter_params(**changes: Any) -> Adapter:
    """Return a new adapter of rank 16."""
    settings: dict[str, Any] = {"r": 16, "alpha": 32.0, "dropout": 0.0, "target_modules": None}
    more: dict[str, Any] = {"use_rslora": False, "use_dora": False, "modules_to_save": None, "seed": 0}
    return Adapter(**(settings | more | changes))


def adamw_params(learning_rate: float, **changes: Any) -> Adamw:
    """Return the settings of AdamW."""
    settings: dict[str, Any] = {
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "weight_decay": 0.0,
        "eight_bit": False,
    }
    return Adamw(learning_rate=learning_rate, **(settings | changes))


def muon_params(learning_rate: float, **changes: Any) -> Muon:
    """Return the settings of Muon."""
    settings: dict[str, Any] = {"momentum": 0.95, "nesterov": True, "ns_steps": 5, "weight_decay": 0.0}
    return Muon(learning_rate=learning_rate, **(settings | {"adjust_learning_rate": "original"} | changes))
