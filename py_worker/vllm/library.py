"""All of vLLM that is used, in one place: the trainer's environment has none, so type checkers know nothing of it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_vllm: Any = import_module("vllm")
_platform: Any = import_module("vllm.platforms").current_platform

LLM: Any = _vllm.LLM
SamplingParams: Any = _vllm.SamplingParams
RequestOutputKind: Any = import_module("vllm.sampling_params").RequestOutputKind
VERSION: str = _vllm.__version__


def is_cpu() -> bool:
    """Say whether this vLLM computes on the CPU."""
    return _platform.device_type == "cpu"


def device_name() -> str:
    """Return the name of what it computes on."""
    return "cpu" if is_cpu() else _platform.get_device_name()


def has_bfloat16_units() -> bool:
    """Say whether products in bfloat16 are fast: on NVIDIA since Ampere."""
    return not is_cpu() and bool(_platform.has_device_capability(80))


def is_batch_invariant() -> bool:
    """Say whether it was told to compute each row by itself; it refuses devices and models where it cannot."""
    return not is_cpu() and bool(getattr(import_module("vllm.envs"), "VLLM_BATCH_INVARIANT", False))
