"""Hold: a place in a handler where it stops until the test lets it go."""

from __future__ import annotations

import threading

from tests.serving import DEADLINE


class Hold:
    """Call it in the handler.  Leaving the ``with`` block releases whoever is still held."""

    def __init__(self) -> None:
        self._entered = threading.Semaphore(0)
        self._released = threading.Event()

    def __call__(self) -> None:
        self._entered.release()
        assert self._released.wait(DEADLINE), "nobody released the handler"

    def wait_entered(self, times: int = 1) -> None:
        """Wait until so many more handlers are held, or have been."""
        for _ in range(times):
            assert self._entered.acquire(timeout=DEADLINE), "no handler came"

    def release(self) -> None:
        self._released.set()

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()
