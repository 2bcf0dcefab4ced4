"""The door into the loop: nothing lost, nobody left asleep, from threads and from signal handlers."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections import deque
from typing import Any

import pytest

from reactor.loop import Loop
from reactor.mailbox import Mailbox
from reactor.signals import signals_wake
from tests.serving import DEADLINE


def wakes(mailbox: Mailbox, timeout: float = 0) -> bool:
    return bool(select.select([mailbox.reading], [], [], timeout)[0])


@pytest.fixture
def mailbox() -> Any:
    box = Mailbox()
    yield box
    box.close()
    box.close()


def test_a_pipe_is_not_closed_under_who_writes_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Races: the number of a closed pipe is somebody else's a moment later."""
    box = Mailbox()
    writing, go, closed = threading.Event(), threading.Event(), threading.Event()
    write = os.write

    def slow(fd: int, data: bytes) -> int:
        writing.set()
        assert go.wait(DEADLINE)
        assert not closed.is_set()
        return write(fd, data)

    monkeypatch.setattr("reactor.mailbox.os.write", slow)
    assert box.may_sleep()
    poster = threading.Thread(target=box.post, args=(print,))
    poster.start()
    assert writing.wait(DEADLINE)

    def close() -> None:
        box.close()
        closed.set()

    closer = threading.Thread(target=close)
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()
    go.set()
    closer.join(DEADLINE)
    poster.join(DEADLINE)
    assert box.writing == -1


def test_a_post_after_the_end_writes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Mailbox()
    box.may_sleep()
    box.close()
    box.post(print)  # to no descriptor, and without a word


def test_posts_come_out_once_and_in_order(mailbox: Mailbox) -> None:
    for number in range(5):
        mailbox.post(print, number)
    assert [args for _, args in mailbox.collect()] == [(n,) for n in range(5)]
    assert mailbox.collect() == []


def test_posts_to_a_loop_that_is_awake_write_nothing(mailbox: Mailbox) -> None:
    mailbox.post(print)
    assert not wakes(mailbox)
    assert not mailbox.may_sleep(), "there is a post: do not wait"


def test_every_post_to_a_loop_that_sleeps_wakes_it(mailbox: Mailbox) -> None:
    """Only the loop ends its sleep: a signal handler may post between a poster's look and its write."""
    assert mailbox.may_sleep()
    for _ in range(1000):
        mailbox.post(print)
    assert wakes(mailbox)
    mailbox.drain_wakeups()
    assert mailbox.woken()
    mailbox.post(print)
    assert not wakes(mailbox)


def test_a_full_pipe_wakes_too(mailbox: Mailbox) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(mailbox.writing, b"x" * 4096)
    assert mailbox.may_sleep()
    mailbox.post(print)
    assert wakes(mailbox)
    mailbox.drain_wakeups()
    assert not wakes(mailbox)
    assert len(mailbox.collect()) == 1


def test_a_post_after_the_end_goes_nowhere_and_says_nothing(mailbox: Mailbox) -> None:
    mailbox.may_sleep()
    mailbox.close()
    mailbox.post(print)


class Steps:
    """A deque whose append stops before and after, where the test says; so each order of the two sides is tried."""

    def __init__(self, posts: Any) -> None:
        self._posts = posts
        self.before, self.after = threading.Barrier(2), threading.Barrier(2)
        self.go_on = threading.Barrier(2)

    def append(self, post: Any) -> None:
        self.before.wait(DEADLINE)
        self.go_on.wait(DEADLINE)
        self._posts.append(post)
        self.after.wait(DEADLINE)
        self.go_on.wait(DEADLINE)

    def __len__(self) -> int:
        return len(self._posts)

    def __bool__(self) -> bool:
        return bool(self._posts)

    def popleft(self) -> Any:
        return self._posts.popleft()


