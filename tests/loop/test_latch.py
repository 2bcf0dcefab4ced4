"""Latch: waiting and opening, from threads and from signal handlers."""

from __future__ import annotations

import signal
import threading

import pytest

from reactor.latch import Latch
from tests.serving import DEADLINE


def test_all_who_wait_are_let_through() -> None:
    latch, through = Latch(), []
    threads = [threading.Thread(target=lambda: through.append(latch.wait(DEADLINE))) for _ in range(5)]
    for thread in threads:
        thread.start()
    latch.open()
    for thread in threads:
        thread.join(DEADLINE)
    assert through == [True] * 5
    assert latch.wait(0)


def test_a_wait_that_is_over_says_so_and_shut_closes_again() -> None:
    latch = Latch(opened=True)
    assert latch.wait(0)
    latch.shut()
    assert not latch.wait(0.001)
    latch.open()
    latch.open()
    assert latch.wait(0)


def test_time_outs_leave_nothing_behind() -> None:
    """Somebody who polls a latch for days must not fill memory."""
    latch = Latch()
    for _ in range(1000):
        latch.wait(0)
    assert len(latch._waiters) <= 1


@pytest.mark.parametrize("opens", [True, False])
def test_a_signal_handler_may_open_or_wait_while_its_own_thread_waits(opens: bool) -> None:
    """Races: the handler runs inside wait() of the same thread; with a lock inside, it would wait for itself."""
    latch = Latch()
    seen = []

    def handler(*_: object) -> None:
        if latch.opened:
            return
        if opens:
            latch.open()
        else:
            seen.append(latch.wait(0.001))
            latch.open()

    before = signal.signal(signal.SIGUSR1, handler)
    me = threading.get_ident()
    started, done = threading.Event(), threading.Event()

    def kill() -> None:
        started.wait(DEADLINE)
        # CPython runs no handler for a signal that comes just before a lock's own wait; another one wakes it.
        while not latch.opened:
            signal.pthread_kill(me, signal.SIGUSR1)
            done.wait(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        started.set()
        assert latch.wait(DEADLINE)
    finally:
        done.set()
        killer.join(DEADLINE)
        signal.signal(signal.SIGUSR1, before)
    assert seen == ([] if opens else [False])
