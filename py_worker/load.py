"""Load a causal language model, its tokenizer and its adapter, and find out how it can be run."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from py_worker import grouped_heads
from py_worker.batch import probe_packing, probe_varlen
from py_worker.compile import compile_layers
from py_worker.describe import declared_eos, is_token_id
from py_worker.digest import unique_tensors
from py_worker.errors import WorkerError
from py_worker.four_bit import four_bits
from py_worker.generate_probe import probe_row_cache, probe_strict
from py_worker.model import Model
from py_worker.network import Network
from py_worker.pretrained import Placement, load_causal_lm, load_config, load_tokenizer
from py_worker.protocol import LoadParams
from py_worker.soundness import require_sound, unlike_vocabularies
from py_worker.source import Source, base_of_adapter, files_digest, find_source
from py_worker.token_budget import CPU_TOKENS, default_token_budget, set_checkpointing
from py_worker.varlen import find_kernel, install

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_model(params: LoadParams, *, needs_tokenizer: bool = True) -> Model:
    """Load a model in evaluation mode; every fallback is a sentence in ``notes``.

    Raises NOT_FOUND (nothing there), BAD_MODEL (there but unusable) or BAD_PARAMS (an option does not fit).
    """
    determinism = _choose_determinism(params, _choose_device(params.device))
    _apply_determinism(determinism)
    if params.threads is not None:
        torch.set_num_threads(params.threads)
    model = read_weights(params, needs_tokenizer=needs_tokenizer)
    model.may_halve_budget = params.token_budget is None and determinism != "strict"
    is_strict = determinism == "strict" if params.strict_sampling is None else params.strict_sampling
    _probe(
        model,
        is_strict,
        is_demanded=is_strict and (params.strict_sampling or params.determinism == "strict"),
    )
    model.layout = _choose_layout(model, params.layout)
    model.varlen = params.attention == "auto" and _can_name_sequences(model)
    set_checkpointing(model, params.gradient_checkpointing)
    if params.token_budget is None:
        model.token_budget = default_token_budget(model)
    if params.torch_compile:
        compile_layers(model)
    if determinism != "off":
        torch.manual_seed(params.seed)
    return model


def read_weights(params: LoadParams, *, needs_tokenizer: bool = False) -> Model:
    """Load a model and find out nothing of how it runs: enough where its weights are only read. Raises as ``load_model``."""
    transformers_logging.disable_progress_bar()
    grouped_heads.install()
    notes: list[str] = []
    device = _choose_device(params.device)
    dtype, compute_dtype = choose_dtypes(params, device)
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(
            False
        )  # it makes a plan for every new shape, a quarter of a second each
    source = find_source(params.model, params.revision)
    base = base_of_adapter(source) if source.is_adapter else source
    config = load_config(base, params.trust_remote_code)
    tokenizer = load_tokenizer([source, base], params.trust_remote_code, needs_tokenizer)
    # What an adapter leaves as it is is only computed with.
    is_frozen = source.is_adapter or params.adapter is not None
    held = compute_dtype if is_frozen else dtype
    bits = four_bits(params.quantization, is_adapter=is_frozen, compute_dtype=compute_dtype)
    placement = Placement(device, held, params.attention, params.trust_remote_code, bits)
    causal_lm = load_causal_lm(base, config, placement, notes)
    plain_tensors = unique_tensors(causal_lm.state_dict(keep_vars=True))
    with warnings.catch_warnings(record=True) as caught:
        trained = _wrap_adapter(causal_lm, params, source, base)
    notes += [str(warning.message) for warning in caught]
    text_config = causal_lm.config.get_text_config()
    model = Model(
        network=Network(trained, causal_lm, compute_dtype),
        tokenizer=tokenizer,
        device=device,
        vocab_size=text_config.vocab_size,
        max_positions=getattr(text_config, "max_position_embeddings", None),
        token_budget=params.token_budget or CPU_TOKENS,
        base_tensors=None if trained is causal_lm else plain_tensors,
        rounding=params.rounding,
        files_digest=files_digest([base.directory, source.directory]),
        notes=notes,
    )
    require_sound(model, str(source.directory))
    return model


@dataclass(frozen=True)
class Other:
    """Another model than the one that is loaded: its files, which are there, and its weights, loaded where they are needed."""

    source: Source
    weights: Callable[[], Model]


def find_other(params: LoadParams, name: str, revision: str | None) -> Other:
    """Find a directory or hub id whose weights are loaded as ``params`` say; raises as ``find_source``."""
    source = find_source(name, revision)
    plain = msgspec.structs.replace(
        params, model=str(source.directory), revision=None, adapter=None, blend=None
    )
    return Other(source, lambda: read_weights(plain))


def _wrap_adapter(causal_lm: PreTrainedModel, params: LoadParams, source: Source, base: Source) -> nn.Module:
    if source.is_adapter and params.adapter:
        raise WorkerError(
            "BAD_PARAMS", f"adapter must be null: {source.directory} is an adapter, which is trained on."
        )
    if not source.is_adapter and not params.adapter:
        return causal_lm
    try:
        from py_worker.adapter import new_adapter, saved_adapter
    except ImportError as missing:
        raise WorkerError("NOT_FOUND", f"{missing}, which adapters need; run `tms setup`") from missing

    if params.adapter:
        return new_adapter(causal_lm, params.adapter, base.name, params.revision)
    return saved_adapter(causal_lm, source, base.name)


def _choose_device(asked: str) -> torch.device:
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = asked.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise WorkerError("BAD_PARAMS", f"device {asked!r} is unknown; use auto, cpu, cuda or cuda:N.")
    if kind == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(index or 0)
    if number >= count:
        built = torch.version.cuda or "no CUDA"
        raise WorkerError(
            "BAD_PARAMS",
            f"device {asked!r} is not there: torch {torch.__version__} (built with {built}) sees {count} CUDA devices. "
            "Use device cpu, or check the driver, CUDA_VISIBLE_DEVICES and the torch build.",
        )
    return torch.device("cuda", number)


def choose_dtypes(params: LoadParams, device: torch.device) -> tuple[torch.dtype, torch.dtype]:
    """Return the dtypes of weights and of matrix products; raise BAD_PARAMS for a pair that does not fit."""
    compute = params.compute_dtype
    if compute == "auto":
        compute = "bfloat16" if _has_bfloat16(device) else params.dtype
    if params.dtype == "bfloat16" and compute == "float32":
        raise WorkerError(
            "BAD_PARAMS", "compute_dtype float32 needs dtype float32: bfloat16 weights have lost the bits."
        )
    return DTYPES[params.dtype], DTYPES[compute]


def _has_bfloat16(device: torch.device) -> bool:
    """Say whether it has units for it: NVIDIA since Ampere. A CPU computes in it too, but seldom faster."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _choose_determinism(params: LoadParams, device: torch.device) -> str:
    if params.determinism == "auto":
        return "strict" if device.type == "cpu" else "seeded"
    return params.determinism


