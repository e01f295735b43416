"""Continuations of one context: the context goes through the model once, and its continuations side by side behind it.

Sequences are ragged, see ``batch.py``; ``starts`` [n] say where the continuation of each begins. A *tree* is one row of the model's input
that holds a context and continuations of it. Shapes: B trees, T tokens in a row, P tokens that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from py_worker.attention_kind import UNFIT, Masks, attention_kind, has_plain_layers, masks_of, narrowed
from py_worker.batch import Pass, is_long, micro_batches
from py_worker.errors import is_out_of_memory
from py_worker.model import Model
from py_worker.network import Inputs
from py_worker.transfer import to_device

LONGEST_TREE = 8192
LEAST_SAVED = 0.25
"""Of the tokens that rows of their own would have; a mask is worth no less."""
MOST_CELLS = 1 << 26
"""Of the masks of one pass."""
CHEAP_TOKENS = 512
"""A mask's work grows with the square of a row: up to so many tokens it is small beside the rest, whatever the context."""
PROBED = 18
"""Tokens: a context and two continuations of six."""
CONTEXT = 0
PADDING = -1


@dataclass(frozen=True)
class Tree:
    """A context and continuations; the last token of each, from which nothing is predicted, is left out."""

    tokens_T: np.ndarray
    """Ragged index."""
    positions_T: np.ndarray
    branches_T: np.ndarray
    """``CONTEXT``, or which continuation a token is of."""
    predicted_P: np.ndarray
    """Ragged index of each token of the continuations."""
    predictors_P: np.ndarray
    """Place in the row from which it is predicted."""


def grow_trees(
    model: Model, ids: np.ndarray, offsets: np.ndarray, starts: np.ndarray
) -> tuple[list[Tree], list[int]]:
    """Return trees of neighbours with one context, and the sequences that are left: with none in common, or too little."""
    lengths = np.diff(offsets)
    stays_alone = is_long(model, lengths)

    def context_of(sequence: int) -> bytes | None:
        context = ids[offsets[sequence] : offsets[sequence] + starts[sequence]]
        return None if stays_alone[sequence] else context.tobytes()

    trees: list[Tree] = []
    alone: list[int] = []
    for context, neighbours in groupby(range(len(starts)), context_of):
        group = list(neighbours)
        if context is None:
            alone += group
            continue
        shared = int(starts[group[0]])
        for part in _split(group, lengths - shared, shared, _longest_tree(model, shared, lengths[group])):
            if shared * (len(part) - 1) < LEAST_SAVED * lengths[part].sum():
                alone += part
            else:
                trees.append(_tree(part, ids, offsets, starts))
    return trees, alone


