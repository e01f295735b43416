"""From texts with known places to token ids with the spans of them that are learned."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from py_worker.chat import Rendered
from py_worker.literals import Literals
from py_worker.special_tokens import SpecialTokens
from py_worker.turns import Turn

Key = TypeVar("Key", bound=Hashable)


@dataclass
class Row:
    """Ids of one example, of which the first ``prompt_length`` are its prompt."""

    ids: list[int]
    prompt_length: int
    learned: list[tuple[int, int]] = field(default_factory=list)
    """From and to before which token the loss counts, in order."""
    ends: set[int] = field(default_factory=set)
    """Ids that end its turns."""
    warnings: list[str] = field(default_factory=list)


class _Place(NamedTuple):
    token: int
    """How many tokens stand before a character."""
    is_exact: bool
    """False where the next token begins before that character."""


Places = dict[tuple[int, int], _Place]
"""By example and character."""


def make_rows(
    texts: Texts, rendered: Mapping[int, Rendered], specials: SpecialTokens, ends: frozenset[int]
) -> dict[int, Row]:
    """Return a row of each example; ``ends`` end a turn of the template wherever they stand. A prompt may turn out empty."""
    prompts = texts.beginnings({index: r.text[: r.prompt_end] for index, r in rendered.items()})
    rows = {index: Row(ids, len(ids)) for index, ids in prompts.items()}
    for index, row in rows.items():
        row.warnings += [*rendered[index].warnings, *(["double_bos"] if index in texts.double_bos else [])]
    answered = {index: r for index, r in rendered.items() if r.turns}
    wholes = texts.beginnings({index: r.text for index, r in answered.items()})
    merged = {index for index, ids in wholes.items() if ids[: len(prompts[index])] != prompts[index]}
    behind = texts.pieces({index: rendered[index].text[rendered[index].prompt_end :] for index in merged})
    for index in answered:
        rows[index].ids = prompts[index] + behind[index] if index in merged else wholes[index]
        rows[index].warnings += ["boundary_merge"] if index in merged else []
    places = _places(texts, answered, rows, merged)
    for index, r in answered.items():
        _learn(rows[index], r, _Finder(index, rows[index], r, places, specials, ends, texts.is_chat))
    return rows


class Texts:
    """Tokenises texts, many at a time."""

    def __init__(self, literals: Literals, specials: SpecialTokens, is_chat: bool) -> None:
        # A template writes its special tokens itself; text gets the tokenizer's.
        self._literals, self._specials, self.is_chat = literals, specials, is_chat
        self.double_bos: set[Any] = set()
        """Keys of beginnings that had two BOS tokens, of which one was dropped."""

    def beginnings(self, texts: Mapping[Key, str]) -> dict[Key, list[int]]:
        """Tokenise what sequences begin with."""
        rows = dict(zip(texts, self._literals.ids(list(texts.values()), not self.is_chat), strict=True))
        self.double_bos |= {key for key, row in rows.items() if self._specials.has_double_bos(row)}
        return {key: self._specials.strip(row, self.is_chat) for key, row in rows.items()}

    def pieces(self, texts: Mapping[Key, str]) -> dict[Key, list[int]]:
        """Tokenise what stands further behind."""
        return dict(zip(texts, self._literals.ids(list(texts.values()), False), strict=True))


def _places(
    texts: Texts, rendered: Mapping[int, Rendered], rows: Mapping[int, Row], merged: set[int]
) -> Places:
    """Find the token at each place that a turn names."""
    tails = {
        r.text[r.turns[-1].content_end :] for r in rendered.values() if r.turns[-1].content_end is not None
    }
    tail_ids = texts.pieces({tail: tail for tail in tails})
    found: Places = {}
    beginnings: dict[tuple[int, int], str] = {}
    pieces: dict[tuple[int, int], str] = {}
    for index, r in rendered.items():
        ids, content_end = rows[index].ids, r.turns[-1].content_end
        found[index, len(r.text)] = _Place(len(ids), True)
        found[index, r.prompt_end] = _Place(rows[index].prompt_length, True)
        # What the template writes behind an answer mostly tokenises alone as it does there, and is far shorter.
        tail = None if content_end is None else tail_ids[r.text[content_end:]]
        if content_end is not None and tail and ids[-len(tail) :] == tail:
            found[index, content_end] = _Place(len(ids) - len(tail), True)
        for at in {
            at for turn in r.turns for at in (turn.start, turn.content_end, turn.end) if at is not None
        }:
            if (index, at) not in found:
                start = r.prompt_end if index in merged and at > r.prompt_end else 0
                (pieces if start else beginnings)[index, at] = r.text[start:at]
    behind = {
        (index, at): rows[index].ids[: rows[index].prompt_length] + ids
        for (index, at), ids in texts.pieces(pieces).items()
    }
    for (index, at), ids in {**texts.beginnings(beginnings), **behind}.items():
        same = next(
            (k for k, pair in enumerate(zip(ids, rows[index].ids, strict=False)) if pair[0] != pair[1]),
            len(ids),
        )
        found[index, at] = _Place(min(same, len(rows[index].ids)), same == len(ids))
    return found


class _Finder(NamedTuple):
    """What is needed to find the tokens of one example's turns."""

    example: int
    row: Row
    rendered: Rendered
    places: Places
    specials: SpecialTokens
    ends: frozenset[int]
    is_chat: bool

    def start(self, turn: Turn) -> int:
        token, is_exact = self.places[self.example, turn.start]
        return token if is_exact else token + 1

    def end(self, turn: Turn) -> tuple[int, int | None]:
        """Return where a turn ends, and the id that ends it: the first end of turn behind its words."""
        ids, limit = self.row.ids, self.places[self.example, turn.end].token
        if not self.is_chat or turn.content_end is None:
            cut = self.specials.cut_blank_tail(ids[:limit]) if self.is_chat else ids
            last = cut[-1] if cut else None
            is_end = last in (self.specials.turn_ends if self.is_chat else self.specials.stops)
            return len(cut), last if is_end else None
        words_end = self.places[self.example, turn.content_end].token
        behind = next(
            (k for k in range(words_end, len(ids)) if not self.specials.is_white_space(ids[k])), len(ids)
        )
        if limit == words_end:
            is_end = behind < len(ids) and ids[behind] in self.ends
            return (behind + 1, ids[behind]) if is_end else (words_end, None)
        candidates = [*range(words_end, limit)]
        at = next((k for k in candidates if ids[k] in self.specials.turn_ends), None)
        if behind < limit and (at is None or behind < at) and ids[behind] in self.specials.added:
            at = behind if at is None or ids[behind] in self.ends else at
        return (at + 1, ids[at]) if at is not None else (limit, None)


def _learn(row: Row, rendered: Rendered, finder: _Finder) -> None:
    """Fill in what is learned; nothing stays behind the last turn that is."""
    ends = [finder.end(turn) for turn in rendered.turns]
    for turn, (end, last) in zip(rendered.turns, ends, strict=True):
        row.learned.append((min(finder.start(turn), end), end))
        row.ends |= set() if last is None else {last}
    end, last = ends[-1]
    row.ids = row.ids[:end]
    if last is None:
        eos = finder.specials.eos
        row.ids += [eos] if eos is not None else []
        row.learned[-1] = (row.learned[-1][0], len(row.ids))
        row.warnings += ["missing_eos"] if eos is None or finder.is_chat else []
