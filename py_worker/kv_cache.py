"""Keys and values of a changing set of rows, each filled from slot 0 at its own pace.

Shape suffixes: R allocated rows, A active rows, T tokens, H key-value heads, S slots, D features of one head.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache

from py_worker.attention_kind import attention_kind
from py_worker.model import Model


class RowCache(Cache):
    """A cache that attention layers fill in place: token j of a row lies in slot j, whatever its neighbours.

    A forward pass is announced by ``start_prompts`` or ``start_step``. Every layer has rows × slots of its keys and of its
    values, in the compute dtype, from its first pass on: nothing grows, and nothing moves in memory.
    """

    def __init__(self, model: Model, rows: int, slots: int) -> None:
        super().__init__(layers=[])
        self.rows, self.slots, self.dtype = rows, slots, model.compute_dtype
        self.device = model.device
        self.kind = attention_kind(model)
        """Of the layers that fill it."""
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self._first_row = 0
        self._positions_A: torch.Tensor | None = None
        self._row_indices_A: torch.Tensor | None = None
        self._shared_position: int | None = None
        self.seen_slots = 0
        """Of the step that was announced; 0 for prompts."""

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot of one row in all layers that were filled so far."""
        return sum(stored.nbytes for stored in (*self.keys, *self.values)) // (self.rows * self.slots)

    def start_prompts(self, first_row: int) -> None:
        """Announce that rows from ``first_row`` on are filled with prompts; padding beyond the last slot is not kept."""
        self._first_row, self._positions_A, self.seen_slots = first_row, None, 0

    def start_step(self, positions_A: torch.Tensor, seen_slots: int, shared_position: int | None) -> None:
        """Announce one token per row for rows 0 … A-1, written to ``positions_A``; attention sees ``seen_slots`` slots.

        ``shared_position`` is the position if it is the same for all rows: writing is then a plain slice.
        """
        self._positions_A, self.seen_slots, self._shared_position = positions_A, seen_slots, shared_position
        self._row_indices_A = torch.arange(len(positions_A), device=positions_A.device)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the new keys and values [A, H, T, D] of a layer and return all that its queries may see."""
        if layer_idx == len(self.keys):
            self.keys.append(self._empty_like(key_states))
            self.values.append(self._empty_like(value_states))
        return self._write(self.keys[layer_idx], key_states), self._write(
            self.values[layer_idx], value_states
        )

    def move(self, to_rows: list[int], from_rows: list[int], used_slots: int) -> None:
        """Copy the first ``used_slots`` slots of rows onto others; the two lists have no row in common."""
        for stored_RHSD in (*self.keys, *self.values):
            stored_RHSD[to_rows, :, :used_slots] = stored_RHSD[from_rows, :, :used_slots]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many slots lie before the tokens of the announced pass."""
        return 0 if self._positions_A is None else self.seen_slots - 1

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return the slots that queries see, and the first of them."""
        return (query_length if self._positions_A is None else self.seen_slots), 0

    def _write(self, stored_RHSD: torch.Tensor, new_AHTD: torch.Tensor) -> torch.Tensor:
        if self._positions_A is None:
            kept_AHTD = new_AHTD[:, :, : self.slots]
            rows = slice(self._first_row, self._first_row + len(new_AHTD))
            stored_RHSD[rows, :, : kept_AHTD.shape[2]] = kept_AHTD
            return new_AHTD
        active = len(self._positions_A)
        if self._shared_position is not None:
            stored_RHSD[:active, :, self._shared_position] = new_AHTD[:, :, 0]
        else:
            stored_RHSD[self._row_indices_A, :, self._positions_A] = new_AHTD[:, :, 0].to(self.dtype)
        return stored_RHSD[:active, :, : self.seen_slots]

    def _empty_like(self, states_AHTD: torch.Tensor) -> torch.Tensor:
        # Zeros, not garbage: masked slots have weight 0, and 0 × NaN would still be NaN.
        _, heads, _, features = states_AHTD.shape
        return states_AHTD.new_zeros(self.rows, heads, self.slots, features, dtype=self.dtype)
