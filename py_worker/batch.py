"""Splits sequences into micro-batches and maps their tokens to slots of the model's input and back.

Sequences come as one ragged array: ``ids`` int32 [N] and ``offsets`` [n+1]; sequence i is ``ids[offsets[i]:offsets[i+1]]``.
Token j of a sequence is predicted from the slot of token j-1. Shapes: B rows, T tokens in a row, R real tokens, P predicted
tokens (all but the first of each sequence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from py_worker.attention_kind import independent_positions
from py_worker.model import Model
from py_worker.network import Inputs
from py_worker.transfer import to_device
from py_worker.varlen import Spans

WIDTHS = 8
"""Of a packed row, up to the budget: padding is an eighth of it at most."""
SPANS = 16
"""Bounds of sequences are passed in multiples of this."""
MICRO_BATCH_COST_TOKENS = 64
"""What one more micro-batch costs, in padded tokens. Ours: CPU throughput is flat from 16 to 128, at 0.9 M and 135 M."""


@dataclass(frozen=True)
class MicroBatch:
    """Sequences that go through the model together, in the order of their places in the input."""

    sequences: tuple[int, ...]
    rows: int
    width: int
    """Tokens in a row, padding included."""


@dataclass(frozen=True)
class Collated:
    """One micro-batch as the model's input, with the way from its slots to the ragged tokens and back."""

    ids_BT: np.ndarray
    position_ids_BT: np.ndarray | None
    """Given where positions restart inside a row."""
    tokens_BT: np.ndarray
    """Ragged index of the token in a slot; -1 for padding."""
    tokens_R: np.ndarray
    """Ragged index of each real token, in the order of slots."""
    slots_R: np.ndarray
    """Slot (row * T + column) of each token in ``tokens_R``."""
    predicted_P: np.ndarray
    """Ragged index of each token that has a predecessor in its sequence."""
    predictor_slots_P: np.ndarray
    """Slot from whose features the token is predicted."""


@dataclass(frozen=True)
class Pass:
    """What goes through the model together, and the tokens that are asked of it."""

    ids_BT: np.ndarray
    position_ids_BT: np.ndarray | None
    predicted_P: np.ndarray
    """Ragged index of each token that is asked for."""
    predictor_slots_P: np.ndarray
    branches_BT: np.ndarray | None = None
    """Of rows with continuations of one context: which of them a token is of, see ``contexts.py``."""
    spans: tuple[np.ndarray, int] | None = None
    """Bounds of the sequences in a packed row and the longest of them, where attention is told of them."""


