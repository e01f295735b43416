"""Where a message comes out in the text of a chat.

Nothing is found by looking for words. A place is the end of what the template writes for the beginning of a chat, or it is where a
mark comes out that was put into a message: the mark must change nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from py_worker.view import MARK, Message, View, with_content


@dataclass(frozen=True)
class Turn:
    """What an assistant wrote, in characters of a text: from ``start`` to ``end``."""

    start: int
    content_end: int | None
    """Where its words end; None where that is not known, as of tool calls."""
    end: int
    """Where its words end if it cannot be seen where its end of turn does."""


@dataclass(frozen=True)
class Scene:
    """Messages with the text that the template makes of them, and how it does."""

    render: Callable[[Sequence[Message]], str]
    messages: Sequence[Message]
    text: str

    def words(self, place: int) -> str:
        """Return what a message says, without white space around it."""
        return (self.messages[place].get("content") or "").strip()

    def comes_out(self, place: int, at: int | None = None) -> int | None:
        """Return where a mark in a message's content comes out: behind its words, or before character ``at``.

        None where it does not, or where it changes anything else: then the text does not tell what the template did.
        """
        content = self.messages[place].get("content") or ""
        if not content.strip():
            return None
        at = len(content.rstrip()) if at is None else at
        marked = self.render(with_content(self.messages, place, content[:at] + MARK + content[at:]))
        is_seen = marked.count(MARK) == 1 and marked.replace(MARK, "") == self.text
        return marked.index(MARK) if is_seen else None

    def kept_from(self, place: int) -> int | None:
        """Return where the rest begins of a content of which the template drops the beginning and nothing else."""
        end, first = self.comes_out(place), self._first_kept(place)
        if end is None or first is None:
            return None
        rest = self.messages[place]["content"].rstrip()[first[0] :]
        return first[1] if first[0] > 0 and self.text[first[1] : end] == rest else None

    def _first_kept(self, place: int) -> tuple[int, int] | None:
        """Return which character of a content is the first that the template does not drop, and where it stands, by halving."""
        low, high = 0, len((self.messages[place].get("content") or "").rstrip())
        while low < high:
            middle = (low + high) // 2
            if self.comes_out(place, middle) is None:
                low = middle + 1
            else:
                high = middle
        at = self.comes_out(place, high)
        return None if at is None else (high, at)


def find_turn(view: View, scene: Scene, place: int, begins: int | None = None) -> tuple[Turn, bool]:
    """Find the turn of one message, which may be known to begin somewhere; say whether its words stand there as they were."""
    text, words, message = scene.text, scene.words(place), scene.messages[place]
    content_end = scene.comes_out(place)
    is_kept = not words or (content_end is not None and text[:content_end].endswith(words))
    start = begins
    if start is None and place > 0 and text.startswith(before := view.asked(scene.messages[:place])):
        start = len(before)
    if start is None and content_end is not None:
        start = content_end - len(words) if is_kept else scene.kept_from(place)
    closed = text if place == len(scene.messages) - 1 else view.whole(scene.messages[: place + 1])
    is_closed = text.startswith(closed)
    words_end = None if message.get("tool_calls") else content_end
    end = len(closed) if is_closed else words_end
    if start is None or end is None:
        raise view.bad(
            "template_rewrites_history", f"it cannot be seen where the chat template puts message {place}"
        )
    return Turn(start, words_end, end), is_kept
