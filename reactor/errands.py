"""Errands: have the loop's thread do something, and wait until it has."""

from __future__ import annotations

from collections.abc import Callable

from reactor.latch import Latch
from reactor.loop import Loop


class Errands:
    """Any thread or handler.  Nobody waits for a loop that has ended: ``end()`` lets all through who do.

    is_mine  whether the calling thread would wait for itself
    """

    def __init__(self, loop: Loop, is_mine: Callable[[], bool]) -> None:
        self._loop = loop
        self._is_mine = is_mine
        self._latches: set[Latch] = set()

    def do(self, callback: Callable[[], object], timeout: float | None = None) -> bool:
        """Have the loop do it, and wait until it has, or until it has ended, or for ``timeout`` seconds at most.

        Returns whether it was done.  On the loop's thread, and where no loop is running, nothing is waited for.
        """
        done: list[bool] = []
        latch = Latch()

        def do() -> None:
            callback()
            done.append(True)
            latch.open()

        self._loop.post(do)
        if self._loop.running and not self._is_mine():
            self.wait(latch, timeout)
        return bool(done)

    def wait(self, latch: Latch, timeout: float | None) -> bool:
        """Wait for a latch that the loop is to open; return whether it is open, be it by the loop's end."""
        self._latches.add(latch)
        try:
            return self._loop.running and latch.wait(timeout)
        finally:
            self._latches.discard(latch)

    def end(self) -> None:
        """Loop thread.  ``run()`` has ended."""
        for latch in tuple(self._latches):
            latch.open()