@pytest.mark.parametrize("sleeps_at", ["before the append", "between append and look", "after the look"])
def test_wherever_the_loop_falls_asleep_it_is_woken_or_sees_the_post(mailbox: Mailbox, sleeps_at: str) -> None:
    """Races: may_sleep() on the loop's thread, post() on another."""
    steps = Steps(mailbox._posts)
    mailbox._posts = steps  # type: ignore[assignment]
    poster = threading.Thread(target=mailbox.post, args=(print, 1))
    poster.start()
    may_sleep = True
    steps.before.wait(DEADLINE)
    if sleeps_at == "before the append":
        may_sleep = mailbox.may_sleep()
    steps.go_on.wait(DEADLINE)
    steps.after.wait(DEADLINE)
    if sleeps_at == "between append and look":
        may_sleep = mailbox.may_sleep()
    steps.go_on.wait(DEADLINE)
    poster.join(DEADLINE)
    if sleeps_at == "after the look":
        may_sleep = mailbox.may_sleep()
    assert not may_sleep or wakes(mailbox), "asleep, with a post that nobody will read"
    assert [args for _, args in mailbox.collect()] == [(1,)]


def test_a_post_just_after_the_loop_has_looked_wakes_it(mailbox: Mailbox) -> None:
    """Races: may_sleep() finds nothing, and a post comes before it returns."""

    class Posting(deque):  # type: ignore[type-arg]
        def __bool__(self) -> bool:
            found = len(self) > 0
            if not found:
                mailbox.post(print, "just after the look")
            return found

    mailbox._posts = Posting()
    assert not mailbox.may_sleep() or wakes(mailbox)


def test_no_post_is_lost_among_many_threads() -> None:
    loop, heard, each = Loop(), [], 2000

    def post(number: int) -> None:
        for i in range(each):
            loop.post(heard.append, (number, i))

    threads = [threading.Thread(target=post, args=(number,)) for number in range(4)]
    with loop.led():
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + DEADLINE
        while len(heard) < 4 * each and time.monotonic() < deadline:
            loop.turn(DEADLINE)
    for thread in threads:
        thread.join(DEADLINE)
    assert len(heard) == 4 * each
    for number in range(4):
        assert [i for n, i in heard if n == number] == list(range(each))
    loop.close()


def test_ping_pong_never_sleeps_through() -> None:
    """Races: each post comes just as the loop may fall asleep; a lost wake-up would wait for the deadline."""
    loop, heard = Loop(), threading.Semaphore(0)
    rounds = 3000
    missed = []

    def player() -> None:
        for number in range(rounds):
            loop.post(heard.release)
            if not heard.acquire(timeout=DEADLINE):
                missed.append(number)
                break
        loop.post(over.append, True)

    over: list[bool] = []
    thread = threading.Thread(target=player)
    with loop.led():
        thread.start()
        while not over:
            loop.turn(2 * DEADLINE)
    thread.join(DEADLINE)
    assert missed == []
    loop.close()


def test_a_signal_handler_may_post_into_the_thread_that_polls_and_into_one_that_posts() -> None:
    """Races: the handler interrupts its own thread, in the poll and in post()."""
    loop, heard = Loop(), []
    before = signal.signal(signal.SIGUSR1, lambda *_: loop.post(heard.append, "signal"))
    me = threading.get_ident()
    killer = threading.Thread(target=lambda: signal.pthread_kill(me, signal.SIGUSR1))
    try:
        with loop.led(), signals_wake(loop.wakeup_fd):
            killer.start()
            deadline = time.monotonic() + DEADLINE
            while not heard and time.monotonic() < deadline:
                loop.turn(DEADLINE)
            assert heard == ["signal"]
            for number in range(200):
                os.kill(os.getpid(), signal.SIGUSR1)
                loop.post(heard.append, number)
            loop.turn(0)
            loop.turn(0)
        assert heard.count("signal") == 201
        assert [h for h in heard if h != "signal"] == list(range(200))
    finally:
        signal.signal(signal.SIGUSR1, before)
        killer.join(DEADLINE)
        loop.close()


def test_the_wakeup_descriptor_is_put_back_and_never_left_when_that_was_closed() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    loop = Loop()
    first = signal.set_wakeup_fd(writing)
    try:
        with signals_wake(loop.wakeup_fd):
            pass
        assert signal.set_wakeup_fd(writing) == writing
        with signals_wake(loop.wakeup_fd):
            os.close(writing)
        assert signal.set_wakeup_fd(-1) == -1, "the loop's own must not stay: its number will be somebody else's"
    finally:
        signal.set_wakeup_fd(first)
        os.close(reading)
        loop.close()
