"""Timers: a heap of deadlines."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

TIDY = 64  # cancelled timers that may lie in the heap before it is worth a clean-up


class Timer:
    """One deadline.  ``cancel()`` may be called at any time, from the loop's thread."""

    __slots__ = ("_timers", "args", "callback", "when")

    def __init__(
        self, timers: Timers, when: float, callback: Callable[..., object], args: tuple[object, ...]
    ) -> None:
        self._timers: Timers | None = timers
        self.when = when
        self.callback: Callable[..., object] | None = callback
        self.args = args

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback, self.args = None, ()
            if self._timers is not None:
                self._timers.cancelled()

    def taken(self) -> Timer:
        """It is out of the heap, and about to be called, unless it is cancelled before that."""
        self._timers = None
        return self

    def __call__(self) -> None:
        callback, args = self.callback, self.args
        if callback is not None:
            self.callback, self.args = None, ()
            callback(*args)


class Timers:
    """Loop thread.  Adding and expiring cost O(log n); timers that are not due cost nothing.

    entries  the heap; empty when there is no timer
    """

    def __init__(self) -> None:
        self.entries: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()  # equal deadlines expire in the order they were set
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self.entries) - self._cancelled

    def add(self, when: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call ``callback(*args)`` once the clock shows ``when`` (seconds)."""
        timer = Timer(self, when, callback, args)
        heapq.heappush(self.entries, (when, next(self._order), timer))
        return timer

    def cancelled(self) -> None:
        """A timer was cancelled.  The dead are swept out when they outnumber the living."""
        self._cancelled += 1
        if self._cancelled > TIDY and self._cancelled * 2 > len(self.entries):
            self.entries = [entry for entry in self.entries if entry[2].callback is not None]
            heapq.heapify(self.entries)
            self._cancelled = 0

    def next_deadline(self) -> float | None:
        """When the first live timer is due (seconds), or None."""
        heap = self.entries
        while heap:
            when, _, timer = heap[0]
            if timer.callback is not None:
                return when
            heapq.heappop(heap)
            self._cancelled -= 1
        return None

    def expire(self, now: float) -> list[Timer]:
        """Remove and return the timers that are due at ``now``, first deadline first.  Call each to run it."""
        due = []
        while (when := self.next_deadline()) is not None and when <= now:
            due.append(heapq.heappop(self.entries)[2].taken())
        return due
