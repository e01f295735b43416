"""Full weights of an adapter and its base in one directory: for engines and tools that take no adapters, or score them wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft.utils import get_peft_model_state_dict
from transformers import PreTrainedConfig

from py_worker.adapter import new_adapter, saved_adapter
from py_worker.digest import tensors_digest, unique_tensors
from py_worker.errors import WorkerError, from_library, one_line
from py_worker.pretrained import Placement, load_causal_lm
from py_worker.protocol import Adapter
from py_worker.source import Source


def merged(
    source: Source,
    config: PreTrainedConfig,
    adapter: Adapter | None,
    *,
    base: Source,
    dtype: torch.dtype,
    into: Path,
) -> str:
    """Write them, and return the digest that the PyTorch worker gives the adapter with the weights under it.

    ``adapter`` is a new one on ``base``; None: the saved one of ``source``.
    """
    placement = Placement(torch.device("cpu"), dtype, "auto", trust_remote_code=False)
    causal_lm = load_causal_lm(base, config, placement, [])
    under = tensors_digest(unique_tensors(causal_lm.state_dict()))
    network: Any = (
        saved_adapter(causal_lm, source, base.name)
        if adapter is None
        else new_adapter(causal_lm, adapter, base.name)
    )
    digest = tensors_digest(get_peft_model_state_dict(network, save_embedding_layers=False), under)

    def explain(error: BaseException) -> WorkerError:
        return WorkerError(
            "BAD_MODEL",
            f"The adapter {source.directory} cannot be merged into its base: {one_line(error)}.",
        )

    with from_library(explain):
        network.merge_and_unload().save_pretrained(str(into))
    return digest
