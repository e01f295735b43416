"""The 25 checks of IFEval (arXiv 2311.07911): whether a text does what a prompt asks for.

Verdicts are those of google-research/instruction_following_eval (Apache-2.0), oddities included, such as keywords that are regular
expressions; its three libraries do what they do there: langdetect (seeded, so that a text has one language), NLTK's word tokenizer,
and NLTK's English Punkt model, as the package ``punkt`` ships it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Check = Callable[..., bool]


def load() -> None:
    """Import what takes seconds, once; raise ``ImportError`` where something is missing."""
    sentence_tokenizer()
    word_tokenizer()
    language_of("These words are English.")  # the profiles of all languages


def verdicts(prompt: str, names: Sequence[str], arguments: Sequence[Mapping[str, Any]], text: str) -> dict:
    """Return for each instruction whether ``text`` follows it, strictly and loosely; raise ``ValueError`` for an unknown one."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise ValueError(f"unknown instruction {unknown[0]}")
    checks = [
        functools.partial(CHECKS[name], **given(name, prompt, values))
        for name, values in zip(names, arguments, strict=True)
    ]
    return {
        "strict": [follows(check, [text]) for check in checks],
        "loose": [follows(check, readings(text)) for check in checks],
    }


def given(name: str, prompt: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set; copies of the data fill the rest with null."""
    chosen = {key: value for key, value in values.items() if value is not None}
    if name == "combination:repeat_prompt":
        chosen.setdefault("prompt_to_repeat", prompt)
    return chosen


def follows(check: Callable[[str], bool], texts: Sequence[str]) -> bool:
    """Return whether some reading that is not blank passes."""
    return any(text.strip() and check(text) for text in texts)


def readings(text: str) -> list[str]:
    """Return the text without its first line, its last, both, none, and each of them without asterisks."""
    lines = text.split("\n")
    parts = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*parts, *(part.replace("*", "") for part in parts)]


def compares(count: int, relation: str, limit: int) -> bool:
    """Return whether ``count`` is less than, or at least, ``limit``."""
    if relation not in ("less than", "at least"):
        raise ValueError(f"unknown relation {relation}")
    return count < limit if relation == "less than" else count >= limit


def language_of(text: str) -> str | None:
    """Return the ISO code of the language; None where it cannot be told, which counts as right."""
    import langdetect

    langdetect.DetectorFactory.seed = 0
    try:
        return langdetect.detect(text)
    except langdetect.LangDetectException:
        return None


def response_language(text: str, *, language: str) -> bool:  # noqa: D103 - each check is its rule in the paper's table
    return language_of(text) in (language, None)


def english_capital(text: str) -> bool:  # noqa: D103
    return text.isupper() and language_of(text) in ("en", None)


def english_lowercase(text: str) -> bool:  # noqa: D103
    return text.islower() and language_of(text) in ("en", None)


@functools.lru_cache(maxsize=1)
def sentence_tokenizer() -> Any:
    """Return NLTK's, with its English model: the ``punkt`` package has the same numbers and another algorithm."""
    import punkt
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    model, numbers = punkt.load_model("english"), PunktParameters()
    numbers.abbrev_types = set(model.abbrev_types)
    numbers.collocations = {tuple(pair) for pair in model.collocations}
    numbers.sent_starters = set(model.sent_starters)
    numbers.ortho_context.update(model.ortho_context)
    return PunktSentenceTokenizer(numbers)


@functools.lru_cache(maxsize=1)
def word_tokenizer() -> Any:
    """Return the one behind ``nltk.word_tokenize``."""
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()


def count_words(text: str) -> int:
    """Count as the official check does, by NLTK."""
    from nltk.tokenize import RegexpTokenizer

    return len(RegexpTokenizer(r"\w+").tokenize(text))


def number_sentences(text: str, *, num_sentences: int, relation: str) -> bool:  # noqa: D103
    return compares(len(sentence_tokenizer().tokenize(text)), relation, num_sentences)


def capital_word_frequency(text: str, *, capital_frequency: int, capital_relation: str) -> bool:  # noqa: D103
    sentences = sentence_tokenizer().tokenize(text)
    words = [word for sentence in sentences for word in word_tokenizer().tokenize(sentence)]
    return compares(sum(word.isupper() for word in words), capital_relation, capital_frequency)


def number_words(text: str, *, num_words: int, relation: str) -> bool:  # noqa: D103
    return compares(count_words(text), relation, num_words)


def number_paragraphs(text: str, *, num_paragraphs: int) -> bool:  # noqa: D103
    first, *others = re.split(r"\s?\*\*\*\s?", text)
    inner, last = others[:-1], others[-1:]
    if any(not part.strip() for part in inner):
        return False
    ends = [part for part in (first, *last) if part.strip()]
    return len(inner) + len(ends) == num_paragraphs


def nth_paragraph_first_word(text: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:  # noqa: D103
    paragraphs = re.split(r"\n\n", text)
    count = sum(bool(part.strip()) for part in paragraphs)
    if nth_paragraph > count or not paragraphs[nth_paragraph - 1].strip():
        return False
    word = paragraphs[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    plain = re.split(r"[.,?!'\"]", word)[0].lower()
    return count == num_paragraphs and plain == first_word.lower()


def keyword_existence(text: str, *, keywords: Sequence[str]) -> bool:  # noqa: D103
    return all(re.search(word, text, re.IGNORECASE) for word in keywords)


def keyword_frequency(text: str, *, keyword: str, frequency: int, relation: str) -> bool:  # noqa: D103
    return compares(len(re.findall(keyword.strip(), text, re.IGNORECASE)), relation, frequency)


def forbidden_words(text: str, *, forbidden_words: Sequence[str]) -> bool:  # noqa: D103
    return not any(re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in forbidden_words)


def letter_frequency(text: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    """Count a letter; of another character the official check draws a letter by chance, here it is counted."""
    return compares(text.lower().count(letter.strip().lower()), let_relation, let_frequency)


def number_placeholders(text: str, *, num_placeholders: int) -> bool:  # noqa: D103
    return len(re.findall(r"\[.*?\]", text)) >= num_placeholders


def postscript(text: str, *, postscript_marker: str) -> bool:  # noqa: D103
    marker = postscript_marker.strip()
    known = {"P.P.S": r"\s*p\.\s?p\.\s?s.*$", "P.S.": r"\s*p\.\s?s\..*$"}
    pattern = known.get(marker, rf"\s*{marker.lower()}.*$")
    return bool(re.search(pattern, text.lower(), re.MULTILINE))


def number_bullet_lists(text: str, *, num_bullets: int) -> bool:  # noqa: D103
    stars = re.findall(r"^\s*\*[^\*].*$", text, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def constrained_response(text: str) -> bool:  # noqa: D103
    return any(f"My answer is {word}." in text for word in ("yes", "no", "maybe"))


def number_highlighted_sections(text: str, *, num_highlights: int) -> bool:  # noqa: D103
    single = [part.strip("*") for part in re.findall(r"\*[^\n\*]*\*", text)]
    double = [part[2:-2] for part in re.findall(r"\*\*[^\n\*]*\*\*", text)]
    return sum(bool(part.strip()) for part in (*single, *double)) >= num_highlights


def multiple_sections(text: str, *, section_spliter: str, num_sections: int) -> bool:  # noqa: D103
    return len(re.split(rf"\s?{section_spliter.strip()}\s?\d+\s?", text)) - 1 >= num_sections


def json_format(text: str) -> bool:  # noqa: D103
    plain = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        plain = plain.removeprefix(fence)
    try:
        json.loads(plain.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def title(text: str) -> bool:  # noqa: D103
    return any(part.lstrip("<").rstrip(">").strip() for part in re.findall(r"<<[^\n]+>>", text))


def two_responses(text: str) -> bool:  # noqa: D103
    first, *others = text.split("******")
    inner, last = others[:-1], others[-1:]
    if any(not part.strip() for part in inner):
        return False
    said = [part.strip() for part in (first, *inner, *last) if part.strip()]
    return len(said) == 2 and said[0] != said[1]


def repeat_prompt(text: str, *, prompt_to_repeat: str) -> bool:  # noqa: D103
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def end_checker(text: str, *, end_phrase: str) -> bool:  # noqa: D103
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def no_comma(text: str) -> bool:  # noqa: D103
    return "," not in text


def quotation(text: str) -> bool:  # noqa: D103
    plain = text.strip()
    return len(plain) > 1 and plain[0] == plain[-1] == '"'


CHECKS: Mapping[str, Check] = {
    "change_case:capital_word_frequency": capital_word_frequency,
    "change_case:english_capital": english_capital,
    "change_case:english_lowercase": english_lowercase,
    "combination:repeat_prompt": repeat_prompt,
    "combination:two_responses": two_responses,
    "detectable_content:number_placeholders": number_placeholders,
    "detectable_content:postscript": postscript,
    "detectable_format:constrained_response": constrained_response,
    "detectable_format:json_format": json_format,
    "detectable_format:multiple_sections": multiple_sections,
    "detectable_format:number_bullet_lists": number_bullet_lists,
    "detectable_format:number_highlighted_sections": number_highlighted_sections,
    "detectable_format:title": title,
    "keywords:existence": keyword_existence,
    "keywords:forbidden_words": forbidden_words,
    "keywords:frequency": keyword_frequency,
    "keywords:letter_frequency": letter_frequency,
    "language:response_language": response_language,
    "length_constraints:nth_paragraph_first_word": nth_paragraph_first_word,
    "length_constraints:number_paragraphs": number_paragraphs,
    "length_constraints:number_sentences": number_sentences,
    "length_constraints:number_words": number_words,
    "punctuation:no_comma": no_comma,
    "startend:end_checker": end_checker,
    "startend:quotation": quotation,
}
