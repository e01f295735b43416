"""What every worker would wait for at its start, and few need."""

from __future__ import annotations

import subprocess
import sys

SLOW = ("peft", "bitsandbytes", "sklearn")
"""Each takes seconds to import, where it is installed."""
TRIAL = f"""
import sys
from py_worker.__main__ import import_verbs
import_verbs()
print("py_worker.verbs" in sys.modules, [name for name in {SLOW} if name in sys.modules])
"""


def test_a_worker_starts_without_what_adapters_need():
    done = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "True []"
