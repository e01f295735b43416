"""`tms merge`, in the side process: an adapter and its base become one model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from py_worker.side import RefusedError, rpc


@rpc
def merge(adapter: str, into: str, dtype: str) -> dict[str, Any]:
    """Write the merged model to ``into``, a new directory; ``dtype`` is of its weights."""
    import torch  # the side process starts without it

    from py_worker.atomic import atomic_directory, list_files
    from py_worker.errors import WorkerError
    from py_worker.merge import merged
    from py_worker.pretrained import load_config, load_tokenizer
    from py_worker.source import base_of_adapter, find_source, weight_files

    try:
        source = find_source(adapter)
        if not source.is_adapter:
            raise RefusedError(
                f"{adapter} is no LoRA adapter: it has no adapter_config.json",
                "a model without one is whole already",
            )
        base = base_of_adapter(source)
        config = load_config(base, trust_remote_code=False)
        tokenizer = load_tokenizer([source, base], trust_remote_code=False, is_required=False)
        bytes_needed = sum(file.stat().st_size for file in weight_files(base.directory))
        with atomic_directory(Path(into).expanduser().absolute(), bytes_needed) as directory:
            merged(source, config, None, base=base, dtype=getattr(torch, dtype), into=directory)
            if tokenizer is not None:
                tokenizer.save_pretrained(directory)
            files = list_files(directory)
    except WorkerError as error:
        raise RefusedError(
            str(error), "tms merge takes the directory of a LoRA adapter, and a new directory"
        ) from error
    return {"path": into, "base": base.name, "bytes": sum(file["bytes"] for file in files)}
