"""Turn chat messages into the text that a model reads and the places that an assistant wrote, by the model's own template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from py_worker.errors import WorkerError
from py_worker.literals import texts_in
from py_worker.turns import Scene, Turn, find_turn
from py_worker.view import MARK, Message, Template, View, bad_example, with_content


@dataclass(frozen=True)
class Chat:
    """Messages up to an answer, the answer (None: only asked), and the tools that the template names."""

    prompt: Sequence[Message]
    completion: Sequence[Message] | None
    tools: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Rendered:
    """One example as text, control tokens written out; ``prompt_end`` is where the model is to go on."""

    text: str
    prompt_end: int
    turns: tuple[Turn, ...] = ()
    """The learned ones, in order; none where an example is only asked."""
    warnings: tuple[str, ...] = ()


def render_chat(template: Template, chat: Chat, index: int) -> Rendered:
    """Return the prompt as the model meets it when it is to answer, with what it should then write.

    Raises BAD_PARAMS naming the example ``index`` where a message is malformed, the template refuses, or it is not known where the
    template puts an answer.
    """
    _require_messages([*chat.prompt, *(chat.completion or [])], index)
    view = View(template, chat.tools, index)
    is_begun = chat.prompt[-1]["role"] == "assistant"
    prompt = view.open_text(chat.prompt) if is_begun else view.asked(chat.prompt)
    if chat.completion is None:
        return Rendered(prompt, len(prompt), warnings=_dropped(view, chat.prompt, prompt))
    history = Scene(view.whole if is_begun else view.asked, chat.prompt, prompt)
    found = [find_turn(view, history, place) for place in _learned(chat.prompt, False)]
    messages = _join(chat.prompt, chat.completion, is_begun)
    scene = Scene(view.whole, messages, view.whole(messages))
    first = len(messages) - len(chat.completion)
    places = [first + place for place in _learned(chat.completion, True)]
    if not places:
        raise view.bad("nothing_learned", "no message of its completion is to be learned")
    if scene.text.startswith(prompt):
        found += [find_turn(view, scene, place, len(prompt) if place == first else None) for place in places]
        rendered = Rendered(scene.text, len(prompt), tuple(turn for turn, _ in found))
        is_kept = all(kept for _, kept in found)
    elif is_begun or len(chat.completion) > 1:
        raise view.bad(
            "template_rewrites_history", "the chat template writes the prompt differently once it is answered"
        )
    else:
        rendered, is_kept = _behind(prompt, view, scene)
        rendered = replace(rendered, turns=(*(turn for turn, _ in found), *rendered.turns))
        is_kept = is_kept and all(kept for _, kept in found)
    lost = (*_dropped(view, chat.prompt, prompt), *_losses(view, chat, is_kept))
    return replace(rendered, warnings=(*rendered.warnings, *lost))


def _behind(prompt: str, view: View, scene: Scene) -> tuple[Rendered, bool]:
    """Put an answer behind a prompt that the template writes differently once it is answered.

    What the prompt to answer has more than the answered chat has before the answer, such as ``<think>``, is begun for the model: an
    answer that begins so goes on behind it, and one that does not is learned without it.
    """
    last = len(scene.messages) - 1
    whole, bare, words = scene.text, view.whole(scene.messages[:-1]), scene.words(last)
    end = None if scene.messages[-1].get("tool_calls") else scene.comes_out(last)
    is_kept = end is not None and whole[:end].endswith(words)
    start = None if end is None else end - len(words) if is_kept else scene.kept_from(last)
    opening = prompt[len(bare) :] if prompt.startswith(bare) else ""
    header = None if start is None else whole[len(bare) : start] if whole.startswith(bare) else opening
    if not header or not opening.startswith(header) or not whole[:start].endswith(header):
        raise view.bad(
            "template_rewrites_history",
            "the chat template writes the prompt differently once it is answered, and it cannot be seen where the answer begins",
        )
    begun, tail = opening[len(header) :], whole[end:]
    said = scene.messages[-1]["content"].rstrip()
    if not begun.strip():
        answer, warnings = whole[start:end], ("template_rewrites_history",)
    elif words.startswith(begun.strip()):
        rest = said[len(begun) :] if said.startswith(begun) else words[len(begun.strip()) :].lstrip()
        answer, warnings, is_kept = rest, (), True
    elif not is_kept and begun.strip() not in words:
        answer, warnings, is_kept = said, (), True
    elif is_kept:
        prompt, answer, warnings = prompt[: -len(begun)], whole[start:end], ("answer_without_opening",)
    else:
        raise view.bad(
            "template_rewrites_history", f"{begun!r} begins the answer and stands in the middle of it"
        )
    text = prompt + answer + tail
    turn = Turn(len(prompt), len(prompt) + len(answer), len(text))
    return Rendered(text, len(prompt), (turn,), warnings), is_kept


def _losses(view: View, chat: Chat, is_kept: bool) -> tuple[str, ...]:
    """Return a warning for each thing that the example has and the template does not write."""
    messages = [*chat.prompt, *(chat.completion or [])]
    marked = [_mark_fields(message, place >= len(chat.prompt)) for place, message in enumerate(messages)]
    marks = "".join(texts_in(marked)).count(MARK)
    is_kept = is_kept and (marks == 0 or view.whole(marked).count(MARK) == marks)
    lost = () if is_kept else ("template_rewrites_completion",)
    return lost if _writes_tools(view, chat) else (*lost, "template_ignores_tools")


def _dropped(view: View, messages: Sequence[Message], text: str) -> tuple[str, ...]:
    """Return a warning where ``text``, which the template makes of them, has nothing of one of the messages."""
    scene = Scene(view.asked, messages, text)
    for place in range(len(messages)):
        words = scene.words(place)
        if (
            words
            and words not in text
            and MARK not in view.asked(with_content(messages, place, words + MARK))
        ):
            return ("template_drops_messages",)
    return ()


def _writes_tools(view: View, chat: Chat) -> bool:
    if not chat.tools:
        return True
    with_tools = view.asked(chat.prompt)
    try:
        return with_tools != replace(view, tools=None).asked(chat.prompt)
    except WorkerError:
        return True  # a template that cannot do without them


def _mark_fields(message: Message, is_answer: bool) -> Message:
    """Return a message with a mark behind the name of every function that it calls, and behind the thoughts of an answer."""
    marked = dict(message)
    if message.get("tool_calls"):
        marked["tool_calls"] = [_mark_call(call) for call in message["tool_calls"]]
    if is_answer and message.get("reasoning_content"):
        marked["reasoning_content"] = f"{message['reasoning_content'].rstrip()}{MARK}"
    return marked


def _mark_call(call: Any) -> Any:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return call
    marked = {**function, "name": f"{function.get('name')}{MARK}"}
    return {**call, "function": marked} if "function" in call else marked


def _learned(messages: Sequence[Message], is_answer: bool) -> list[int]:
    """Return the places of the messages that the loss counts; of an answer, by default, all that an assistant wrote."""
    return [
        place
        for place, message in enumerate(messages)
        if message.get("learned", is_answer and message["role"] == "assistant")
    ]


def _join(prompt: Sequence[Message], completion: Sequence[Message], is_begun: bool) -> list[Message]:
    if not is_begun or not completion:
        return [*prompt, *completion]
    content = (prompt[-1].get("content") or "") + (completion[0].get("content") or "")
    return [*prompt[:-1], {**prompt[-1], **completion[0], "content": content}, *completion[1:]]


def _require_messages(messages: Sequence[Message], index: int) -> None:
    for place, message in enumerate(messages):
        is_good = isinstance(message, Mapping) and isinstance(message.get("role"), str)
        if not is_good or not (isinstance(message.get("content"), str) or message.get("tool_calls")):
            raise bad_example(
                index,
                "bad_message",
                f"message {place} needs a role and a content, both strings; found {message!r:.80}",
            )
