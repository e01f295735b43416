"""LaTeX of an answer in one plain form: what only changes its looks is taken out, units are split off."""

from __future__ import annotations

import re
import unicodedata

REWRITES: tuple[tuple[str, str], ...] = (
    (r"\\(?:left|right|[bB]igg?[lrm]?)(?![a-zA-Z])\s*\.?(?=[\s()\[\]{}|.\\/<>]|$)", ""),
    (r"\\(?:displaystyle|textstyle|limits|nolimits|!|mathstrut)(?![a-zA-Z])", ""),
    (r"\\\\\s*\[\s*-?[\d.]+\s*(?:pt|em|ex|mm|cm|in)\s*\]", r"\\\\"),
    (r"(?<=\d)(?:\{,\}|\{\\,\})(?=\d{3}(?!\d))", ""),
    (r"(?<=\d)(?:\\,|[ \u00a0\u2009\u202f])(?=\d{3}(?!\d))(?<!\d{4}.)", ""),
    (r"(?<!\\)\\[,;:> ]|~|\\(?:q?quad|thinspace|enspace)(?![a-zA-Z])|&nbsp;|[\u00a0\u2009\u202f]", " "),
    (r"\\(?:mathrm|mathit|operatorname|text)\s*\{\s*([ie])\s*\}", r"\1"),
    (
        r"\\(?:mbox|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mathsf|operatorname|rm)\s*(?=\{)",
        r"\\text",
    ),
    (r"\\(?:dfrac|tfrac|cfrac)(?![a-zA-Z])", r"\\frac"),
    (r"\\(?:dbinom|tbinom)(?![a-zA-Z])", r"\\binom"),
    (r"\\(?:leq|leqslant)(?![a-zA-Z])|≤", r"\\le "),
    (r"\\(?:geq|geqslant)(?![a-zA-Z])|≥", r"\\ge "),
    (r"\\neq(?![a-zA-Z])|≠", r"\\ne "),
    (r"\\lbrace(?![a-zA-Z])", r"\\{"),
    (r"\\rbrace(?![a-zA-Z])", r"\\}"),
    (r"\\lbrack(?![a-zA-Z])", "["),
    (r"\\rbrack(?![a-zA-Z])", "]"),
    (r"\\(?:varnothing|O)(?![a-zA-Z])|∅", r"\\emptyset "),
    (r"\\(?:langle|lvec)(?![a-zA-Z])|⟨", "("),
    (r"\\rangle(?![a-zA-Z])|⟩", ")"),
    (r"[−–﹣－]", "-"),
    (r"[×✕]", r"\\times "),
    (r"[·⋅∙]", r"\\cdot "),
    (r"÷", r"\\div "),
    (r"π", r"\\pi "),
    (r"∞", r"\\infty "),
    (r"∪", r"\\cup "),
    (r"∩", r"\\cap "),
    (r"±", r"\\pm "),
    (r"≈", r"\\approx "),
    (r"∈", r"\\in "),
    (r"√\s*\(([^()]*)\)", r"\\sqrt{\1}"),
    (r"√\s*(\d+|[a-zA-Z])", r"\\sqrt{\1}"),
    (r"²", "^2"),
    (r"³", "^3"),
    (r"(?<![^\s\d])\^\s*\{?(\d+)\}?\s*/\s*_\s*\{?(\d+)\}?", r"\\frac{\1}{\2}"),
    (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
    (r"\\frac\s*([\da-zA-Z])\s*\{", r"\\frac{\1}{"),
    (r"(\\frac\s*\{[^{}]*\})\s*([\da-zA-Z])", r"\1{\2}"),
    (r"\\frac\s*([\da-zA-Z])\s*([\da-zA-Z])", r"\\frac{\1}{\2}"),
    (r"\\sqrt\s*(\[[^\[\]]*\])?\s*([\da-zA-Z])", r"\\sqrt\1{\2}"),
    (r"\\log\s*_\s*(?:e(?![a-zA-Z])|\{\s*e\s*\})", r"\\ln "),
    (r"(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
    (r"(?<![\\a-zA-Z])(?:pi)(?![a-zA-Z])", r"\\pi "),
    (r"\\text\s*\{\s*,?\s*(?:and|or)\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])", ","),
    (r"\\text\s*\{\s*([A-Z](?:\s*,\s*[A-Z])+)\s*\}", r"\1"),
    (r"^\\text\s*\{[^{}]*(?:\bis|\banswers?|:)\s*\}\s*:?", ""),
    (r";", ","),
    (r",(?:\s*,)+", ","),
)
COMPILED = tuple((re.compile(pattern), by) for pattern, by in REWRITES)

BASES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
BASE_BY_NAME = re.compile(rf"_\s*\{{?\s*\\text\s*\{{\s*({'|'.join(BASES)})\s*\}}\s*\}}?")
DEGREE = re.compile(
    r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\^\s*\{?\s*\\text\s*\{\s*o\s*\}\s*\}?|\\degree(?![a-zA-Z])|°)\s*(?:\\text\s*\{\s*[CF]\s*\}|[CF](?![a-zA-Z]))?"
)
TRIGONOMETRY = re.compile(
    r"(\\(?:sin|cos|tan|cot|sec|csc))\s*[({]?\s*(-?\d+(?:\.\d+)?)\s*\^\s*\{?\s*\\circ\s*\}?\s*[)}]?"
)
REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar)\s*\{?(\d+)\}?")
MIXED = re.compile(r"(?<![\d./])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d./])")


