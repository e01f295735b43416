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

from py_worker.chat import Message, Rendered, Template, answer_tail, render_chat
from py_worker.errors import WorkerError
from py_worker.special_tokens import SpecialTokens, special_tokens

Example = tuple[str | Sequence[Message], str | Sequence[Message] | None]
"""A prompt and what should follow, both as text or both as messages; None where only the prompt is wanted."""

MESSAGES = {
    "boundary_merge": "tokens span the end of the prompt; the completion was tokenised by itself",
    "double_bos": "the prompt began with two BOS tokens; one was dropped",
    "missing_eos": "the template ends the answer with no end-of-turn token; EOS was appended where there is one",
    "template_rewrites_completion": "the chat template changed the words of the completion",
    "template_rewrites_history": "the chat template writes the prompt differently once it is answered; the completion was "
    "taken from its content",
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
    warnings: list[dict[str, Any]]
    """Each with code, message, count and first_index."""
    stop_ids: list[int]
    """Ids that end an answer under the template, ascending; none where no example is a chat."""


def encode(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    *,
    max_length: int | None = None,
    chat_template: str | None = None,
    template_options: Mapping[str, Any] | None = None,
    eos_ids: Collection[int] = (),
) -> Encoded:
    """Tokenise examples; nothing is truncated, completions end in EOS or the template's end of turn.

    ``eos_ids`` are ids that end an answer besides the tokenizer's EOS. Raises BAD_PARAMS with ``reason`` and ``index`` in
    its data for malformed messages, empty prompts and empty completions.
    """
    template = Template(tokenizer, chat_template, template_options or {})
    specials = special_tokens(tokenizer, eos_ids)
    warnings = _Warnings()
    rows: list[tuple[list[int], int]] = [([], 0)] * len(examples)
    texts: dict[int, Rendered] = {}
    chats: dict[int, Rendered] = {}
    for index, (prompt, completion) in enumerate(examples):
        (texts if isinstance(prompt, str) else chats)[index] = _render(template, prompt, completion, index)
    for rendered, is_chat in ((texts, False), (chats, True)):
        for index, row in _tokenize(tokenizer, rendered, specials, warnings, is_chat).items():
            rows[index] = row
    lengths = np.array([len(ids) for ids, _ in rows], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] >= 2**31:
        raise WorkerError(
            "BAD_PARAMS", f"examples hold {offsets[-1]} tokens, at most 2^31 fit one call; send fewer."
        )
    for index in np.flatnonzero(lengths > max_length) if max_length is not None else ():
        warnings.add("too_long", int(index))
    ids = np.fromiter((token for ids, _ in rows for token in ids), dtype=np.int32, count=int(offsets[-1]))
    prompt_lengths = np.array([length for _, length in rows], dtype=np.int32)
    stop_ids = {rows[index][0][-1] for index, chat in chats.items() if chat.completion is not None}
    stop_ids &= specials.turn_ends
    if chats:
        stop_ids |= _template_end(template, specials)
    return Encoded(ids, offsets.astype(np.int32), prompt_lengths, warnings.as_list(), sorted(stop_ids))


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


def _template_end(template: Template, specials: SpecialTokens) -> set[int]:
    """Return the id, if any, that the template writes directly behind an answer."""
    tail = answer_tail(template)
    ids = template.tokenizer(tail, add_special_tokens=False)["input_ids"] if tail else []
    first = next((token for token in ids if not specials.is_white_space(token)), None)
    return {first} & specials.added if first is not None else set()


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


def _render(
    template: Template,
    prompt: str | Sequence[Message],
    completion: str | Sequence[Message] | None,
    index: int,
) -> Rendered:
    if isinstance(prompt, str):
        if completion is None or isinstance(completion, str):
            return Rendered(prompt, completion)
        raise _bad(
            "mixed_types", [index], "has a text prompt and a completion of messages; give both in one form"
        )
    if not (template.text or template.tokenizer.chat_template):
        raise _bad(
            "no_chat_template",
            [index],
            "is a chat, but the tokenizer has no chat template; set chat_template",
        )
    if not prompt:
        raise _bad("empty_prompt", [index], "has a prompt of no messages")
    if isinstance(completion, str):
        completion = [{"role": "assistant", "content": completion}]
    if completion is not None and not completion:
        raise _bad(
            "empty_completion", [index], "has a completion of no messages; null asks for the prompt alone"
        )
    return render_chat(template, prompt, completion, index)


def _tokenize(
    tokenizer: PreTrainedTokenizerBase,
    rendered: dict[int, Rendered],
    specials: SpecialTokens,
    warnings: _Warnings,
    is_chat: bool,
) -> dict[int, tuple[list[int], int]]:
    """Return ids and prompt length by index. A template writes its special tokens itself; text gets the tokenizer's."""
    prompts = _ids(tokenizer, {index: r.prompt for index, r in rendered.items()}, not is_chat)
    answered = {index: r for index, r in rendered.items() if r.completion is not None}
    wholes = _ids(
        tokenizer, {index: r.prompt + str(r.completion) for index, r in answered.items()}, not is_chat
    )
    for index, row in prompts.items():
        prompts[index] = specials.strip(row, is_chat)
        if specials.has_double_bos(row):
            warnings.add("double_bos", index)
    _refuse_empty("empty_prompt", prompts)
    wholes = {index: specials.strip(row, is_chat) for index, row in wholes.items()}
    merged = {index for index, row in wholes.items() if row[: len(prompts[index])] != prompts[index]}
    completions = {index: row[len(prompts[index]) :] for index, row in wholes.items() if index not in merged}
    completions |= _ids(tokenizer, {index: str(answered[index].completion) for index in merged}, False)
    rows = {index: (row, len(row)) for index, row in prompts.items()}
    for index, row in completions.items():
        for code in (*answered[index].warnings, *(["boundary_merge"] if index in merged else [])):
            warnings.add(code, index)
        completions[index], code = specials.end(row, is_chat)
        if code:
            warnings.add(code, index)
        rows[index] = (prompts[index] + completions[index], len(prompts[index]))
    _refuse_empty("empty_completion", {index: specials.words(row) for index, row in completions.items()})
    return rows


def _ids(
    tokenizer: PreTrainedTokenizerBase, texts: dict[int, str], add_special_tokens: bool
) -> dict[int, list[int]]:
    if not texts:
        return {}
    encoded = tokenizer(
        list(texts.values()),
        add_special_tokens=add_special_tokens,
        padding=False,
        truncation=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return dict(zip(texts, encoded["input_ids"], strict=True))


def _refuse_empty(reason: str, rows: Mapping[int, list[int]]) -> None:
    empty = sorted(index for index, row in rows.items() if not row)
    if empty:
        raise _bad(reason, empty, f"has an {reason.replace('_', ' ')}: it tokenises to nothing")


def _bad(reason: str, indices: list[int], why: str) -> WorkerError:
    others = f" (so do {len(indices) - 1} others)" if len(indices) > 1 else ""
    data = {"index": indices[0], "reason": reason, "count": len(indices), "indices": indices[:10]}
    return WorkerError("BAD_PARAMS", f"examples[{indices[0]}] {why}{others}.", data)
