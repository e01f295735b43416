"""Texts that end an answer: found in what its ids say so far, wherever tokens and characters begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from py_worker.encode import texts_of

SPARE_TOKENS = 4
"""Looked at beside those that a stop text can span: a tokenizer may drop the space before the first token of a text."""
ANCHOR = "\n"
"""Some tokenizers put a space before a text; behind a line break they do not."""


@dataclass(frozen=True)
class StopTexts:
    """An answer ends with the token that completes one of ``texts``; special tokens have no text."""

    tokenizer: PreTrainedTokenizerBase
    texts: tuple[str, ...]
    window: int
    """Tokens with a text in which a stop text that was just completed must lie: each has a byte at least."""
    special: frozenset[int]

    def ended(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """Say for each answer so far whether it holds a stop text, bool [rows]; each by itself."""
        found = np.zeros(len(rows), bool)
        recent = texts_of(self.tokenizer, [self._recent(row) for row in rows])
        maybe = [row for row, text in enumerate(recent) if self._first(text) is not None]
        whole = texts_of(self.tokenizer, [rows[row].tolist() for row in maybe])
        found[[row for row, text in zip(maybe, whole, strict=True) if self._first(text) is not None]] = True
        return found

    def before(self, ids: np.ndarray) -> np.ndarray:
        """Return ids of the text before the first stop text, int32; all ids where there is none.

        They are the answer's own as long as their text ends there. A token in which the stop text begins is written anew up
        to it, as the tokenizer writes it; where that gives another text (white space aside), its part is left out.
        """
        row = ids.tolist()
        first = self._first(self._text(row))
        if first is None:
            return ids
        wanted = self._text(row)[:first]
        count = next(n for n in range(len(row), -1, -1) if wanted.startswith(self._text(row[:n])))
        kept = row[:count]
        rest = wanted[len(self._text(kept)) :]
        for tail in self._tails(rest) if rest else ():
            if self._text(kept + tail) == wanted:
                kept = kept + tail
                break
        return np.array(kept, np.int32)

    def _recent(self, row: np.ndarray) -> list[int]:
        """Return the last ids that have a text, as many as a stop text can span."""
        recent: list[int] = []
        for token in row[::-1].tolist():
            if len(recent) == self.window:
                break
            if token not in self.special:
                recent.append(token)
        return recent[::-1]

    def _first(self, text: str) -> int | None:
        """Return where the stop text begins that is complete first; of several the longest."""
        found = [(text.index(stop) + len(stop), -len(stop)) for stop in self.texts if stop in text]
        return sum(min(found)) if found else None

    def _tails(self, text: str) -> list[list[int]]:
        anchor, anchored, plain = self.tokenizer(
            [ANCHOR, ANCHOR + text, text], add_special_tokens=False, verbose=False
        )["input_ids"]
        return [plain, anchored[len(anchor) :]]

    def _text(self, ids: list[int]) -> str:
        return texts_of(self.tokenizer, [ids])[0]


def stop_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> StopTexts | None:
    """Return what finds ``texts`` in answers; None where there are none."""
    if not texts:
        return None
    window = max(len(text.encode()) for text in texts) + SPARE_TOKENS
    return StopTexts(tokenizer, tuple(texts), window, frozenset(tokenizer.all_special_ids))
