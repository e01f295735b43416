"""What every worker would wait for at its start, and few need."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import py_worker

SOURCES = sorted(Path(py_worker.__file__).parent.glob("*.py"))
SLOW = {"peft": {"adapter.py", "merge.py"}, "py_worker.adapter": {"merge.py"}}
"""Each takes seconds to import, with bitsandbytes where that is installed; beside it who may import it at once."""


@pytest.mark.parametrize("slow", SLOW)
def test_is_imported_when_it_is_needed(slow: str):
    found = {path.name for path in SOURCES if slow in imported_at_once(path)}
    assert found == SLOW[slow]


def imported_at_once(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    named = {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    named |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    return named | {name.split(".")[0] for name in named}
