"""Examples as text: texts as they are, chats by the template, names of control tokens in somebody's words marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from py_worker.chat import Chat, Rendered, render_chat
from py_worker.errors import WorkerError
from py_worker.literals import MARK, Literals, texts_in
from py_worker.template import TemplateLimit
from py_worker.turns import Turn
from py_worker.view import Template

Example = Sequence[Any]
"""A prompt and what should follow, both as text or both as messages, and tools for the template where there are any.

What should follow is None where only the prompt is wanted.
"""


LISTED = 10
"""Examples that one refusal names."""


def render_all(renderer: Renderer, examples: Sequence[Example]) -> dict[int, Rendered]:
    """Render every example; what is wrong with several of them is told at once, as an error about the first."""
    rendered: dict[int, Rendered] = {}
    refused: list[WorkerError] = []
    for index, example in enumerate(examples):
        try:
            rendered[index] = renderer.render(example, index)
        except WorkerError as error:
            if error.data is None or "problems" not in error.data:
                raise
            refused.append(error)
            if len(refused) == LISTED or isinstance(error.__cause__, TemplateLimit):
                break  # each would take as long
    if not refused:
        return rendered
    problems = [problem for error in refused for problem in error.data["problems"]]  # type: ignore[index]
    data = {**refused[0].data, "problems": problems, "count": len(problems)}  # type: ignore[dict-item]
    others = f" ({len(refused) - 1} other examples are refused too)" if len(refused) > 1 else ""
    raise WorkerError("BAD_PARAMS", f"{refused[0]}{others}", data)


@dataclass(frozen=True)
class Renderer:
    """Turns examples into text with the places of what is learned."""

    template: Template
    literals: Literals
    splits: bool
    """Names of control tokens in somebody's words are plain text."""
    stops: tuple[str, ...]
    """Names of the tokens that end a sequence."""

    def render(self, example: Example, index: int) -> Rendered:
        """Return the text of an example with its places. Raises BAD_PARAMS."""
        prompt, completion, *tools = example
        _require_private(example, index)
        if isinstance(prompt, str):
            if completion is None or isinstance(completion, str):
                return self._text(prompt, completion)
            raise bad_examples(
                "mixed_types",
                [index],
                "has a text prompt and a completion of messages; give both in one form",
            )
        if not (self.template.text or self.template.tokenizer.chat_template):
            raise bad_examples(
                "no_chat_template",
                [index],
                "is a chat, but the tokenizer has no chat template; set chat_template",
            )
        if not prompt:
            raise bad_examples("empty_prompt", [index], "has a prompt of no messages")
        if isinstance(completion, str):
            completion = [{"role": "assistant", "content": completion}]
        if completion is not None and not completion:
            raise bad_examples(
                "empty_completion", [index], "has a completion of no messages; null asks for the prompt alone"
            )
        return self._chat(Chat(prompt, completion, tools[0] if tools else None), index)

    def _chat(self, chat: Chat, index: int) -> Rendered:
        parts = (chat.prompt, chat.completion, chat.tools)
        if self.literals.first_in(list(parts)) is None:
            return render_chat(self.template, chat, index)
        marked = Chat(*map(self.literals.mark, parts)) if self.splits else chat
        rendered, plain = (render_chat(self.template, one, index) for one in (marked, chat))
        # Where the template acts on such names the marks would change what it does.
        is_split = MARK in rendered.text and rendered.text.replace(MARK, "") == plain.text
        return _with_warning(
            *((rendered, "special_tokens_split") if is_split else (plain, "special_tokens_kept"))
        )

    def _text(self, prompt: str, completion: str | None) -> Rendered:
        """Keep a BOS that begins the prompt and an EOS that ends the completion: they are what they say."""
        bos = str(self.template.tokenizer.bos_token or "")
        begin = bos if prompt.startswith(bos) else ""
        end = next((stop for stop in self.stops if (completion or "").endswith(stop)), "")
        words = [prompt[len(begin) :], (completion or "")[: len(completion or "") - len(end)]]
        marked = self.literals.mark(words) if self.splits else words
        prompt = begin + marked[0]
        text = prompt + marked[1] + end
        turns = () if completion is None else (Turn(len(prompt), None, len(text)),)
        rendered = Rendered(text, len(prompt), turns)
        if self.literals.first_in(words) is None:
            return rendered
        return _with_warning(rendered, "special_tokens_split" if MARK in text else "special_tokens_kept")


def _with_warning(rendered: Rendered, code: str) -> Rendered:
    return replace(rendered, warnings=(*rendered.warnings, code))


def _require_private(example: Example, index: int) -> None:
    if any(mark in text for text in texts_in(list(example)) for mark in ("\ufdd0", "\ufdd1", "\ufdd2")):
        raise bad_examples(
            "noncharacter", [index], "has one of U+FDD0 to U+FDD2, which Unicode keeps from texts"
        )


def bad_examples(reason: str, indices: list[int], why: str) -> WorkerError:
    """Make the refusal of some examples for one reason."""
    others = f" (so do {len(indices) - 1} others)" if len(indices) > 1 else ""
    problems = [{"index": index, "message": why} for index in indices]
    data = {"index": indices[0], "reason": reason, "count": len(indices), "problems": problems}
    return WorkerError("BAD_PARAMS", f"examples[{indices[0]}] {why}{others}.", data)
