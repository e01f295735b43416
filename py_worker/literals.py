"""Names of control tokens that stand in somebody's words: told from those that a template writes, and read as words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from py_worker.errors import WorkerError, from_library, one_line

MARK = "\ufdd0"
"""Behind the first character of a name in somebody's words. A noncharacter of Unicode: no text that is interchanged has it."""


class Literals:
    """Marks names of control tokens in words, and tokenises text with such marks: a marked name is plain characters."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        names = sorted((special | set(tokenizer.all_special_tokens)) - {""}, key=len, reverse=True)
        self._names = {name for name in names if name.strip()}
        # The longest of those that begin at a place, as tokenizers match them.
        self._pattern = re.compile("|".join(map(re.escape, names)) or "(?!)")
        self._twin: tuple[Tokenizer, dict[str, str], dict[int, int]] | None = None

    def first_in(self, value: Any) -> str | None:
        """Return the first name that stands in a text, or in any text of a record or list."""
        return next((match[0] for text in texts_in(value) for match in [self._search(text)] if match), None)

    def _search(self, text: str) -> re.Match[str] | None:
        return next((match for match in self._pattern.finditer(text) if match[0] in self._names), None)

    def mark(self, value: Any) -> Any:
        """Return a copy with every name marked that can be read as plain characters."""
        if isinstance(value, str):
            can = self._can_be_split
            return self._pattern.sub(lambda name: _marked(name[0]) if can(name[0]) else name[0], value)
        if isinstance(value, Mapping):
            return {key: self.mark(inner) for key, inner in value.items()}
        return [self.mark(inner) for inner in value] if isinstance(value, list) else value

    def ids(self, texts: Sequence[str], add_special_tokens: bool) -> list[list[int]]:
        """Tokenise texts; a name is its control token, a marked one is not."""
        plain = [text for text in texts if MARK not in text]
        marked = [text for text in texts if MARK in text]
        rows = dict(zip(plain, self._plain_ids(plain, add_special_tokens), strict=True))
        rows |= zip(marked, self._marked_ids(marked, add_special_tokens), strict=True)
        return [rows[text] for text in texts]

    def _plain_ids(self, texts: list[str], add_special_tokens: bool) -> list[list[int]]:
        if not texts:
            return []
        with from_library(_unwritable):
            encoded = self._tokenizer(
                texts,
                add_special_tokens=add_special_tokens,
                padding=False,
                truncation=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
        return encoded["input_ids"]

    def _marked_ids(self, texts: list[str], add_special_tokens: bool) -> list[list[int]]:
        """Let the twin see its own names where control tokens stand, and the words without their marks."""
        if not texts:
            return []
        twin, names, ids = self._make_twin()
        pattern = re.compile(f"{MARK}|{self._pattern.pattern}")
        unmarked = [
            pattern.sub(lambda match: names.get(match[0], match[0]).replace(MARK, ""), text) for text in texts
        ]
        with from_library(_unwritable):
            rows = twin.encode_batch(unmarked, add_special_tokens=add_special_tokens)
        return [[ids.get(token, token) for token in row.ids] for row in rows]

    def _can_be_split(self, name: str) -> bool:
        """Say whether the words of ``name`` are tokens other than its own; a slow tokenizer is not asked."""
        if name not in self._names or getattr(self._tokenizer, "backend_tokenizer", None) is None:
            return False
        twin, names, _ = self._make_twin()
        own = self._tokenizer.convert_tokens_to_ids(name)
        return name in names and own not in twin.encode(name, add_special_tokens=False).ids

    def _make_twin(self) -> tuple[Tokenizer, dict[str, str], dict[int, int]]:
        """Return the tokenizer with other names for its control tokens, those names, and its ids back to ours."""
        if self._twin is None:
            record = json.loads(cast("Tokenizer", self._tokenizer.backend_tokenizer).to_str())
            names = {}
            for place, token in enumerate(record["added_tokens"]):
                if token["special"]:
                    names[token["content"]] = f"\ufdd1{place}\ufdd1"
                    token |= {"content": names[token["content"]], "normalized": False}
            twin = Tokenizer.from_str(json.dumps(record))
            twin.no_truncation()
            twin.no_padding()
            ids = {
                cast("int", twin.token_to_id(new)): cast("int", self._tokenizer.convert_tokens_to_ids(old))
                for old, new in names.items()
            }
            self._twin = (twin, names, ids)
        return self._twin


def _unwritable(error: BaseException) -> WorkerError:
    why = "the data have characters that its vocabulary lacks, or it is of another model"
    return WorkerError("BAD_PARAMS", f"the model's tokenizer cannot write a text ({one_line(error)}): {why}")


def texts_in(value: Any) -> list[str]:
    """Return every text of a record or list, in order."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [text for part in inner for text in texts_in(part)]


def _marked(name: str) -> str:
    return name[0] + MARK + name[1:]
