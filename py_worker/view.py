"""A chat template, and what it makes of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from py_worker.errors import WorkerError, from_library, one_line
from py_worker.template import Clock, apply_template

Message = Mapping[str, Any]
"""Role and content, what else the template takes, and ``learned``: whether the loss counts what stands in it."""

MARK = "\ufdd2"
"""A noncharacter of Unicode, which no text that is interchanged has: it stands in a message to see where it comes out."""


@dataclass(frozen=True)
class Template:
    """A tokenizer's chat template with the options it is rendered with."""

    tokenizer: PreTrainedTokenizerBase
    text: str | None = None
    """Used in place of the tokenizer's own."""
    options: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class View:
    """What the template makes of messages."""

    template: Template
    tools: Sequence[Mapping[str, Any]] | None
    index: int

    def asked(self, messages: Sequence[Message]) -> str:
        """Return the text at whose end the model is to answer."""
        return _apply(self.template, messages, self.tools, self.index, add_generation_prompt=True)

    def whole(self, messages: Sequence[Message]) -> str:
        """Return the text of a chat in which everybody has spoken."""
        return _apply(self.template, messages, self.tools, self.index, add_generation_prompt=False)

    def open_text(self, messages: Sequence[Message]) -> str:
        """Return the text up to the end of the last message's words, with which the model is to go on."""
        marked = with_content(messages, len(messages) - 1, f"{messages[-1]['content']}{MARK}")
        begun, mark, _ = self.whole(marked).partition(MARK)
        if not mark:
            raise self.bad(
                "template_rewrites_history", "the chat template drops the words that are to be gone on with"
            )
        return begun

    def bad(self, reason: str, why: str) -> WorkerError:
        """Make the refusal of this example."""
        return bad_example(self.index, reason, why)


def answer_tail(template: Template) -> str | None:
    """Return what the template writes behind an answer; None where it takes no question with an answer, or changes words."""
    turns = [{"role": "user", "content": MARK}, {"role": "assistant", "content": MARK}]
    try:
        _, mark, tail = View(template, None, 0).whole(turns).rpartition(MARK)
    except WorkerError:
        return None
    return tail if mark else None


def with_content(messages: Sequence[Message], place: int, content: str) -> list[Message]:
    """Return the messages with other words in one of them."""
    return [*messages[:place], {**messages[place], "content": content}, *messages[place + 1 :]]


def _apply(
    template: Template,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None,
    index: int,
    **flags: bool,
) -> str:
    given = [{key: value for key, value in message.items() if key != "learned"} for message in messages]
    options = {**template.options, "tools": [dict(tool) for tool in tools] if tools else None, **flags}

    def explain(error: BaseException) -> WorkerError:
        bare = next((place for place, message in enumerate(given) if message.get("content") is None), None)
        hint = "" if bare is None else f" (message {bare} has tool calls and no content)"
        why = f"the chat template refuses the messages: {one_line(error)}{hint}"
        return bad_example(index, "template_failed", why)

    with from_library(explain):
        return apply_template(template.tokenizer, given, template.text, options, template.clock)


def bad_example(index: int, reason: str, why: str) -> WorkerError:
    """Make the refusal of one example."""
    data = {"index": index, "reason": reason, "problems": [{"index": index, "message": why}]}
    return WorkerError("BAD_PARAMS", f"examples[{index}]: {why}.", data)
