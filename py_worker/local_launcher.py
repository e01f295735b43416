"""``python -m py_worker.local_launcher``: workers on this machine, each with GPUs of its own."""

from __future__ import annotations

import queue
import threading
from typing import Any

from py_worker.launch import Host, read_spec, say, tie_to_parent, watch


def main() -> None:
    """Start what the spec says, tell of their ends, and end them with stdin."""
    tie_to_parent()
    spec = read_spec()
    say("connected", resources={})
    say("placed")
    ended: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
    hosts: list[Host] = []
    gpu = 0
    for worker in spec["workers"]:
        gpus = list(range(gpu, gpu := gpu + worker["gpus"]))
        host = Host()
        hosts.append(host)
        try:
            say("worker", name=worker["name"], **host.start(spec["command"], spec["env"], "127.0.0.1", gpus))
        except (OSError, RuntimeError) as error:
            say("lost", name=worker["name"], reason=str(error))
            continue
        wait = lambda name=worker["name"], host=host: ended.put((name, host.wait()))  # noqa: E731 - bound here
        threading.Thread(target=wait, daemon=True).start()
    say("ready")

    def look() -> None:
        while not ended.empty():
            name, how = ended.get()
            say("exit", name=name, **how)

    watch(look)
    for host in hosts:
        host.stop()
    say("bye")


if __name__ == "__main__":
    main()
