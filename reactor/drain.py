"""Drain: stop taking, let what runs finish until a deadline, cut the rest, and say what was cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from reactor.endpoint import Endpoint
from reactor.job import close_all
from reactor.loop import Loop
from strategies.contract import Strategy
from strategies.log import Log

log = Log("reactor")

GRACE = 1.0  # seconds that what was cut has to come back


class DrainReport(NamedTuple):
    """How a drain went.

    finished  requests that were in flight and ended by themselves
    cut       a line for each one that the deadline cut off
    """

    finished: int
    cut: tuple[str, ...] = ()


class Drain:
    """Loop thread.  One drain of a whole reactor; ``done(report)`` is called at its end."""

    def __init__(
        self,
        loop: Loop,
        endpoints: Sequence[Endpoint],
        strategies: Sequence[Strategy],
        done: Callable[[DrainReport], object],
    ) -> None:
        self._loop = loop
        self._endpoints = endpoints
        self._strategies = strategies
        self._done: Callable[[DrainReport], object] | None = done
        self._open = len(endpoints) + len(strategies)
        self._in_flight = sum(len(endpoint.requests.live) for endpoint in endpoints)
        self._cut: tuple[str, ...] = ()
        self._due: float | None = None  # when the deadline is; None once it has passed
        self._undo: Callable[[], None] = _nothing

    def begin(self, timeout: float) -> None:
        self._due = self._loop.clock() + timeout
        self._undo = self._loop.call_at(self._due, self._deadline)
        for endpoint in self._endpoints:
            endpoint.drain(self._one_ended)
        for strategy in self._strategies:
            strategy.halt(self._one_ended)
        if not self._open:
            self._finish()

    def hurry(self, timeout: float) -> None:
        """Bring the deadline forward to ``timeout`` seconds from now; a later one changes nothing."""
        due = self._loop.clock() + timeout
        if self._due is not None and due < self._due:
            self._undo()
            self._due = due
            self._undo = self._loop.call_at(due, self._deadline)

    def _one_ended(self) -> None:
        self._open -= 1
        if not self._open:
            self._finish()

    def _deadline(self) -> None:
        self._due = None
        self._cut = tuple(line for endpoint in self._endpoints for line in endpoint.requests.cut())
        for line in self._cut:
            log.warning("drain: cut %s", line)
        for strategy in self._strategies:
            close_all(strategy.cut())
        self._undo = self._loop.call_at(self._loop.clock() + GRACE, self._finish)

    def _finish(self) -> None:
        done, self._done = self._done, None
        self._due = None
        self._undo()
        if done is not None:
            done(DrainReport(max(0, self._in_flight - len(self._cut)), self._cut))


def _nothing() -> None:
    pass
