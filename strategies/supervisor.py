"""Supervisor: keeps N worker processes alive.  It accepts nothing and knows no socket.

A worker that ends is replaced at once, unless it hardly lived: then the next one waits, longer each time, so that a
program that cannot run does not turn into a storm of forks.  Every worker holds the reading end of a pipe, the
lifeline; the writing end is the supervisor's alone, so when the master dies, however it dies, the workers see it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from strategies.children import LOST, Children
from strategies.contract import Host, Undo
from strategies.log import Log

log = Log("strategies")

HARDLY_LIVED = 1.0  # seconds
FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.1, 5.0  # seconds; doubled from one to the other

Body = Callable[[int], object]


class Supervisor:
    """Loop thread.  ``body(lifeline)`` is what each of the ``count`` workers runs, in its own process."""

    def __init__(self, host: Host, count: int, body: Body, stop_timeout: float) -> None:
        self.children = Children()
        self._host = host
        self._count = count
        self._body = body
        self._stop_timeout = stop_timeout
        self._born: dict[int, float] = {}
        self._back_off = 0.0
        self._later: set[Undo] = set()
        self._done: Callable[[], object] | None = None
        self._lifeline: tuple[int, ...] = os.pipe()

    def start(self) -> None:
        for _ in range(self._count):
            self._spawn()

    def _spawn(self) -> None:
        try:
            pid = self.children.spawn(self._host, self._work, self._gone)
        except OSError as error:
            log.warning("no worker could be started: %s", error)
            self._spawn_later()
        else:
            self._born[pid] = time.monotonic()

    def _work(self) -> None:
        """Forked child."""
        reading, writing = self._lifeline
        self._lifeline = ()  # the reading end is the body's now
        os.close(writing)
        self._body(reading)

    def _gone(self, pid: int, status: int) -> None:
        age = time.monotonic() - self._born.pop(pid, 0.0)
        if self._done is not None:
            if not self.children:
                self._stopped()
            return
        if status != 0:
            log.warning("worker %d %s after %.1f s; replacing it", pid, _how(status), age)
        if age >= HARDLY_LIVED:
            self._back_off = 0.0
            self._spawn()
        else:
            self._spawn_later()

    def _spawn_later(self) -> None:
        wait, self._back_off = self._back_off, min(max(FIRST_BACK_OFF, self._back_off * 2), LONGEST_BACK_OFF)
        undos: list[Undo] = []

        def spawn() -> None:
            self._later.difference_update(undos)
            self._spawn()

        undos.append(self._host.call_at(time.monotonic() + wait, spawn))
        self._later.update(undos)

    def stop(self, done: Callable[[], object]) -> None:
        """TERM to all: each worker drains.  KILL to those that are left at the deadline.  Then ``done()``."""
        self._done = done
        for undo in self._later:
            undo()
        self._later.clear()
        if self.children:
            self.children.cut(self._host, self._stop_timeout)
        else:
            self._stopped()

    def cut(self) -> None:
        """The deadline of somebody else has passed: KILL now."""
        self.children.signal(signal.SIGKILL)

    def abandon(self) -> None:
        """Forked child that is no worker of this one.  A copy of the lifeline would keep the workers from seeing the
        master's end."""
        self.children.abandon()
        self._close_lifeline()

    def _close_lifeline(self) -> None:
        lifeline, self._lifeline = self._lifeline, ()
        for fd in lifeline:
            os.close(fd)

    def _stopped(self) -> None:
        self._close_lifeline()
        done, self._done = self._done, None
        if done is not None:
            done()


def _how(status: int) -> str:
    if status == LOST:
        return "was waited for by somebody else"
    return f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