def plain_latex(text: str) -> str:
    """Return the plain form; white space is left where it may separate."""
    plain = re.sub("[¼-¾⅐-⅞]", vulgar_fraction, unwrapped(text))
    plain = re.sub(r"(?<=\d)(?:,\\!|\\!,)\s*(?=\d{3})", "", plain)
    for pattern, by in COMPILED:
        plain = pattern.sub(by, plain)
    plain = re.sub(r"^(-?\d+(?:\.\d+)?)[eE]([+-]?\d{1,3})$", r"\1\\times 10^{\2}", plain.strip())
    plain = re.sub(r"^\\text\s*\{\s*(-?[\d.,]+(?:\s[^{}]*)?)\}$", r"\1", plain)
    plain = BASE_BY_NAME.sub(lambda match: f"_{{{BASES.index(match[1]) + 2}}}", plain)
    plain = TRIGONOMETRY.sub(r"\1{(\\frac{\2 \\pi}{180})}", plain)
    plain = DEGREE.sub("", plain)
    plain = REPEATING.sub(repeating_fraction, plain)
    plain = MIXED.sub(r"\1\\frac{\2}{\3}", plain)
    plain = plain.replace("\\$", "").replace("$", "").replace("\\%", "%").replace("\\&", "&")
    plain = re.sub(r"[€£]", "", plain)
    plain = re.sub(r"(?<![\d.])\.(?=\d)", "0.", plain)
    return re.sub(r"\s+", " ", plain).strip().rstrip("\\").strip(", ")


def unwrapped(text: str) -> str:
    """Return what stands within signs of mathematics, boxes and emphasis."""
    plain = text.strip()
    while True:
        before = plain
        plain = plain.strip().rstrip(".").strip() if not plain.endswith("...") else plain.strip()
        for opening, closing in (
            ("$$", "$$"),
            ("$", "$"),
            ("\\(", "\\)"),
            ("\\[", "\\]"),
            ("**", "**"),
            ("`", "`"),
        ):
            inner = plain[len(opening) : -len(closing)]
            if (
                plain.startswith(opening)
                and plain.endswith(closing)
                and len(plain) > 2 * len(opening) - 1
                and opening not in inner
            ):
                plain = inner
        boxed = re.fullmatch(r"\\f?boxed\s*\{(.*)\}", plain, re.DOTALL)
        if boxed and closes(boxed.group(1)):
            plain = boxed.group(1)
        if plain == before:
            return plain


def vulgar_fraction(match: re.Match[str]) -> str:
    """Return one character that is a fraction, such as ⅓, as LaTeX."""
    over, under = unicodedata.normalize("NFKC", match[0]).split("\u2044")
    return rf"\frac{{{over}}}{{{under}}}"


