"""Turn prompts and answers into token ids with the boundary between them, and ids back into text.

Ids are what is trained on, so every doubtful case is either an error or a counted warning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from py_worker.errors import WorkerError
from py_worker.literals import Literals
from py_worker.render import Example, Renderer, bad_examples, render_all
from py_worker.rows import Row, Texts, make_rows
from py_worker.special_tokens import SpecialTokens, special_tokens
from py_worker.template import Clock
from py_worker.view import Template, answer_tail

MESSAGES = {
    "answer_without_opening": "the prompt to answer begins the answer too, as with <think>, and this answer does not begin so: it is "
    "learned behind the prompt without that, while evaluations are asked with it",
    "boundary_merge": "tokens span the end of the prompt; the completion was tokenised by itself",
    "double_bos": "the prompt began with two BOS tokens; one was dropped",
    "missing_eos": "the template ends the answer with no end-of-turn token; EOS was appended where there is one",
    "special_tokens_kept": "names of control tokens stand in the text and are read as control tokens",
    "special_tokens_split": "names of control tokens stand in the text and are read as plain text",
    "template_drops_messages": "the chat template leaves out whole messages of the prompt: the model does not read them",
    "template_ignores_tools": "the chat template does not write the tools",
    "template_rewrites_completion": "the chat template changed or dropped words of the completion or tool calls",
    "template_rewrites_history": "the chat template writes the prompt differently once it is answered; it was taken as it is when asked",
    "too_long": "the sequence is longer than max_length; it is returned whole",
}


@dataclass(frozen=True)
class Encoded:
    """Sequences one after another: sequence i is ``ids[offsets[i]:offsets[i + 1]]`` and starts with its prompt."""

    ids: np.ndarray
    """int32 [tokens]"""
    offsets: np.ndarray
    """int32 [examples + 1]"""
    prompt_lengths: np.ndarray
    """int32 [examples]"""
    learned: np.ndarray
    """uint8 [tokens]: 1 where the loss counts a token"""
    warnings: list[dict[str, Any]]
    """Each with code, message, count and first_index."""
    stop_ids: list[int]
    """Ids that end an answer under the template, ascending; none where no example is a chat."""
    reads_date: bool
    """Whether the template asked for the time."""


def encode(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    *,
    max_length: int | None = None,
    chat_template: str | None = None,
    template_options: Mapping[str, Any] | None = None,
    eos_ids: Collection[int] = (),
    split_special_tokens: bool = True,
    date: str | None = None,
) -> Encoded:
    """Tokenise examples; nothing is truncated, completions end in EOS or the template's end of turn.

    ``eos_ids`` are ids that end an answer besides the tokenizer's EOS. With ``split_special_tokens`` the name of a control token in
    somebody's words is plain text. ``date`` (ISO) is what the template takes for today. Raises BAD_PARAMS with ``reason`` and ``index`` in
    its data for malformed messages, empty prompts and empty completions.
    """
    template = Template(tokenizer, chat_template, template_options or {}, Clock(date))
    specials = special_tokens(tokenizer, eos_ids)
    literals = Literals(tokenizer)
    warnings = _Warnings()
    stops = tuple(filter(None, map(tokenizer.convert_ids_to_tokens, sorted(specials.stops))))
    renderer = Renderer(template, literals, split_special_tokens, stops)
    rendered = render_all(renderer, examples)
    chats = {index for index, (prompt, *_) in enumerate(examples) if not isinstance(prompt, str)}
    ends = specials.stops | (_template_end(template, specials) if chats else frozenset())
    rows: dict[int, Row] = {}
    for is_chat in (False, True):
        some = {index: rendered[index] for index in rendered if (index in chats) == is_chat}
        rows |= make_rows(Texts(literals, specials, is_chat), some, specials, ends)
    _refuse_empty("empty_prompt", {index: row.ids[: row.prompt_length] for index, row in rows.items()})
    _refuse_empty(
        "empty_completion", {index: _answer(row, specials) for index, row in rows.items() if row.learned}
    )
    for index, row in rows.items():
        for code in row.warnings:
            warnings.add(code, index)
        if max_length is not None and len(row.ids) > max_length:
            warnings.add("too_long", index)
    stop_ids = {end for index in chats for end in rows[index].ends} | (ends - specials.stops)
    packed = _pack([rows[index] for index in range(len(examples))])
    return Encoded(
        **packed, warnings=warnings.as_list(), stop_ids=sorted(stop_ids), reads_date=template.clock.was_read
    )


def _pack(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    lengths = np.array([len(row.ids) for row in rows], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] >= 2**31:
        raise WorkerError(
            "BAD_PARAMS", f"examples hold {offsets[-1]} tokens, at most 2^31 fit one call; send fewer."
        )
    ids = np.fromiter((token for row in rows for token in row.ids), dtype=np.int32, count=int(offsets[-1]))
    learned = np.zeros(len(ids), dtype=np.uint8)
    for offset, row in zip(offsets, rows, strict=False):
        for start, end in row.learned:
            learned[offset + start : offset + end] = 1
    prompt_lengths = np.array([row.prompt_length for row in rows], dtype=np.int32)
    return {
        "ids": ids,
        "offsets": offsets.astype(np.int32),
        "prompt_lengths": prompt_lengths,
        "learned": learned,
    }


def decode(
    tokenizer: PreTrainedTokenizerBase, ids: np.ndarray, offsets: np.ndarray, skip_special_tokens: bool
) -> list[str]:
    """Return the text of every sequence, spaces as the tokens have them."""
    return texts_of(
        tokenizer, [ids[start:end].tolist() for start, end in pairwise(offsets)], skip_special_tokens
    )


def texts_of(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[list[int]], skip_special_tokens: bool = True
) -> list[str]:
    """Return the text of every row, spaces as the tokens have them."""
    if not rows:
        return []  # transformers takes an empty list for one empty sequence
    return tokenizer.batch_decode(
        list(rows), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
    )


def _answer(row: Row, specials: SpecialTokens) -> list[int]:
    start, end = row.learned[-1]
    return specials.words(row.ids[start:end])


def _template_end(template: Template, specials: SpecialTokens) -> frozenset[int]:
    """Return the id, if any, that the template writes directly behind an answer."""
    tail = answer_tail(template)
    ids = template.tokenizer(tail, add_special_tokens=False)["input_ids"] if tail else []
    first = next((token for token in ids if not specials.is_white_space(token)), None)
    return specials.added & {first}


@dataclass
class _Warnings:
    found: dict[str, list[int]] = field(default_factory=dict)
    """Count and first index by code."""

    def add(self, code: str, index: int) -> None:
        count, first = self.found.get(code, (0, index))
        self.found[code] = [count + 1, min(first, index)]

    def as_list(self) -> list[dict[str, Any]]:
        return [
            {"code": code, "message": MESSAGES[code], "count": count, "first_index": first}
            for code, (count, first) in sorted(self.found.items())
        ]


def _refuse_empty(reason: str, rows: Mapping[int, list[int]]) -> None:
    empty = sorted(index for index, row in rows.items() if not row)
    if empty:
        raise bad_examples(reason, empty, f"has an {reason.replace('_', ' ')}: it tokenises to nothing")
