"""What a tokenizer's special tokens mean at the two ends of a sequence."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import cast

from transformers import PreTrainedTokenizerBase


@dataclass
class SpecialTokens:
    """Ids that begin and end sequences, and the rules for both ends."""

    tokenizer: PreTrainedTokenizerBase
    bos: int | None
    eos: int | None
    stops: frozenset[int]
    """Ids at which sampling stops."""
    turn_ends: frozenset[int]
    """Special ids that may end a turn: ``stops`` and others that a template may write."""
    added: frozenset[int]
    """Ids of tokens beside the vocabulary proper, special or not."""
    suffix_length: int
    """How many special tokens the tokenizer puts behind a text by itself."""
    _is_blank: dict[int, bool] = field(default_factory=dict)

    def has_double_bos(self, ids: list[int]) -> bool:
        """Say whether the ids begin with two BOS tokens."""
        return self.bos is not None and ids[:2] == [self.bos, self.bos]

    def strip(self, ids: list[int], is_chat: bool) -> list[int]:
        """Drop a second BOS, and what the tokenizer puts behind a text: the sequence goes on there."""
        start = 1 if self.has_double_bos(ids) else 0
        end = len(ids) - (0 if is_chat else self.suffix_length)
        return ids[start:end]

    def words(self, ids: list[int]) -> list[int]:
        """Return the ids without the end of the turn."""
        return [token for token in ids if token not in self.turn_ends]

    def cut_blank_tail(self, ids: list[int]) -> list[int]:
        """Drop white space behind the last end of turn: sampling would have stopped before it."""
        for end in range(len(ids), 0, -1):
            if ids[end - 1] in self.turn_ends:
                return ids[:end]
            if not self.is_white_space(ids[end - 1]):
                break
        return ids

    def is_white_space(self, token: int) -> bool:
        """Say whether a token is nothing but white space."""
        if token not in self._is_blank:
            self._is_blank[token] = not str(self.tokenizer.decode([token])).strip()
        return self._is_blank[token]


def special_tokens(tokenizer: PreTrainedTokenizerBase, eos_ids: Collection[int] = ()) -> SpecialTokens:
    """Read a tokenizer's special tokens; ``eos_ids`` are more ids at which sampling stops."""
    bos, eos, unknown, pad = (
        cast("int | None", index)
        for index in (
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
            tokenizer.unk_token_id,
            tokenizer.pad_token_id,
        )
    )
    stops = frozenset(eos_ids) | ({eos} if eos is not None else frozenset())
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    turn_ends = frozenset((added | set(tokenizer.all_special_ids)) - {unknown, bos, pad}) | stops
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    dressed = tokenizer("a", add_special_tokens=True)["input_ids"]
    prefix_length = next(
        (start for start in range(len(dressed)) if dressed[start : start + len(bare)] == bare), 0
    )
    suffix_length = len(dressed) - len(bare) - prefix_length
    return SpecialTokens(
        tokenizer, bos, eos, stops, turn_ends, frozenset(tokenizer.added_tokens_decoder), suffix_length
    )
