"""LoopHost: what strategies may ask of a loop and of the servers beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from reactor.endpoint import Endpoint
from reactor.loop import Loop


class LoopHost:
    """The Host of the strategies' contract, over one loop and all endpoints in it."""

    def __init__(self, loop: Loop, endpoints: Sequence[Endpoint]) -> None:
        self._loop = loop
        self._endpoints = endpoints
        self.post = loop.post
        self.call_at = loop.call_at

    def watch(self, fd: int, callback: Callable[[], object]) -> Callable[[], None]:
        """Loop thread.  Call ``callback`` in each turn in which ``fd`` is readable; returns the undo."""
        return self._loop.watch(fd, callback)

    def abandon(self, *keep: Any) -> None:
        """Forked child.  Close this process's copies of everything, but for the file objects in ``keep``."""
        for endpoint in self._endpoints:
            endpoint.abandon(keep)
        self._loop.abandon()
