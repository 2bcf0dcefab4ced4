"""ForkPerRequest: a child for each job."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from typing import Any

from strategies.arguments import count
from strategies.children import LOST, Children
from strategies.contract import Endpoint, Host, Job, Saturated, Strategy
from strategies.log import Log
from strategies.shortage import AMPLE, Shortage

log = Log("strategies")

close = os.close  # what a child calls is found beforehand: see strategies.children

LARGE = 1 << 16  # bytes, more than malloc() serves from its small pieces
SWEEP = 64  # children from one time that these are put together to the next; arbitrary
TIMES = 16  # enough for CPython to make a function fast; measured

NO_PROCESS = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


class ForkPerRequest(Strategy):
    """A child process for each job; the parent goes on at once, and reaps the child when it ends.

    max_children  children at most; with that many the listener leaves the selector, and the loop goes on

    A child whose connection is parked waits for its client itself.  It ends when the loop drains or rests, as a parked
    connection of the loop's own would, and when its parent is gone.

    A child has a copy of everything: what a handler changes in memory is lost with it.  Raises ValueError for a
    ``max_children`` below 1, TypeError for what is no whole number.
    """

    forks = True

    def __init__(self, max_children: int = 40) -> None:
        self.max_children = count("max_children", max_children, 1, "at least 1 child is needed")
        self.children = Children()
        self._parents: object = None
        self._spare: tuple[Children, Shortage] | None = None
        #: A pipe that says nothing: parked children watch its reading end, the writing one is the parent's alone.
        self._lifeline: tuple[int, ...] = ()
        self._promised = False
        self._shortage = Shortage("children", self.tell_room)
        self._on_empty: Callable[[], object] | None = None
        self._body, self._after = self._serve, self._gone  # bound once, not for each child

    def open(self, host: Host, endpoints: Sequence[Endpoint]) -> None:
        _rehearse()
        super().open(host, endpoints)

    def has_room(self) -> bool:
        self._promised = len(self.children.pids) >= self.max_children
        return not self._promised

    def submit(self, job: Job) -> None:
        host = self.host
        if host is None:
            raise RuntimeError(f"{self!r} is not open")
        if len(self.children.pids) >= self.max_children:
            self._promised = True
            raise Saturated
        try:
            if not self._lifeline:
                self._lifeline = os.pipe()
            if self._spare is None:
                self._spare = self._anew()
            if not self.children.spawned % SWEEP:
                # malloc() puts its small free pieces together when it is asked for a large one.  That is done here, for
                # a child does it when its handler receives, and would copy the page of each.
                bytearray(LARGE)
            self.children.spawn(host, self._body, self._after, job)
        except OSError as error:
            if error.errno not in NO_PROCESS:
                raise
            self._shortage.refused(self, host, error, len(self.children))
            raise Saturated from error
        if self._shortage.supply is not AMPLE:
            self._shortage.given()
        job.leave()

    def _anew(self) -> tuple[Children, Shortage]:
        return Children(), Shortage("children", self.tell_room)

    def _serve(self, job: Job) -> None:
        """Forked child."""
        reading, writing = self._lifeline
        self._lifeline = ()  # so that it is kept in abandon()
        close(writing)
        if self.host is not None:
            self.host.abandon(*job.holds())
        job.run_out(reading)

    def _gone(self, job: Job, pid: int, status: int) -> None:
        if status < 0 and status != LOST:
            log.warning("child %d was killed by signal %d while it served %r", pid, -status, job)
        job.settle(job)
        if self._promised:
            self._promised = False
            self._room()
        if self._on_empty is not None and not self.children:
            on_empty, self._on_empty = self._on_empty, None
            on_empty()

    def halt(self, done: Callable[[], object]) -> None:
        self._let_idle_go()
        done()

    def retire(self, endpoint: Endpoint, done: Callable[[], object]) -> None:
        self._let_idle_go()  # those of others that share this strategy, too, which costs their clients a keep-alive
        done()

    def _let_idle_go(self) -> None:
        """The next child has another lifeline."""
        lifeline, self._lifeline = self._lifeline, ()
        for fd in lifeline:
            os.close(fd)

    def end(self, done: Callable[[], object]) -> None:
        self._let_idle_go()
        self._shortage.forget()
        if not self.waits_on_close:
            self.children.disown()
        if self.children:
            self._on_empty = done
        else:
            done()

    def cut(self) -> Sequence[Job]:
        if self.host is not None:
            self.children.cut(self.host)
        return ()

    def abandon(self) -> None:
        # As little as can be: see strategies.children.  The sentinels of the siblings are watched by the host, who
        # closes what it watches, and without a host nobody is signalled.
        if self._lifeline:
            self._let_idle_go()
        if self.host is not None:  # not the second time
            self._parents = self.children, self._shortage  # kept: freeing them touches it all
            self.children, self._shortage = self._spare or self._anew()
            self._spare = None
        self.host = None
        self.endpoints = self._dones = ()
        self._promised = False
        self._on_empty = None

    def rehearse(self) -> None:
        """Of a strategy that serves nobody: what it does in a child."""
        nobody: Any = _Nobody(self)
        self.host, self._lifeline, self._spare = nobody, os.pipe(), self._anew()
        self._serve(nobody)

    def __repr__(self) -> str:
        return f"ForkPerRequest(max_children={self.max_children})"


class _Nobody:
    """What a child asks of its host and of its job, and nothing behind it."""

    def __init__(self, strategy: ForkPerRequest) -> None:
        self.abandon = lambda *keep: strategy.abandon()

    def holds(self) -> Sequence[Any]:
        return ()

    def run_out(self, lifeline: int) -> None:
        os.close(lifeline)


_rehearsed: list[None] = []


def _rehearse() -> None:
    """Before the first fork.  What a child does of all this, with a strategy that serves nobody.

    What runs some ten times is made fast by CPython, and touches less; in a child it runs once.
    """
    if not _rehearsed:
        _rehearsed.append(None)
        with contextlib.suppress(OSError):  # no descriptors left: it is faster with it, and works without
            for _ in range(TIMES):
                ForkPerRequest().rehearse()
