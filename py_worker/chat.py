"""Turn chat messages into the text before an answer and the text of the answer, by the model's own template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from py_worker.errors import WorkerError, from_library, one_line
from py_worker.template import apply_template

Message = Mapping[str, Any]

MARK = "\U000f5a3c"
"""A character for private use, which no template writes: it stands where a text stood."""


@dataclass(frozen=True)
class Template:
    """A tokenizer's chat template with the options it is rendered with."""

    tokenizer: PreTrainedTokenizerBase
    text: str | None = None
    """Used in place of the tokenizer's own."""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rendered:
    """One example as text; special tokens are written out."""

    prompt: str
    completion: str | None
    warnings: tuple[str, ...] = ()


def render_chat(
    template: Template, prompt: Sequence[Message], completion: Sequence[Message] | None, index: int
) -> Rendered:
    """Return the prompt as the model meets it when it is to answer, and what it should then write.

    Raises BAD_PARAMS naming the example ``index`` where a message is malformed or the template refuses.
    """
    _require_messages([*prompt, *(completion or [])], index)
    # A prompt that ends in the assistant's words is to be gone on with.
    is_begun = prompt[-1]["role"] == "assistant"
    before = _apply(
        template, prompt, index, add_generation_prompt=not is_begun, continue_final_message=is_begun
    )
    if completion is None:
        return Rendered(before, None)
    whole = _apply(template, _join(prompt, completion, is_begun), index)
    content = completion[0].get("content") or ""
    if not whole.startswith(before):
        if len(completion) > 1:
            raise _bad(
                index,
                "template_rewrites_history",
                "the chat template rewrites the prompt of a completion of several messages",
            )
        start = whole.rfind(content.strip())
        text = whole[start:] if content.strip() and start >= 0 else content
        return Rendered(before, text, ("template_rewrites_history",))
    text = whole[len(before) :]
    is_kept = all((message.get("content") or "").strip() in text for message in completion)
    return Rendered(before, text, () if is_kept else ("template_rewrites_completion",))


def answer_tail(template: Template) -> str | None:
    """Return what the template writes behind an answer; None where it takes no question with an answer, or changes words."""
    turns = [{"role": "user", "content": MARK}, {"role": "assistant", "content": MARK}]
    try:
        _, mark, tail = _apply(template, turns, 0).rpartition(MARK)
    except WorkerError:
        return None
    return tail if mark else None


def _join(prompt: Sequence[Message], completion: Sequence[Message], is_begun: bool) -> list[Message]:
    if not is_begun or not completion:
        return [*prompt, *completion]
    begun = {**prompt[-1], "content": prompt[-1]["content"] + (completion[0].get("content") or "")}
    return [*prompt[:-1], begun, *completion[1:]]


def _apply(template: Template, messages: Sequence[Message], index: int, **flags: bool) -> str:
    def explain(error: BaseException) -> WorkerError:
        why = f"the chat template refuses the messages: {one_line(error)}"
        return _bad(index, "template_failed", why)

    with from_library(explain):
        return apply_template(template.tokenizer, messages, template.text, {**template.options, **flags})


def _require_messages(messages: Sequence[Message], index: int) -> None:
    for place, message in enumerate(messages):
        is_good = isinstance(message, Mapping) and isinstance(message.get("role"), str)
        if not is_good or not (isinstance(message.get("content"), str) or message.get("tool_calls")):
            raise _bad(
                index,
                "bad_message",
                f"message {place} needs a role and a content, both strings; found {message!r:.80}",
            )


def _bad(index: int, reason: str, why: str) -> WorkerError:
    return WorkerError("BAD_PARAMS", f"examples[{index}]: {why}.", {"index": index, "reason": reason})