def _apply_determinism(determinism: str) -> None:
    torch.use_deterministic_algorithms(determinism == "strict")
    # An aid to find reads of unwritten memory, which costs a pass over every new tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def _probe(model: Model, is_strict: bool, *, is_demanded: bool) -> None:
    """Find out by trying how the model can be run; raise BAD_PARAMS where strictness is demanded and does not hold."""
    notes, tokenizer = model.notes, model.tokenizer
    if tokenizer is None:
        notes.append("The model has no tokenizer: texts cannot be encoded or decoded.")
    else:
        notes += unlike_vocabularies(model, tokenizer)
    ignored = [token for token in declared_eos(model) if not is_token_id(model, token)]
    if ignored:
        notes.append(f"eos_token_id: {ignored} are ignored, they are no ids of this model.")
    model.network.find_head(model.vocab_size)
    if model.network.head.whole is not None:
        notes.append("The model does more than its head after the backbone: losses are computed more slowly.")
    model.row_cache = probe_row_cache(model)
    if not model.row_cache:
        notes.append("The model keeps more than keys and values: sampling groups prompts by length.")
    model.strict = is_strict and probe_strict(model)
    if is_strict and not model.strict:
        branch = os.environ.get("MKL_CBWR", "not set")
        setting = f" (MKL_CBWR is {branch})" if model.device.type == "cpu" else ""
        found = f"sampling is not strict: here answers depend on their neighbours in a batch{setting}"
        if is_demanded:
            fix = "use determinism seeded, or auto to take what holds; sampler.strict false keeps strict training"
            raise WorkerError("BAD_PARAMS", f"{found}; {fix}.")
        notes.append(f"{found[0].upper()}{found[1:]}.")


def _can_name_sequences(model: Model) -> bool:
    """Turn variable-length attention on for packed rows where this device has it and it computes what sdpa does."""
    config, kernel = model.causal_lm.config, find_kernel()
    own = config._attn_implementation  # as transformers itself reads it
    is_half = model.compute_dtype in (torch.bfloat16, torch.float16)
    if (
        kernel is None
        or model.device.type != "cuda"
        or not is_half
        or model.layout != "pack"
        or own != "sdpa"
    ):
        return False
    install(config, kernel)
    if probe_varlen(model):
        return True
    config._attn_implementation = own
    model.notes.append(
        "Packed rows attend through a mask: variable-length attention does not fit this model."
    )
    return False


def _choose_layout(model: Model, asked: str) -> str:
    if asked == "bucket" or (asked == "auto" and model.device.type == "cpu"):
        return "bucket"
    if probe_packing(model):
        return "pack"
    if asked == "pack":
        raise WorkerError(
            "BAD_PARAMS", "layout 'pack' would let sequences of this model see each other; use bucket."
        )
    model.notes.append("layout is bucket: packed sequences of this model would see each other.")
    return "bucket"
