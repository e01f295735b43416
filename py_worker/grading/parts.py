"""An answer as what it consists of: lists, sets, unions, tuples and intervals, by brackets and commas."""

from __future__ import annotations

import re
from dataclasses import dataclass


def squeezed(text: str) -> str:
    """Return text without white space and without brackets around single characters: ``x^{2}`` is ``x^2``."""
    plain = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)
    plain = re.sub(r"(?<=[_^])\{(\w)\}", r"\1", plain)
    return re.sub(r"(?<=\d)\.0+(?!\d)", "", plain)


@dataclass(frozen=True)
class Parts:
    """An answer as what it consists of: ``one``, ``list``, ``set``, ``union``, or a ``group`` within brackets."""

    kind: str
    items: tuple[str, ...]
    brackets: str = ""


DESCRIBED = re.compile(
    r"[a-zA-Z](?:\s*\\in\s*\\mathbb\s*\{?\s*R\s*\}?)?\s*(?:\\mid|\\vert|\||:)\s*(.+)", re.DOTALL
)
"""``x | -1 < x`` of a set: it is what its condition says."""


def parts_of(text: str) -> Parts:
    """Return the outermost structure of an answer."""
    plain = text.strip()
    if "\\pm" in plain or "\\mp" in plain:
        return expanded(plain)
    union = split(plain, "\\cup")
    if len(union) > 1:
        return Parts("union", union)
    if plain.startswith("\\{") and plain.endswith("\\}") and matching(plain, 1) == len(plain) - 1:
        inner = plain[2:-2].strip()
        described = DESCRIBED.fullmatch(inner)
        if described is not None:
            return parts_of(described[1])
        return Parts("set", split(inner, ",") if inner else ())
    if plain[:1] == "{" and len(plain) > 2 and matching(plain, 0) == len(plain) - 1:
        return parts_of(plain[1:-1])
    if plain[:1] in "([" and plain[-1:] in ")]" and plain and matching(plain, 0) == len(plain) - 1:
        items = split(plain[1:-1], ",")
        if len(items) > 1 and not is_number_with_commas(plain[1:-1]):
            return Parts("group", items, plain[0] + plain[-1])
        return Parts("one", (plain,)) if plain[0] == "[" else parts_of(plain[1:-1])
    items = split(plain, ",")
    if len(items) > 1 and not is_number_with_commas(plain):
        return Parts("list", common_prefix(items))
    return Parts("one", (plain.replace(",", "") if is_number_with_commas(plain) else plain,))


def expanded(plain: str) -> Parts:
    """Return both values of each sign that may be either."""
    items: list[str] = []
    for item in split(plain, ","):
        if "\\pm" not in item and "\\mp" not in item:
            items.append(item)
            continue
        for upper, lower in (("+", "-"), ("-", "+")):
            chosen = re.sub(r"\\pm(?![a-zA-Z])\s*", upper, item)
            chosen = re.sub(r"\\mp(?![a-zA-Z])\s*", lower, chosen)
            items.append(re.sub(r"(^|[=({,])\s*\+", r"\1", chosen))
    return Parts("list", common_prefix(tuple(items)))


def common_prefix(items: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``x=1, 2, 3``, ``x=1, x=2`` and ``x_1=1, x_2=2`` as their values: one variable, several values."""
    names = [
        re.match(r"\s*([a-zA-Z](?:_\{?[a-zA-Z]+\}?)?)(?:_\{?\d+\}?)?\s*(?:=|\\in(?![a-zA-Z]))\s*(?=\S)", item)
        for item in items
    ]
    first = names[0]
    if first is None or any(name and name[1] != first[1] for name in names):
        return items
    rest = [item[name.end() :] if name else item for item, name in zip(items, names, strict=True)]
    return tuple(rest)


def is_number_with_commas(text: str) -> bool:
    """Return whether the commas are those of thousands."""
    return re.fullmatch(r"\s*-?\d{1,3}(?:,\d{3})+(?:\.\d+)?\s*%?\s*", text) is not None


def matching(text: str, start: int) -> int:
    """Return the place of the bracket that closes the one at ``start``, -1 where none does; any kind closes any."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] in "([{":
            depth += 1
        elif text[place] in ")]}":
            depth -= 1
            if depth == 0:
                return place
    return -1


def split(text: str, separator: str) -> tuple[str, ...]:
    """Return what stands between separators outside of all brackets."""
    items, depth, start, place = [], 0, 0, 0
    while place < len(text):
        if text[place] in "([{":
            depth += 1
        elif text[place] in ")]}":
            depth -= 1
        elif depth == 0 and text.startswith(separator, place):
            items.append(text[start:place].strip())
            start = place + len(separator)
            place = start
            continue
        place += 1
    return (*items, text[start:].strip())


def interval_of(item: str) -> str:
    """Return ``x < 2`` as the interval that it is; anything else stays."""
    match = re.fullmatch(r"[a-zA-Z]\s*(<|>|\\le|\\ge)\s*(.+)", item)
    if match is None:
        return item
    sign, bound = match.groups()
    if sign in ("<", "\\le"):
        return rf"(-\infty,{bound}{')' if sign == '<' else ']'}"
    return rf"{'(' if sign == '>' else '['}{bound},\infty)"


def joined(parts: Parts) -> str:
    """Return the text that the parts were."""
    if parts.kind == "union":
        return " \\cup ".join(parts.items)
    inner = ", ".join(parts.items)
    if parts.kind == "set":
        return rf"\{{{inner}\}}"
    return f"{parts.brackets[0]}{inner}{parts.brackets[1]}" if parts.kind == "group" else inner
