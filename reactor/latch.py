"""Latch: wait until something has ended, from any thread and from signal handlers.

``threading.Event`` has a lock inside; a signal handler that runs while its own thread is in that lock would wait for
itself.  Here each waiter brings a lock of its own.
"""

from __future__ import annotations

import contextlib
from _thread import TIMEOUT_MAX, LockType, allocate_lock
from collections import deque


class Latch:
    """Closed until ``open()``; ``shut()`` closes it again.  Any thread, any signal handler."""

    def __init__(self, opened: bool = False) -> None:
        self._opened = opened
        self._waiters: deque[LockType] = deque()

    @property
    def opened(self) -> bool:
        return self._opened

    def shut(self) -> None:
        self._opened = False

    def open(self) -> None:
        """Let everybody through who waits now or later."""
        self._opened = True
        while self._waiters:
            try:
                self._waiters.popleft().release()
            except IndexError:  # another thread opens too
                break

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most ``timeout`` seconds (None: for as long as it takes); return whether the latch is open."""
        if self._opened:
            return True
        mine = allocate_lock()
        mine.acquire()
        self._waiters.append(mine)
        through = self._opened or mine.acquire(timeout=-1 if timeout is None else min(timeout, TIMEOUT_MAX))
        with contextlib.suppress(ValueError):  # taken out by open()
            self._waiters.remove(mine)
        return through