def _longest_tree(model: Model, context: int, lengths: np.ndarray) -> int:
    """Return the tokens up to which a tree costs less than it saves, and takes no more memory than its sequences may."""
    longest = int(lengths.max())
    most = min(max(2 * context, CHEAP_TOKENS), max(model.token_budget, longest + longest // 8))
    return min(most, LONGEST_TREE, model.max_positions or LONGEST_TREE)


def _split(group: list[int], own: np.ndarray, context: int, most: int) -> Iterator[list[int]]:
    """Cut ``group``, whose continuations are of ``own`` tokens, where a tree would have more than ``most``."""
    part: list[int] = []
    tokens = context
    for sequence in group:
        if part and tokens + own[sequence] > most:
            yield part
            part, tokens = [], context
        part.append(sequence)
        tokens += int(own[sequence])
    yield part


def _tree(sequences: list[int], ids: np.ndarray, offsets: np.ndarray, starts: np.ndarray) -> Tree:
    context = int(starts[sequences[0]])
    first = int(offsets[sequences[0]])
    tokens = [np.arange(first, first + context)]
    positions, branches = [np.arange(context)], [np.full(context, CONTEXT)]
    predicted, predictors = [], []
    known: dict[bytes, np.ndarray] = {}
    row = context
    for sequence in sequences:
        own = np.arange(offsets[sequence] + context, offsets[sequence + 1])
        said = ids[own].tobytes()
        if said not in known:  # equal continuations of a tree have equal bits
            inner = own[:-1]
            known[said] = np.concatenate([[context - 1], row + np.arange(len(inner))])[: len(own)]
            tokens.append(inner)
            positions.append(context + np.arange(len(inner)))
            branches.append(np.full(len(inner), len(known)))
            row += len(inner)
        predicted.append(own)
        predictors.append(known[said])
    return Tree(*(np.concatenate(parts) for parts in (tokens, positions, branches, predicted, predictors)))


def passes_of(model: Model, trees: Sequence[Tree], ids: np.ndarray) -> list[Pass]:
    """Put trees of like length together, within the token budget (a longer one goes alone) and what their masks may take."""
    if not trees:
        return []
    lengths = [len(tree.tokens_T) for tree in trees]
    longest = max(lengths)
    budget = max(longest, min(model.token_budget, MOST_CELLS // longest))
    plan = micro_batches(lengths, budget, "bucket")
    return [_pass([trees[i] for i in part.sequences], part.width, ids) for part in plan]


def _pass(trees: Sequence[Tree], width: int, ids: np.ndarray) -> Pass:
    ids_BT = np.zeros((len(trees), width), np.int64)
    position_ids_BT = np.zeros_like(ids_BT)
    branches_BT = np.full_like(ids_BT, PADDING)
    for row, tree in enumerate(trees):
        here = slice(0, len(tree.tokens_T))
        ids_BT[row, here] = ids[tree.tokens_T]
        position_ids_BT[row, here] = tree.positions_T
        branches_BT[row, here] = tree.branches_T
    slots_P = np.concatenate([row * width + tree.predictors_P for row, tree in enumerate(trees)])
    predicted_P = np.concatenate([tree.predicted_P for tree in trees])
    if (
        branches_BT.max() == CONTEXT
    ):  # continuations of one token each: nothing but contexts, which need no mask
        return Pass(ids_BT, None, predicted_P, slots_P)
    return Pass(ids_BT, position_ids_BT, predicted_P, slots_P, branches_BT)


def tree_masks(model: Model, positions_BT: torch.Tensor, branches_BT: torch.Tensor) -> Masks:
    """Return masks [B, 1, T, T] that hide from each token what comes later and the continuations that it is not of."""
    query_BT1, key_B1T = positions_BT[:, :, None], positions_BT[:, None, :]
    is_other = (branches_BT[:, None, :] != CONTEXT) & (branches_BT[:, None, :] != branches_BT[:, :, None])
    kind = attention_kind(model)
    hidden_BTT = (key_B1T > query_BT1) | is_other
    behind = None if kind.window is None else key_B1T <= query_BT1 - kind.window
    return masks_of(model, kind, hidden_BTT, behind)


@torch.inference_mode()
def probe_trees(model: Model) -> bool:
    """Say whether continuations of one context leave each other alone in a row and score as they would alone."""
    if not has_plain_layers(model) or (model.max_positions or PROBED) < PROBED:
        return False
    generator = torch.Generator().manual_seed(0)
    random = torch.randint(model.vocab_size, (PROBED,), generator=generator).numpy()
    context, first, second = random[:6], random[6:12], random[12:]
    found = []
    with narrowed(model, 4):
        for other in (first, (first + 1) % model.vocab_size):
            ids = np.concatenate([context, other, context, second])
            offsets, starts = np.array([0, 12, 24]), np.array([6, 6])
            (part,) = passes_of(model, [_tree([0, 1], ids, offsets, starts)], ids)
            assert part.position_ids_BT is not None
            assert part.branches_BT is not None
            given = [part.ids_BT, part.position_ids_BT, part.branches_BT]
            ids_BT, positions_BT, branches_BT = to_device(given, model.device)
            masks = tree_masks(model, positions_BT, branches_BT)
            try:
                logits = model.network.next_logits(Inputs(ids_BT, positions_BT, masks))
            except UNFIT as error:
                if is_out_of_memory(error):
                    raise
                return False  # the model does not take our mask
            found.append(logits[part.predictor_slots_P[6:]])
        whole = torch.from_numpy(np.concatenate([context, second]))[None].to(model.device)
        alone = model.network.next_logits(Inputs(whole))[5:-1]
    tolerance = (1e-4 if model.compute_dtype == torch.float32 else 5e-2) * float(alone.abs().max())
    moved, apart = (float((found[0] - one).abs().max()) for one in (found[1], alone))
    return moved <= tolerance / 10 and apart <= tolerance
