import threading

from py_worker.pulse import Pulse


def test_only_a_thread_that_neither_steps_nor_computes_is_idle() -> None:
    pulses: list[Pulse] = []
    made, compute, stop = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        pulses.append(Pulse())
        made.set()
        compute.wait()  # a lock that another thread never gives back
        while not stop.is_set():
            sum(range(10_000))

    thread = threading.Thread(target=work, daemon=True)  # a failure here must not hold the suite
    thread.start()
    made.wait()
    (pulse,) = pulses

    def watch(until: bool) -> None:
        pause = threading.Event()
        for _ in range(3000):
            if (pulse.idle_seconds(is_busy=True) > 1.5) is until:
                return
            pause.wait(0.1)
        raise AssertionError(f"idle never became {until}")

    watch(until=True)
    assert pulse.place() is None  # not for long enough to be told
    assert pulse.idle_seconds(is_busy=False) == 0  # nothing is to be done
    watch(until=True)
    pulse.beat()
    watch(until=False)
    watch(until=True)
    compute.set()
    watch(until=False)
    stop.set()
    thread.join()
