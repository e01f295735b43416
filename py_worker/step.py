"""Passes of the model over rows of the cache, and one sampling step that lives on the device: pass, draw, test for the end.

A step reads and writes tensors that keep their place, so on CUDA it is recorded once for each number of rows and replayed.
Shape suffixes: R allocated rows, A rows of one pass, T tokens, S slots, N new tokens and one spare, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from py_worker.attention_kind import step_masks
from py_worker.kv_cache import RowCache
from py_worker.model import Model
from py_worker.network import Inputs
from py_worker.sampling import Sampling, draw
from py_worker.strict import FEWEST_ROWS

SLOT_MULTIPLE = 16
"""Attention over slots in multiples of this gives the same bits however many masked slots follow."""
FEWEST_GRAPH_SLOTS = 128
"""Graphs see slots in powers of two from here on: a few graphs serve answers of every length."""


@dataclass
class Buffers:
    """What is sampled in each row of the cache. ``make`` gives their places; they are only ever written into."""

    last_R: torch.Tensor
    """Token that goes through the model next."""
    positions_R: torch.Tensor
    """Its slot."""
    counts_R: torch.Tensor
    """New tokens so far."""
    is_done_R: torch.Tensor
    """Such rows have their answer, whatever steps run."""
    sum_R: torch.Tensor
    """Of the log-probabilities: not finite as soon as one of them is not."""
    ids_RN: torch.Tensor
    logprobs_RN: torch.Tensor
    uniforms_RN: torch.Tensor
    is_stop_V: torch.Tensor

    @classmethod
    def make(cls, rows: int, new_tokens: int, is_stop: np.ndarray, device: torch.device) -> Buffers:
        """Make them for ``rows`` rows that are free."""

        def zeros(dtype: torch.dtype, *shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        width = new_tokens + 1
        return cls(
            last_R=zeros(torch.int64, rows),
            positions_R=zeros(torch.int64, rows),
            counts_R=zeros(torch.int64, rows),
            is_done_R=torch.ones(rows, dtype=torch.bool, device=device),
            sum_R=zeros(torch.float64, rows),
            ids_RN=zeros(torch.int64, rows, width),
            logprobs_RN=zeros(torch.float32, rows, width),
            uniforms_RN=zeros(torch.float64, rows, width),
            is_stop_V=torch.from_numpy(is_stop).to(device),
        )

    def start(self, first_row: int, lengths: np.ndarray, uniforms: np.ndarray) -> None:
        """Give rows from ``first_row`` on to answers to prompts of these lengths."""
        new = slice(first_row, first_row + len(lengths))
        self.positions_R[new] = torch.from_numpy(lengths - 1).to(self.positions_R)
        self.counts_R[new], self.is_done_R[new], self.sum_R[new] = 0, False, 0.0
        self.uniforms_RN[new, :-1] = torch.from_numpy(uniforms).to(self.uniforms_RN)

    def move(self, to_rows: np.ndarray, from_rows: np.ndarray) -> None:
        """Copy rows onto others; those they came from are free."""
        to, source = (torch.from_numpy(rows).to(self.last_R.device) for rows in (to_rows, from_rows))
        per_row = (self.last_R, self.positions_R, self.counts_R, self.sum_R, self.ids_RN, self.logprobs_RN)
        for tensor in (*per_row, self.uniforms_RN, self.is_done_R):
            tensor[to] = tensor[source]

    def progress(self, rows: int) -> np.ndarray:
        """Return [3, A]: new tokens so far, whether a row is done, the sum of its log-probabilities. Waits for the device, once."""
        here = slice(0, rows)
        return (
            torch.stack((self.counts_R[here].double(), self.is_done_R[here], self.sum_R[here])).cpu().numpy()
        )

    def take(self, rows: slice, logits_AV: torch.Tensor, sampling: Sampling) -> None:
        """Draw the next token of ``rows`` and note it; logits may have dummy rows at the end."""
        counts_A, is_done_A = self.counts_R[rows], self.is_done_R[rows]
        index_A1 = counts_A[:, None]
        uniforms_A = self.uniforms_RN[rows].gather(1, index_A1)[:, 0]
        missing = len(logits_AV) - len(uniforms_A)
        if missing:
            uniforms_A = torch.nn.functional.pad(uniforms_A, (0, missing))
        drawn_A, logprobs_A = draw(logits_AV, uniforms_A, sampling)
        ids_A, logprobs_A = drawn_A[: len(counts_A)], logprobs_A[: len(counts_A)]
        # A row that is done writes behind its answer, again and again.
        self.ids_RN[rows].scatter_(1, index_A1, ids_A[:, None])
        self.logprobs_RN[rows].scatter_(1, index_A1, logprobs_A[:, None].float())
        self.sum_R[rows] += logprobs_A
        self.last_R[rows] = ids_A
        going_A = ~is_done_A
        counts_A += going_A
        self.positions_R[rows] += going_A
        is_done_A |= self.is_stop_V[ids_A] | (counts_A == self.ids_RN.shape[1] - 1)


class Steps:
    """Runs steps of one ``generate``: on CUDA from recordings, one for each number of rows and slots; elsewhere as they are."""

    def __init__(self, model: Model, cache: RowCache, buffers: Buffers, sampling: Sampling) -> None:
        self._model, self._cache, self._buffers, self._sampling = model, cache, buffers, sampling
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self._can_record = model.device.type == "cuda"

    def run(self, active: int, longest: int, shared_position: int | None) -> None:
        """Take a token further in the first rows; ``longest`` is the last slot that any of them fills."""
        if not self._can_record:
            rows = max(active, FEWEST_ROWS) if self._model.strict else active
            self._advance(rows, *seen_slots(self._model, self._cache, longest, shared_position))
            return
        # With the same number of rows in every step a row's products have one shape, whatever its neighbours.
        rows = self._cache.rows if self._model.strict else active
        shape = graph_shape(rows, longest, rows=self._cache.rows, slots=self._cache.slots)
        if shape in self._graphs:
            self._graphs[shape].replay()
            return
        self._advance_aside(*shape)
        self._record(*shape)

    def _advance(self, rows: int, seen: int, shared_position: int | None, is_masked: bool = True) -> None:
        buffers = self._buffers
        here = slice(0, rows)
        ids, positions = buffers.last_R[here], buffers.positions_R[here]
        self._cache.start_step(positions, seen, shared_position)
        logits_AV = step_logits(self._model, self._cache, ids, positions, is_masked)
        buffers.take(here, logits_AV, self._sampling)

    def _advance_aside(self, rows: int, seen: int) -> None:
        """Take the first step of a shape on a stream of its own: libraries then have made what a recording must not hold."""
        now, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(now)
        with torch.cuda.stream(aside):
            self._advance(rows, seen, None)
        now.wait_stream(aside)

    def _record(self, rows: int, seen: int) -> None:
        """Record a step, which runs nothing; a model that looks at its own values on the host cannot be recorded."""
        graph = torch.cuda.CUDAGraph()
        pool = next((known.pool() for known in self._graphs.values()), None)
        try:
            with torch.cuda.graph(graph, pool=pool):
                self._advance(rows, seen, None)
        except RuntimeError:
            self._can_record = False
            return
        self._graphs[rows, seen] = graph


def graph_shape(active: int, longest: int, *, rows: int, slots: int) -> tuple[int, int]:
    """Return the rows and slots of the recording that serves ``active`` rows up to slot ``longest``: powers of two, or all."""
    seen = max(FEWEST_GRAPH_SLOTS, 1 << longest.bit_length())
    return min(1 << (active - 1).bit_length(), rows), min(seen, slots)


def seen_slots(
    model: Model, cache: RowCache, longest: int, shared_position: int | None
) -> tuple[int, int | None, bool]:
    """Return how many slots a step sees, the position that all rows share, and whether a mask hides some.

    Rows of one length see no foreign slot, so they need no mask; strict keeps it, and with it one order of summing.
    """
    is_masked = model.strict or shared_position is None or longest >= (cache.kind.window or np.inf)
    return (round_up(longest + 1, SLOT_MULTIPLE) if is_masked else longest + 1), shared_position, is_masked


def prompt_logits(
    model: Model, cache: RowCache, first_row: int, ids_AT: np.ndarray, lengths: np.ndarray
) -> torch.Tensor:
    """Fill cache rows from ``first_row`` on with right-padded prompts; return logits after each prompt's last token.

    Under ``strict`` dummy rows follow, up to the fewest of a product.
    """
    count, tokens = ids_AT.shape
    positions_T = np.minimum(np.arange(tokens), cache.kind.last_position)  # padding may reach further
    cache.start_prompts(first_row)
    ids = torch.from_numpy(ids_AT).to(model.device)
    positions = torch.from_numpy(positions_T).to(model.device).expand(count, tokens)
    missing = max(0, FEWEST_ROWS - count) if model.strict else 0
    ends = np.concatenate([np.arange(count) * tokens + lengths - 1, np.zeros(missing, np.int64)])
    last = torch.from_numpy(ends).to(model.device)
    return model.network.next_logits(Inputs(ids, positions, cache=cache), last)


def step_logits(
    model: Model, cache: RowCache, ids_A: torch.Tensor, positions_A: torch.Tensor, is_masked: bool = True
) -> torch.Tensor:
    """Return the logits after one more token in each of the rows 0 … A-1 of a step that was announced to the cache."""
    masks = step_masks(model, cache.kind, positions_A, cache.seen_slots) if is_masked else None
    return model.network.next_logits(Inputs(ids_A[:, None], positions_A[:, None], masks, cache))


def round_up(value: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-value // multiple) * multiple
