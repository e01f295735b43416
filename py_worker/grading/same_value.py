"""Are two answers to a problem equal in value? Written for MATH (Hendrycks et al. 2021), whose answers are LaTeX.

Lists, sets, tuples, intervals, equations, texts, times and numbers in a base are compared by their parts, here. What is left, one
expression against another, is read by ``latex2sympy2_extended``; two numbers are compared to fifty digits, anything else by ``math_verify``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from py_worker.grading.parts import Parts, interval_of, joined, parts_of, split, squeezed
from py_worker.grading.plain_latex import UNITS, plain_latex, split_unit
from py_worker.grading.symbolic import same_symbolic

LONGEST = 2_000  # characters of an answer


def is_same(answer: str, expected: str) -> bool:
    """Return whether an answer says what is expected; False where it cannot be read."""
    if len(answer) > LONGEST or not answer.strip():
        return False
    return same(plain_latex(answer), plain_latex(expected))


def same(said: str, wanted: str) -> bool:
    """Compare two plain forms."""
    if squeezed(said) == squeezed(wanted):
        return squeezed(said) != ""
    (said, said_unit), (wanted, wanted_unit) = split_unit(said), split_unit(wanted)
    if said_unit and wanted_unit and differ(said_unit, wanted_unit):
        return False
    if said_unit == "percent":
        said += "%"
    if wanted_unit == "percent":
        wanted += "%"
    if squeezed(said) == squeezed(wanted):
        return squeezed(said) != ""
    return same_parts(parts_of(said), parts_of(wanted))


def differ(one: str, other: str) -> bool:
    """Return whether both are units that we know, and not the same."""
    return one in UNITS and other in UNITS and one != other


def same_parts(said: Parts, wanted: Parts) -> bool:
    """Compare structures; a list is a set, and a tuple may lack its brackets."""
    many = ("list", "set")
    if said.kind == wanted.kind == "union":
        return same_set(said.items, wanted.items) or same_symbolic(joined(said), joined(wanted))
    if said.kind == wanted.kind == "group":
        return said.brackets == wanted.brackets and same_row(said.items, wanted.items)
    if said.kind in many and wanted.kind in many:
        return same_set(said.items, wanted.items)
    if "one" in (said.kind, wanted.kind):
        return same_as_one(said, wanted)
    if {said.kind, wanted.kind} == {"list", "union"}:
        union, ranges = (said, wanted) if said.kind == "union" else (wanted, said)
        return same_set(tuple(interval_of(item) for item in ranges.items), union.items)
    if {said.kind, wanted.kind} == {"list", "group"}:
        group = said if said.kind == "group" else wanted
        return group.brackets == "()" and same_row(said.items, wanted.items)
    return False


def same_as_one(said: Parts, wanted: Parts) -> bool:
    """Compare where one of the two is a single expression."""
    if said.kind == wanted.kind:
        return same_one(said.items[0], wanted.items[0])
    many = said if said.kind != "one" else wanted
    if many.kind in ("list", "set"):
        single = said.items[0] if said.kind == "one" else wanted.items[0]
        inner = re.fullmatch(r"[a-zA-Z]\s*\\in\s*(.*)", single, re.DOTALL)
        if inner is not None:
            return same_parts(parts_of(inner[1]), many)
    if many.kind in ("list", "set"):
        return (
            same_set(said.items, wanted.items) if many.items else same_symbolic(joined(said), joined(wanted))
        )
    if many.kind == "union" or many.kind == "group":
        single = said.items[0] if said.kind == "one" else wanted.items[0]
        inner = re.fullmatch(
            r"[a-zA-Z]\s*\\in\s*(.*)|(?:[a-zA-Z]|\([a-zA-Z, ]*\))\s*=\s*(.*)", single, re.DOTALL
        )
        if inner is not None:
            return same_parts(parts_of(inner[1] or inner[2]), many)
        return same_symbolic(joined(said), joined(wanted))
    return False


def same_row(said: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Compare in order."""
    return len(said) == len(wanted) and all(same(a, b) for a, b in zip(said, wanted, strict=True))


