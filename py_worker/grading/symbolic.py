"""Two expressions against each other: numbers to fifty digits, anything else by ``math_verify``."""

from __future__ import annotations

import importlib
from typing import Any


def load() -> None:
    """Import what takes seconds, once; raise ``ImportError`` where something is missing."""
    importlib.import_module("math_verify")
    read(r"\frac{1}{2}")  # the grammar's tables


def same_symbolic(said: str, wanted: str) -> bool:
    """Compare what sympy reads."""
    from math_verify import verify

    one, other = read(said), read(wanted)
    if one is None or other is None:
        return False
    exact = same_number(one, other)
    if exact is not None:
        return exact
    if verify(other, one, allow_set_relation_comp=True, timeout_seconds=None):
        return True
    return same_with_imaginary(one, other)


def read(text: str) -> Any:
    """Return the expression, None where it cannot be read."""
    from latex2sympy2_extended import NormalizationConfig, latex2sympy

    try:
        return latex2sympy(
            text, normalization_config=NormalizationConfig(basic_latex=True, malformed_operators=True)
        )
    except Exception:  # noqa: BLE001 - the parser raises whatever it likes; what it cannot read equals nothing
        return None


DIGITS = 50


def same_number(one: Any, other: Any) -> bool | None:
    """Compare two numbers; None where either is none. A decimal is a rounded value from six places on, else exactly what it says."""
    import sympy

    if not all(isinstance(value, sympy.Expr) and not value.free_symbols for value in (one, other)):
        return None
    if any(value.is_infinite or value.has(sympy.nan, sympy.zoo) for value in (one, other)):
        return one == other
    decimals = [value.has(sympy.Float) for value in (one, other)]
    one, other = (exact_of(value) for value in (one, other))
    if one.is_Rational and other.is_Rational and decimals[0] == decimals[1]:
        return bool(one == other)
    left, right = sympy.N(one, DIGITS), sympy.N(other, DIGITS)
    difference, size = abs(left - right), max(abs(left), abs(right))
    if not (difference.is_number and size.is_number) or sympy.nan in (difference, size):
        return None
    if any(decimals) and not (one.is_Integer or other.is_Integer):
        return bool(difference <= sympy.Rational(1, 10**6) and difference <= size * sympy.Rational(1, 10**5))
    return bool(difference <= size * sympy.Rational(1, 10**40))


def exact_of(value: Any) -> Any:
    """Return a value whose decimals are the fractions that were written."""
    import sympy

    exact = value.xreplace({number: sympy.Rational(str(number)) for number in value.atoms(sympy.Float)})
    return (
        exact.doit() if exact.has(sympy.Mul, sympy.Add, sympy.Pow) and not exact.atoms(sympy.Float) else exact
    )


def same_with_imaginary(one: Any, other: Any) -> bool:
    """Compare once more with ``i`` as the imaginary unit, where it is the only letter."""
    import sympy

    if not all(isinstance(value, sympy.Expr) for value in (one, other)):
        return False
    letters = {str(symbol) for value in (one, other) for symbol in value.free_symbols}
    if letters != {"i"}:
        return False
    values = [value.subs(dict.fromkeys(value.free_symbols, sympy.I)) for value in (one, other)]
    return bool(same_number(values[0], values[1]))
