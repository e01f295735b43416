"""Find out at load how a model may be sampled: by trying, not by its name.

Shape suffixes: T tokens, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch

from py_worker.attention_kind import UNFIT, has_plain_layers, independent_positions, narrowed
from py_worker.generate import generate
from py_worker.kv_cache import RowCache
from py_worker.model import Model
from py_worker.network import Inputs
from py_worker.step import SLOT_MULTIPLE, prompt_logits, step_logits
from py_worker.strict import probe_products

PROBE_STEPS = 3
PROBED_WINDOW = 5
TOLERANCES = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Largest difference of log-probabilities; 0.15 for half precision."""


@torch.inference_mode()
def probe_row_cache(model: Model) -> bool:
    """Say whether right-padded rows of unlike length in a row cache give the log-probabilities of plain forward passes.

    False for recurrent states; else the bytes of a slot are noted in the model. Windows are narrowed for it, so that some slots lie before them. Costs a few forward passes of
    ten ids.
    """
    if not has_plain_layers(model):
        return False
    lengths = np.array([7, 4])
    total = int(lengths.max()) + PROBE_STEPS
    if model.max_positions is not None and model.max_positions < total:
        return False
    ids_2T = np.random.default_rng(0).integers(model.vocab_size, size=(2, total))
    with narrowed(model, PROBED_WINDOW):
        try:
            cached = _cached_logprobs(model, ids_2T, lengths)
        except UNFIT:
            return False  # the model does not take our cache or mask
        rows = [_plain_logprobs(model, ids_2T[row], length) for row, length in enumerate(lengths)]
    difference = (cached - torch.stack(rows, 1)).abs().max().item()
    return difference <= TOLERANCES.get(model.compute_dtype, 0.15)


def probe_strict(model: Model) -> bool:
    """Say whether answers are bit-equal alone, reversed and in batches of other sizes, on this machine as it is set up.

    Leaves ``model.strict`` as it was. Always false without a row cache. Costs a dozen steps of up to seven rows.
    """
    limits = (model.max_positions, independent_positions(model))
    if None not in limits and limits[0] != limits[1]:
        return False  # longer answers depend on their batch
    room = (model.max_positions or 64) - PROBE_STEPS
    # A GPU samples with products of one shape, so it needs none that are alike in several.
    is_alike = model.device.type == "cuda" or probe_products(model.causal_lm)
    if not model.row_cache or room < 1 or not is_alike:
        return False
    lengths = np.minimum([3, 17, 1, 9, 20, 16, 5], room)
    generator = np.random.default_rng(0)
    prompts = [generator.integers(model.vocab_size, size=length).astype(np.int32) for length in lengths]
    before, model.strict = model.strict, True
    try:
        together = _answers(model, prompts, range(7), 7)
        others = [
            _answers(model, prompts, order, rows)
            for order, rows in ((range(6, -1, -1), 5), ([3], 1), ([4], 1))
        ]
        return all(together[index] == answer for other in others for index, answer in other.items())
    finally:
        model.strict = before


def _cached_logprobs(model: Model, ids_2T: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
    """Return [1 + steps, 2, V]: after the prompts, and after each further id."""
    cache = RowCache(model, 4, SLOT_MULTIPLE)
    prompts = np.where(np.arange(lengths.max()) < lengths[:, None], ids_2T[:, : lengths.max()], 0)
    steps = [prompt_logits(model, cache, 0, prompts, lengths)]
    for step in range(PROBE_STEPS):
        positions = lengths + step
        next_ids = torch.from_numpy(ids_2T[np.arange(2), positions]).to(model.device)
        positions_2 = torch.from_numpy(positions).to(model.device)
        cache.start_step(positions_2, cache.slots, None)
        steps.append(step_logits(model, cache, next_ids, positions_2))
    model.slot_bytes = cache.slot_bytes
    return torch.stack([logits_AV[:2] for logits_AV in steps]).log_softmax(-1)


def _plain_logprobs(model: Model, ids_T: np.ndarray, length: int) -> torch.Tensor:
    ids_1T = torch.from_numpy(ids_T[None, : length + PROBE_STEPS]).to(model.device)
    return model.network.next_logits(Inputs(ids_1T))[length - 1 :].log_softmax(-1)


def _answers(
    model: Model, prompts: list[np.ndarray], order: range | list[int], rows: int
) -> dict[int, bytes]:
    """Return each prompt's ids and log-probabilities as bytes."""
    chosen = [prompts[index] for index in order]
    offsets = np.concatenate([[0], np.cumsum([len(prompt) for prompt in chosen])])
    seeds = np.array(order, np.uint32)
    found = generate(model, np.concatenate(chosen), offsets, seeds, max_new_tokens=PROBE_STEPS, max_rows=rows)
    spans = zip(found.offsets[:-1], found.offsets[1:], strict=True)
    return {
        index: found.ids[first:last].tobytes() + found.logprobs[first:last].tobytes()
        for index, (first, last) in zip(order, spans, strict=True)
    }