def same_set(said: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Compare in any order: each has an equal on the other side, and no value stands more often there."""
    left = list(distinct(wanted))
    for item in distinct(said):
        place = next((i for i, other in enumerate(left) if same(item, other)), None)
        if place is None:
            return False
        left.pop(place)
    return not left


MOST_ITEMS = 64  # of a list that is compared value by value


def distinct(items: tuple[str, ...]) -> list[str]:
    """Return each value once."""
    texts = list({squeezed(item): item for item in items}.values())
    if len(texts) > MOST_ITEMS:
        return texts
    return [item for i, item in enumerate(texts) if not any(same(item, other) for other in texts[:i])]


NAME = r"(?:[a-zA-Z]|\\[a-zA-Z]+|\\text\s*\{[^{}]*\}|[a-zA-Z]+)(?:_\{?\w+\}?)?'?(?:\s*\([a-zA-Z, ]*\))?"
BASE = re.compile(r"(-?[0-9A-Fa-f]+)\s*_\s*\{?\s*(\d{1,2})\s*\}?")
CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)")


def same_one(said: str, wanted: str) -> bool:
    """Compare two expressions."""
    for compare in (same_text, same_clock, same_in_base, same_percent, same_equation):
        verdict = compare(said, wanted)
        if verdict is not None:
            return verdict
    return same_symbolic(said, wanted)


def same_text(said: str, wanted: str) -> bool | None:
    """Compare as words where either is one."""
    if not (is_text(said) or is_text(wanted)):
        return None
    for one, other in ((said, wanted), (wanted, said)):
        letter = re.match(r"\(?\\text\s*\{\s*\(([A-J])\)|\(([A-J])\)\s*\S", one)
        if letter and re.fullmatch(r"[A-J]", words(other).upper()):
            return words(other).upper() == (letter[1] or letter[2])
    return words(said) == words(wanted) != ""


KNOWN = r"\\[a-zA-Z]+|(?:sin|cos|tan|cot|sec|csc|log|ln|exp|min|max|gcd|lcm|det|sqrt|frac|infty)"


def is_text(said: str) -> bool:
    """Return whether an answer is words: within ``text``, or four letters in a row that are no command."""
    if re.fullmatch(r"\(?\s*\\text\s*\{[^{}]*\}\s*\)?", said):
        return True
    bare = re.sub(KNOWN, " ", re.sub(r"\\(?:begin|end)\s*\{[^{}]*\}", " ", said))
    return (
        re.search(r"[a-zA-Z]{4,}", bare) is not None or re.fullmatch(r"\(?[A-Z]\)?", said.strip()) is not None
    )


def words(said: str) -> str:
    """Return letters and digits alone, small."""
    plain = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", said)
    bare = re.sub(r"^\s*(?:an?|the)\s+", "", plain.lower())
    return re.sub(r"[^\w+\-/<>=.]+", "", bare).strip(".")


def same_clock(said: str, wanted: str) -> bool | None:
    """Compare as times; what may be a ratio as well is one where the other is no time."""
    one, two = CLOCK.fullmatch(said.strip()), CLOCK.fullmatch(wanted.strip())
    if one and two:
        return [int(part) for part in one.groups()] == [int(part) for part in two.groups()]
    return None


def same_in_base(said: str, wanted: str) -> bool | None:
    """Compare digits with the base that stands below them; one side may leave the base out."""
    one, two = BASE.fullmatch(said.strip()), BASE.fullmatch(wanted.strip())
    if one and two:
        return (one[1].upper(), one[2]) == (two[1].upper(), two[2])
    found = one or two
    if found is None:
        return None
    other = (wanted if one else said).strip()
    return other.upper() == found[1].upper() or (
        other.isdigit() and value_in_base(found[1], int(found[2])) == int(other)
    )


def value_in_base(digits: str, base: int) -> int | None:
    """Return the value, None where a digit is too large."""
    try:
        return int(digits, base)
    except ValueError:
        return None


def same_percent(said: str, wanted: str) -> bool | None:
    """Compare shares: ``10%`` is 10 where the other has no sign, and 0.1."""
    marks = ["%" in text for text in (said, wanted)]
    if not any(marks):
        return None
    bare = [text.replace("%", "").strip() for text in (said, wanted)]
    if all(marks):
        return same(*bare)
    share = [rf"\frac{{{text}}}{{100}}" if mark else text for text, mark in zip(bare, marks, strict=True)]
    return same(*bare) or same_symbolic(*share)


def same_equation(said: str, wanted: str) -> bool | None:
    """Compare values where one side names its variable, or gives a chain of equals; equations side by side."""
    one, two = list(split_equation(said)), list(split_equation(wanted))
    if len(one) == len(two) == 1:
        return None
    if len(one) > 1 and len(two) > 1:
        return same_equations(one, two)
    (chain, text, other) = (one, said, wanted) if len(one) > 1 else (two, wanted, said)
    if "\\approx" in text:
        return any(same(part, other) for part in chain)
    names_it = re.fullmatch(NAME, chain[0]) or not any(has_variable(side) for side in chain)
    return same(chain[-1], other) if len(chain) > 2 or names_it else None


def has_variable(text: str) -> bool:
    """Return whether letters are left without commands."""
    return re.search(r"[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", text)) is not None


def split_equation(text: str) -> tuple[str, ...]:
    """Return the sides of ``=`` and of ``approx``; a comparison such as ``<=`` is none."""
    marked = re.sub(r"\\approx(?![a-zA-Z])", "=", text)
    return split(marked, "=") if not re.search(r"[<>!]=|=[<>]", marked) else (text,)


def same_equations(said: Sequence[str], wanted: Sequence[str]) -> bool:
    """Compare two equations: side by side, or as what both say of their variables."""
    if len(said) == len(wanted) == 2:
        if (same(said[0], wanted[0]) and same(said[1], wanted[1])) or (
            same(said[0], wanted[1]) and same(said[1], wanted[0])
        ):
            return True
        both_named = re.fullmatch(NAME, said[0]) and re.fullmatch(NAME, wanted[0])
        if both_named and squeezed(said[0]) != squeezed(wanted[0]):
            return False
        return same_symbolic("=".join(said), "=".join(wanted))
    return squeezed(said[0]) == squeezed(wanted[0]) and same(said[-1], wanted[-1])
