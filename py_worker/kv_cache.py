"""Keys and values of a changing set of rows, each filled from slot 0 at its own pace.

Shape suffixes: R allocated rows, A active rows, T tokens, H key-value heads, S slots, D features of one head.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache

SLOT_BLOCK = 64
"""Slots are allocated in multiples of this, and at least doubled, so that growing costs one copy in all."""


class RowCache(Cache):
    """A cache that attention layers fill in place: token j of a row lies in slot j, whatever its neighbours.

    A forward pass is announced by ``start_prompts`` or ``start_step``. Memory is R × slots × bytes per token, where slots
    grow in blocks up to the longest row.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(layers=[])
        self.rows = rows
        self.slots = 0
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self._first_row = 0
        self._positions_A: torch.Tensor | None = None
        self._row_indices_A: torch.Tensor | None = None
        self._shared_position: int | None = None
        self._seen_slots = 0

    def start_prompts(self, first_row: int, tokens: int) -> None:
        """Announce that rows from ``first_row`` on are filled with prompts of ``tokens`` padded tokens."""
        self._reserve(tokens)
        self._first_row, self._positions_A, self._seen_slots = first_row, None, 0

    def start_step(self, positions_A: torch.Tensor, seen_slots: int, shared_position: int | None) -> None:
        """Announce one token per row for rows 0 … A-1, written to ``positions_A``; attention sees ``seen_slots`` slots.

        ``shared_position`` is the position if it is the same for all rows: writing is then a plain slice.
        """
        self._reserve(seen_slots)
        self._positions_A, self._seen_slots, self._shared_position = positions_A, seen_slots, shared_position
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
        return 0 if self._positions_A is None else self._seen_slots - 1

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return the slots that queries see, and the first of them."""
        return (query_length if self._positions_A is None else self._seen_slots), 0

    def _write(self, stored_RHSD: torch.Tensor, new_AHTD: torch.Tensor) -> torch.Tensor:
        if self._positions_A is None:
            stored_RHSD[self._first_row : self._first_row + len(new_AHTD), :, : new_AHTD.shape[2]] = new_AHTD
            return new_AHTD
        active = len(self._positions_A)
        if self._shared_position is not None:
            stored_RHSD[:active, :, self._shared_position] = new_AHTD[:, :, 0]
        else:
            stored_RHSD[self._row_indices_A, :, self._positions_A] = new_AHTD[:, :, 0]
        return stored_RHSD[:active, :, : self._seen_slots]

    def _empty_like(self, states_AHTD: torch.Tensor) -> torch.Tensor:
        # Zeros, not garbage: masked slots have weight 0, and 0 × NaN would still be NaN.
        _, heads, _, features = states_AHTD.shape
        return states_AHTD.new_zeros(self.rows, heads, self.slots, features)

    def _reserve(self, slots: int) -> None:
        if slots <= self.slots:
            return
        old_slots = self.slots
        self.slots = -(-max(slots, 2 * old_slots) // SLOT_BLOCK) * SLOT_BLOCK
        for stored in (self.keys, self.values):
            for layer, old_RHSD in enumerate(stored):
                stored[layer] = self._empty_like(old_RHSD)
                stored[layer][:, :, :old_slots] = old_RHSD
