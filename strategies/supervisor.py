"""Supervisor: keeps N worker processes alive.  It accepts nothing and knows no socket.

A worker that ends is replaced at once, unless it hardly lived: then the next one waits, longer each time, so that a
program that cannot run does not turn into a storm of forks.  Every worker holds the reading end of a pipe of its own,
its lifeline; the writing end is the supervisor's alone.  It is closed when the worker is to end, and by the system when
the master dies, however it dies.

A worker's loop watches its lifeline, but does not turn while a handler is at work.  So the end of a lifeline is a
signal as well: SIGIO, whose handler starts the one thread that gives what runs its time, and then ends the process as
the master would have.  Where there is no such signal for pipes, where the program blocks it or handles it itself,
and while a handler is in foreign code that lets no signal handler of Python's run, a busy worker outlives its master
until the handler returns.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import select
import signal
import time
from _thread import start_new_thread
from collections.abc import Callable

from strategies.children import LOST, Children
from strategies.contract import Host, Undo
from strategies.log import Log

log = Log("strategies")

HARDLY_LIVED = 1.0  # seconds
FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.1, 5.0  # seconds; doubled from one to the other
LONGEST_SLEEP = 24 * 3600.0  # seconds of one sleep, since none may be infinite; the rest is slept after it

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
        self._lifelines: dict[int, int] = {}  # the writing end of each worker's, by its pid

    def start(self) -> None:
        for _ in range(self._count):
            self._spawn()

    def _spawn(self) -> None:
        try:
            pid, lifeline = self._fork()
        except OSError as error:
            log.warning("no worker could be started: %s", error)
            self._spawn_later()
        else:
            self._born[pid] = time.monotonic()
            self._lifelines[pid] = lifeline

    def _fork(self) -> tuple[int, int]:
        """A new worker's pid, and the writing end of its lifeline."""
        reading, writing = os.pipe()
        try:
            return self.children.spawn(self._host, functools.partial(self._work, reading, writing), self._gone), writing
        except BaseException:
            os.close(writing)  # a worker that there is after all, beside a Ctrl-C, ends by it
            raise
        finally:
            os.close(reading)

    def _work(self, reading: int, writing: int) -> None:
        """Forked child."""
        os.close(writing)
        self._close_lifelines()  # of those who were there before
        _end_after(self._stop_timeout, reading)
        self._body(reading)

    def _gone(self, pid: int, status: int) -> None:
        age = time.monotonic() - self._born.pop(pid, 0.0)
        lifeline = self._lifelines.pop(pid, None)
        if lifeline is not None:
            os.close(lifeline)
        if self._done is not None:
            if status == -signal.SIGKILL:  # TERM may meet one that was just made
                log.warning("worker %d was killed before it had come to its end; what it was at is lost", pid)
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
        """TERM to all: each worker drains.  KILL to those that are left at the deadline.  Then ``done()``.

        Their lifelines are closed, too, for those that do not hear TERM.
        """
        self._done = done
        for undo in self._later:
            undo()
        self._later.clear()
        if self.children:
            self.children.cut(self._host, self._stop_timeout)
            self._close_lifelines()
        else:
            self._stopped()

    def cut(self) -> None:
        """The deadline of somebody else has passed: KILL now."""
        self.children.signal(signal.SIGKILL)

    def abandon(self) -> None:
        """Forked child that is no worker of this one.  A copy of a lifeline would keep its worker from seeing the
        master's end."""
        self.children.abandon()
        self._close_lifelines()

    def _close_lifelines(self) -> None:
        lifelines, self._lifelines = self._lifelines, {}
        for fd in lifelines.values():
            os.close(fd)

    def _stopped(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()


def _end_after(patience: float, lifeline: int) -> None:
    """Worker.  ``patience`` seconds after the end of the lifeline this process ends, whatever it is at."""
    begun: list[None] = []

    def kill() -> None:
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, LONGEST_SLEEP))
        os.kill(os.getpid(), signal.SIGKILL)

    def begin(*_: object) -> None:
        if not begun:
            begun.append(None)
            with contextlib.suppress(RuntimeError):  # no thread left; and what runs here is no place for our errors
                start_new_thread(kill, ())

    try:
        signal.signal(signal.SIGIO, begin)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    except (OSError, AttributeError):  # not for pipes, not here: the loop will see it, between two requests
        return
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    if poll.poll(0):  # before the signal was asked for
        begin()


def _how(status: int) -> str:
    if status == LOST:
        return "was waited for by somebody else"
    return f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
