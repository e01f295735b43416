"""End with the client: it holds the other end of stdin and never writes, so a hangup there is its death."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import stat
from typing import NoReturn

DESCRIPTOR = 0


def is_tied() -> bool:
    """Say whether somebody can hold the other end of stdin: a pipe, or a socket as Node makes them."""
    try:
        mode = os.fstat(DESCRIPTOR).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def tie(*, with_group: bool = False) -> None:
    """Have the system end this process at the hangup, in the middle of a call into a library too, and through any wrapper.

    ``with_group``: its children too, where it leads its process group, as it does when tms starts it.

    SIGKILL, where the system lets it be chosen (Linux), ends a stopped process too; else SIGIO, which ends one by default. Where
    the system sends none, ``has_hung_up`` in the I/O thread tells.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(DESCRIPTOR, fcntl.F_SETSIG, signal.SIGKILL)
    own = os.getpid()
    fcntl.fcntl(DESCRIPTOR, fcntl.F_SETOWN, -own if with_group and os.getpgrp() == own else own)
    flags = fcntl.fcntl(DESCRIPTOR, fcntl.F_GETFL)
    fcntl.fcntl(DESCRIPTOR, fcntl.F_SETFL, flags | os.O_ASYNC)
    if has_hung_up():  # before the signal was asked for
        end()


def has_hung_up() -> bool:
    """Say whether the client is gone; a client that is only stopped still holds its end."""
    poll = select.poll()
    poll.register(DESCRIPTOR, select.POLLIN)
    return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


def end() -> NoReturn:
    """End this process without waiting for the request that runs."""
    os._exit(1)