def micro_batches(lengths: Sequence[int] | np.ndarray, token_budget: int, layout: str) -> list[MicroBatch]:
    """Split sequences into micro-batches of at most ``token_budget`` padded tokens; longer sequences stand alone.

    A pure function of its arguments: the split decides the bits of a gradient.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    longest_first = np.argsort(-lengths, kind="stable").tolist()
    split = _pack if layout == "pack" else _bucket
    return split(longest_first, lengths.tolist(), token_budget)


def is_long(model: Model, lengths: np.ndarray) -> np.ndarray:
    """Say which sequences change the rotary angles of all that go through the model with them: such go apart from others."""
    return lengths > (independent_positions(model) or np.inf)


def plan_micro_batches(
    model: Model, lengths: np.ndarray, among: np.ndarray | None = None
) -> list[MicroBatch]:
    """Split sequences, or those ``among`` them, as ``model`` wants them: its layout, its budget, and few widths where each costs a plan of kernels."""
    chosen = np.arange(len(lengths)) if among is None else among
    long = is_long(model, lengths[chosen])
    plan = [
        replace(part, sequences=tuple(alike[list(part.sequences)].tolist()))
        for alike in (chosen[~long], chosen[long])
        for part in micro_batches(lengths[alike], model.token_budget, model.layout)
    ]
    if not model.varlen:
        return plan
    step = max(1, model.token_budget // WIDTHS)
    return [replace(part, width=-(-part.width // step) * step) for part in plan]


def spans_of(micro_batch: MicroBatch, offsets: np.ndarray, count: int) -> tuple[np.ndarray, int]:
    """Return the bounds int32 [count + 1] of the sequences in a packed row, its padding as one more, and the longest length."""
    lengths = [int(offsets[one + 1] - offsets[one]) for one in micro_batch.sequences]
    lengths += [micro_batch.width - sum(lengths)]
    bounds = np.full(count + 1, micro_batch.width, np.int32)
    bounds[: len(lengths) + 1] = np.cumsum([0, *lengths])
    return bounds, max(lengths)


def most_spans(plan: Sequence[MicroBatch]) -> int:
    """Return a number of sequences that every row of a plan stays within, the same for plans of like size."""
    most = max(len(part.sequences) + 1 for part in plan)
    return -(-most // SPANS) * SPANS


def _bucket(longest_first: list[int], lengths: list[int], token_budget: int) -> list[MicroBatch]:
    """Cut the sorted sequences where padded tokens plus the cost of a micro-batch are least (dynamic programming)."""
    count = len(longest_first)
    best_cost = [0.0] * (count + 1)
    best_rows = [0] * (count + 1)
    for start in range(count - 1, -1, -1):
        width = lengths[longest_first[start]]
        costs = [
            rows * width + MICRO_BATCH_COST_TOKENS + best_cost[start + rows]
            for rows in range(1, max(1, min(token_budget // width, count - start)) + 1)
        ]
        best_cost[start] = min(costs)
        best_rows[start] = costs.index(best_cost[start]) + 1
    split: list[MicroBatch] = []
    start = 0
    while start < count:
        chosen = tuple(longest_first[start : start + best_rows[start]])
        split.append(MicroBatch(chosen, rows=len(chosen), width=lengths[chosen[0]]))
        start += len(chosen)
    return split


def _pack(longest_first: list[int], lengths: list[int], token_budget: int) -> list[MicroBatch]:
    """Put each sequence, longest first, into the first row with room for it (first-fit decreasing)."""
    rows: list[list[int]] = []
    used: list[int] = []
    for sequence in longest_first:
        length = lengths[sequence]
        row = next((r for r, tokens in enumerate(used) if tokens + length <= token_budget), len(rows))
        if row == len(rows):
            rows.append([])
            used.append(0)
        rows[row].append(sequence)
        used[row] += length
    return [MicroBatch(tuple(row), rows=1, width=tokens) for row, tokens in zip(rows, used, strict=True)]


def collate(micro_batch: MicroBatch, ids: np.ndarray, offsets: np.ndarray) -> Collated:
    """Lay the sequences of a micro-batch out as model input; padding (on the right) holds id 0."""
    tokens_BT = np.full((micro_batch.rows, micro_batch.width), -1, dtype=np.int64)
    position_BT = np.zeros_like(tokens_BT)
    row = column = 0
    for sequence in micro_batch.sequences:
        length = int(offsets[sequence + 1] - offsets[sequence])
        tokens_BT[row, column : column + length] = offsets[sequence] + np.arange(length)
        position_BT[row, column : column + length] = np.arange(length)
        row, column = (row, column + length) if micro_batch.rows == 1 else (row + 1, 0)
    slots_R = np.flatnonzero(tokens_BT >= 0)
    tokens_R = tokens_BT.reshape(-1)[slots_R]
    has_predecessor_R = position_BT.reshape(-1)[slots_R] > 0
    ids_BT = np.where(tokens_BT >= 0, np.asarray(ids)[tokens_BT], 0).astype(np.int64)
    restarts = micro_batch.rows == 1 and (len(micro_batch.sequences) > 1 or micro_batch.width > len(slots_R))
    return Collated(
        ids_BT=ids_BT,
        position_ids_BT=position_BT if restarts else None,
        tokens_BT=tokens_BT,
        tokens_R=tokens_R,
        slots_R=slots_R,
        predicted_P=tokens_R[has_predecessor_R],
        predictor_slots_P=slots_R[has_predecessor_R] - 1,
    )


@torch.inference_mode()
def probe_packing(model: Model) -> bool:
    """Say whether sequences packed in one row leave each other alone and score as they would alone."""
    length = min(12, model.max_positions or 12)
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randint(model.vocab_size, (2, 1, length), generator=generator).to(model.device)
    position_ids_BT = torch.arange(length, device=model.device).repeat(2)[None]
    alone = model.network.next_logits(Inputs(second))
    packed, apart = [], []
    for neighbour in (first, (first + 1) % model.vocab_size):
        row = torch.cat([neighbour, second], dim=1)
        packed.append(model.network.next_logits(Inputs(row, position_ids_BT))[length:])
        apart.append(model.network.next_logits(Inputs(torch.cat([neighbour, second])))[length:])
    scale = float(alone.abs().max())
    tolerance = 1e-4 if model.compute_dtype == torch.float32 else 5e-2
    # A neighbour in another row cannot be seen, yet may change rounding: it decides how many tokens an expert gets.
    rounding = float((apart[0] - apart[1]).abs().max())
    moved = float((packed[0] - packed[1]).abs().max()) > min(
        max(1e-6 * scale, 8 * rounding), tolerance * scale
    )
    return not moved and float((packed[0] - alone).abs().max()) <= tolerance * scale


@torch.inference_mode()
def probe_varlen(model: Model) -> bool:
    """Say whether a packed row gives the same logits with variable-length attention as with a mask, its padding aside."""
    lengths = [min(length, model.max_positions or length) for length in (12, 5, 9)]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.vocab_size, (int(offsets[-1]),), generator=generator).numpy()
    packed = MicroBatch((0, 1, 2), rows=1, width=int(offsets[-1]))
    padded = replace(packed, width=packed.width + 6)
    found = []
    for part in (packed, padded):
        collated = collate(part, ids, offsets)
        sent = to_device([collated.ids_BT, np.asarray(collated.position_ids_BT)], model.device)
        bounds, longest = spans_of(part, offsets, SPANS)
        spans = None if part is packed else Spans(to_device([bounds], model.device)[0], longest)
        try:
            found.append(model.network.next_logits(Inputs(*sent, spans=spans))[: packed.width])
        except (NotImplementedError, RuntimeError, TypeError, ValueError):
            return False  # this device or model has no use for it
    tolerance = 1e-4 if model.compute_dtype == torch.float32 else 5e-2
    return float((found[0] - found[1]).abs().max()) <= tolerance * float(found[0].abs().max())
