"""How long the running request has done nothing at all, although this process is alive: it waits for what will not come."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

SAMPLE_SECONDS = 0.5
NOTICED_CPU_SECONDS = 0.05
"""Processor time that counts as work; answering pings for an hour takes less."""
SHOWN_AFTER_SECONDS = 5.0


class Pulse:
    """Watches the thread that makes it, from another one.

    Work is a step that the request reports, processor time of any thread but the watcher's (a product, a download), or a wait
    for the disk. A thread that waits for a lock, a thread or a peer that never answers shows none of them.
    """

    def __init__(self) -> None:
        self._thread = threading.current_thread()
        self._beats = 0
        self._seen_beats = 0
        self._cpu = 0.0
        self._sampled = time.monotonic()
        self._idle = 0.0

    def beat(self) -> None:
        """Note a step of the running request."""
        self._beats += 1

    def idle_seconds(self, *, is_busy: bool) -> float:
        """Sample, from the watching thread alone, and return for how long nothing was seen; 0 where nothing is to be done."""
        now = time.monotonic()
        if now - self._sampled < SAMPLE_SECONDS and is_busy:
            return self._idle
        # A process that was stopped for an hour has not been idle for one.
        elapsed = min(now - self._sampled, 4 * SAMPLE_SECONDS)
        self._sampled = now
        cpu = time.process_time() - time.thread_time()
        has_worked = self._beats != self._seen_beats or cpu - self._cpu >= NOTICED_CPU_SECONDS
        if has_worked or not is_busy or self._waits_for_disk():
            self._seen_beats, self._cpu, self._idle = self._beats, cpu, 0.0
        else:
            self._idle += elapsed
        return self._idle

    def place(self) -> str | None:
        """Return where the watched thread is, innermost call last; None while it has not been idle for long."""
        frame = (
            sys._current_frames().get(self._thread.ident or 0) if self._idle > SHOWN_AFTER_SECONDS else None
        )
        calls: list[str] = []
        while frame is not None and len(calls) < 6:
            code = frame.f_code
            calls.insert(0, f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}")
            frame = frame.f_back
        return " > ".join(calls) or None

    def _waits_for_disk(self) -> bool:
        """Say whether the system has the thread in uninterruptible sleep; false where it does not tell."""
        try:
            text = Path(f"/proc/self/task/{self._thread.native_id}/stat").read_text()
        except OSError:
            return False
        return text.rpartition(")")[2].split()[0] == "D"
