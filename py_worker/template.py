"""Render a chat template as transformers does, within bounds: a template is code that came with somebody's model.

Memory is bounded by the system (RLIMIT_AS, on Linux), time by a signal between two bytecodes, and the operators that make one
bytecode last for ever (powers, products of huge numbers, repetition) by size. Bounds cost a tenth of a
millisecond a rendering.
"""

from __future__ import annotations

import resource
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from py_worker.errors import WorkerError

MEMORY_BYTES = 1 << 30
"""Beyond what the process has when rendering begins."""
SECONDS = 10.0
"""Of processor time, for one conversation."""
REPEATED_ITEMS = 1 << 24
NUMBER_BITS = 1 << 16


class TemplateLimit(Exception):  # noqa: N818 - reads as what happened
    """A template needs more than it may have."""


class Clock:
    """What a template is told of the time, and whether it asked."""

    def __init__(self, date: str | None = None) -> None:
        """Stand still at the beginning of ``date`` (ISO), or go with the time of the machine."""
        self._stands_at = None if date is None else _day(date)
        self.was_read = False

    def strftime_now(self, form: str) -> str:
        """Return the time as the template wants it written."""
        self.was_read = True
        return (self._stands_at or datetime.now()).strftime(form)


def _day(text: str) -> datetime:
    with suppress(ValueError):
        day = datetime.fromisoformat(text)
        if f"{day:%Y-%m-%d}" == text:
            return day
    raise WorkerError("BAD_PARAMS", f"date is {text!r}; give a day such as 2026-11-26")


def apply_template(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    text: str | None,
    options: Mapping[str, Any],
    clock: Clock | None = None,
) -> str:
    """Return what ``apply_chat_template`` returns; raises whatever the template raises, or TemplateLimit.

    Where there is a ``clock`` it stands in for transformers' own, the only one that a template can read.
    """
    if clock is not None:
        options = {**options, "strftime_now": clock.strftime_now}
    with _bounded_memory(), _bounded_time(), _own_compiler():
        rendered = tokenizer.apply_chat_template(
            [dict(message) for message in messages], chat_template=text, tokenize=False, **options
        )
    return str(rendered)


@lru_cache(maxsize=16)
def _compile(text: str) -> Template:
    return _environment().from_string(text)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    """Return transformers' own environment with bounded operators; those are not computed while compiling either."""
    environment = chat_template_utils._cached_compile_jinja_template("").environment
    assert isinstance(environment, ImmutableSandboxedEnvironment)
    environment.intercepted_binops = frozenset(["*", "**"])
    environment.binop_table |= {"*": _multiply, "**": _power}
    return environment


def _multiply(left: Any, right: Any) -> Any:
    for many, times in ((left, right), (right, left)):
        if isinstance(times, int) and hasattr(many, "__len__") and len(many) * times > REPEATED_ITEMS:
            raise TemplateLimit(f"it repeats {len(many)} items {times} times")
    if isinstance(left, int) and isinstance(right, int):
        _require_bits(left.bit_length() + right.bit_length())
    return left * right


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int):
        _require_bits(base.bit_length() * max(exponent, 0))
    return base**exponent


def _require_bits(bits: int) -> None:
    if bits > NUMBER_BITS:
        raise TemplateLimit(f"it computes a number of more than {NUMBER_BITS} bits")


@contextmanager
def _own_compiler() -> Iterator[None]:
    """Have transformers render with templates that were compiled here."""
    before = chat_template_utils._compile_jinja_template
    chat_template_utils._compile_jinja_template = _compile
    try:
        yield
    finally:
        chat_template_utils._compile_jinja_template = before


@contextmanager
def _bounded_memory() -> Iterator[None]:
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    allowed = _mapped_bytes() + MEMORY_BYTES
    if sys.platform != "linux" or (before != resource.RLIM_INFINITY and before <= allowed):
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (allowed, most))
    try:
        yield
    except MemoryError:  # not its cause: the process as a whole has memory
        raise TemplateLimit(f"it needs more than {MEMORY_BYTES >> 20} MiB of memory") from None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))


def _mapped_bytes() -> int:
    table = Path("/proc/self/statm")
    return int(table.read_text().split()[0]) * resource.getpagesize() if table.exists() else 0


@contextmanager
def _bounded_time() -> Iterator[None]:
    """Interrupt the main thread, the one that runs requests; in another thread there is no signal and no bound."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_running = True

    def interrupt(_signal: int, _frame: object) -> None:
        if is_running:
            raise TemplateLimit(f"it does not end within {SECONDS:g} s")

    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, 1.0)  # again, should a filter swallow the first
    try:
        yield
    finally:
        is_running = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