def closes(text: str) -> bool:
    """Return whether braces are balanced and never close what is not open."""
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def repeating_fraction(match: re.Match[str]) -> str:
    """Return a decimal with a period as the fraction that it is."""
    whole, start, period = match.groups()
    shift, nines = 10 ** len(start), 10 ** len(period) - 1
    value = int((whole or "0") + start) * nines + int(period)
    return rf"\frac{{{value}}}{{{nines * shift}}}"


UNITS: dict[str, tuple[str, ...]] = {
    "cm": ("cm", "centimeter", "centimetre"),
    "mm": ("mm", "millimeter", "millimetre"),
    "km": ("km", "kilometer", "kilometre"),
    "meter": ("meter", "metre"),
    "inch": ("inch", "inches", "in"),
    "foot": ("foot", "feet", "ft"),
    "yard": ("yard", "yd"),
    "mile": ("mile", "mi"),
    "second": ("second", "sec"),
    "minute": ("minute", "min"),
    "hour": ("hour", "hr"),
    "day": ("day",),
    "week": ("week",),
    "month": ("month",),
    "year": ("year", "years old", "year old"),
    "gram": ("gram",),
    "kg": ("kg", "kilogram"),
    "pound": ("pound", "lb"),
    "ounce": ("ounce", "oz"),
    "liter": ("liter", "litre"),
    "gallon": ("gallon",),
    "dollar": ("dollar", "usd"),
    "cent": ("cent", "¢"),
    "degree": ("degree", "deg"),
    "radian": ("radian", "rad"),
    "percent": ("percent",),
    "unit": ("unit", "square unit", "cubic unit", "sq unit", "units squared", "units cubed"),
    "mph": ("mph", "miles per hour"),
    "am": ("a.m", "am"),
    "pm": ("p.m", "pm"),
}
NAMES = {name: unit for unit, names in UNITS.items() for name in names}
PREFIX = r"(?:square|sq\.?|cubic|cu\.?)\s+"
WORDS = (
    r"(?:"
    + "|".join(sorted((re.escape(name) for name in NAMES if len(name) > 1), key=len, reverse=True))
    + r")"
)
POWER = r"\s*(?:\^\s*\{?\s*[23]\s*\}?)?"
TEXT_UNIT = re.compile(
    rf"(?P<value>.*[^\s,(\[{{=+*/<>-])\s*\\text\s*\{{(?P<unit>[^{{}}]*)\}}{POWER}\s*\.?$", re.DOTALL
)
RATIO_UNIT = re.compile(
    r"(?P<value>.*\d.*?)\s*\\frac\s*\{\s*\\text\s*\{[^{}]*\}\s*\}\s*\{\s*\\text\s*\{[^{}]*\}(?:\^\d)?\s*\}$",
    re.DOTALL,
)
WORD_UNIT = re.compile(
    rf"(?P<value>.*[\d}})]|.*\\pi)\s*(?P<unit>(?:{PREFIX})?{WORDS}s?\.?(?:\s+(?:per|old|squared|cubed)\b[a-zA-Z ]*)?){POWER}$",
    re.DOTALL | re.IGNORECASE,
)

COUNTED = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)\s+[a-zA-Z]{2,}(?:[ -][a-zA-Z]{2,})*")  # 5 apples


def split_unit(plain: str) -> tuple[str, str | None]:
    """Return the answer without a unit behind it, and the unit by one name; None: there is none."""
    ratio = RATIO_UNIT.match(plain)
    if ratio is not None:
        return ratio["value"].strip(), None
    match = TEXT_UNIT.match(plain) or WORD_UNIT.match(plain)
    if match is None:
        counted = COUNTED.fullmatch(plain)
        return (counted[1], None) if counted else (plain, None)
    said = re.sub(r"\s+", " ", match["unit"].lower()).strip(" .")
    bare = re.sub(rf"^{PREFIX}", "", said)
    for name in (said, bare, bare.removesuffix("s")):
        if name in NAMES:
            return match["value"].strip(), NAMES[name]
    return match["value"].strip(), said
