"""Fakes for the two sides of a strategy: a host whose clock only the test moves, an endpoint, and jobs with a gate.

They know as little as the contract says, so a strategy that works with them asks for nothing more than that.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from tests.serving import DEADLINE


class FakeHost:
    """The contract's Host: descriptors and posts are real, time is not.  Use as a context manager."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.thread = threading.get_ident()
        self.abandoned: list[Any] = []
        self.watched: dict[int, Callable[[], object]] = {}
        self._timers: list[tuple[float, int, list[Any]]] = []
        self._order = itertools.count()
        self._posts: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._reading, self._writing = os.pipe()
        self._open = threading.RLock()  # a signal's handler may post, too

    def __enter__(self) -> FakeHost:
        return self

    def __exit__(self, *exc: object) -> None:
        with self._open:
            os.close(self._reading)
            os.close(self._writing)
            self._writing = -1

    # -- what a strategy may ask

    def watch(self, fd: int, callback: Callable[[], object]) -> Callable[[], None]:
        self._on_thread()
        assert fd not in self.watched
        os.fstat(fd)
        self.watched[fd] = callback

        def undo() -> None:
            self._on_thread()
            os.fstat(fd)  # it is given back before it is closed
            self.watched.pop(fd, None)

        return undo

    def lend(self, strategy: Any) -> bool:
        return False

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        with self._open:
            if self._writing >= 0:  # else there is no loop left to wake, and whom nobody waited for is late
                self._posts.append((callback, args))
                os.write(self._writing, b"\0")

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> Callable[[], None]:
        self._on_thread()
        entry = [callback, args]
        heapq.heappush(self._timers, (when, next(self._order), entry))
        return entry.clear

    def abandon(self, *keep: Any) -> None:
        self.abandoned.append(keep)

    def _on_thread(self) -> None:
        assert threading.get_ident() == self.thread, "not on the loop's thread"

    # -- what a test does

    @property
    def time(self) -> SimpleNamespace:
        """To stand for a strategy's ``time`` module."""
        return SimpleNamespace(monotonic=lambda: self.now)

    def turn(self, patience: float = 0.0) -> None:
        """Run what was posted and what is readable; wait at most ``patience`` seconds for something."""
        poll = select.poll()
        for fd in (self._reading, *self.watched):
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(patience * 1000):
            if fd == self._reading:
                os.read(fd, 4096)
            elif fd in self.watched:
                self.watched[fd]()
        while self._posts:
            callback, args = self._posts.popleft()
            callback(*args)

    def until(self, condition: Callable[[], object], what: str = "it") -> None:
        """Turn until the condition holds."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"waited in vain for {what}"
            self.turn(left)

    def settle_down(self) -> None:
        """Turn until there is nothing more to do at once."""
        self.turn()
        while self._posts:
            self.turn()

    @property
    def due(self) -> list[float]:
        """Seconds until each of the timers that stand."""
        return sorted(when - self.now for when, _, entry in self._timers if entry)

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and run what falls due."""
        self.now += seconds
        while self._timers and self._timers[0][0] <= self.now:
            entry = heapq.heappop(self._timers)[2]
            if entry:
                callback, args = entry
                entry.clear()
                callback(*args)


class FakeEndpoint:
    """The contract's Endpoint; counts what it is told."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.accepting = 0
        self.rooms = 0
        self.alone: Callable[[Any, int], object] = lambda inner, lifeline: select.select([lifeline], [], [])

    def accept_here(self) -> None:
        self.accepting += 1

    def accept_alone(self, inner: Any, beside: Sequence[Any], lifeline: int, timeout: float) -> None:
        self.alone(inner, lifeline)

    def room(self) -> None:
        self.host._on_thread()
        self.rooms += 1


class Gate:
    """A place where jobs stop, in whatever thread or process they run."""

    def __init__(self) -> None:
        self._came = os.pipe()
        self._go = os.pipe()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *exc: object) -> None:
        for fd in (*self._came, *self._go):
            os.close(fd)

    def __call__(self) -> None:
        os.write(self._came[1], b".")
        os.read(self._go[0], 1)

    def wait_came(self, count: int = 1) -> None:
        for _ in range(count):
            assert select.select([self._came[0]], [], [], DEADLINE)[0], "no job came"
            os.read(self._came[0], 1)

    def release(self, count: int = 1) -> None:
        os.write(self._go[1], b"." * count)

    def release_all(self) -> None:
        """From now on nobody is stopped."""
        self.release(1000)  # not by closing it: children have copies


class FakeJob:
    """The contract's Job: runs ``body``, then settles.  ``events`` tells what was done with it, in order."""

    def __init__(self, host: FakeHost, body: Callable[[], object] = lambda: None) -> None:
        self.host = host
        self.body = body
        self.settle: Callable[[Any], object] = self._settled
        self.events: list[str] = []
        self.submitting = False

    def run(self) -> None:
        self.events.append("run")
        try:
            self.body()
        finally:
            self.settle(self)

    def run_out(self, lifeline: int | None = None) -> None:
        self.run()

    def close(self) -> None:
        self.events.append("close")
        self.settle(self)

    def leave(self) -> None:
        self.events.append("leave")

    def holds(self) -> Sequence[Any]:
        return (self,)

    def _settled(self, job: Any) -> None:
        assert job is self
        if self.submitting and threading.get_ident() == self.host.thread:
            self.events.append("inside")  # another thread may well have been quicker
        self.events.append("settle")
        self.host.post(lambda: None)  # who waits for this looks again

    @property
    def settled(self) -> bool:
        return "settle" in self.events
