"""LoopHost: what strategies may ask of a loop and of the servers beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from socket import SocketType, socket
from typing import Any

from reactor.endpoint import Endpoint
from reactor.lending import Lending
from reactor.loop import Loop

# What a child calls is found beforehand: see strategies.children.
close, detach = os.close, SocketType.detach


class LoopHost:
    """The Host of the strategies' contract, over one loop and all endpoints in it.

    watched  the descriptors that the program watches itself; ``watch_for_user()`` keeps it
    """

    def __init__(self, loop: Loop, endpoints: Sequence[Endpoint], watched: set[int], lending: Lending) -> None:
        self._loop = loop
        self._endpoints = endpoints
        self._users = watched
        self.lend = lending.ask
        self.post = loop.post
        self.call_at = loop.call_at
        self.watch = loop.watch

    def watch_for_user(self, fd: int, callback: Callable[[], object]) -> Callable[[], None]:
        """Loop thread.  As ``watch()``, for a descriptor that belongs to the program: no child closes its copy."""
        unwatch = self._loop.watch(fd, callback)
        self._users.add(fd)

        def undo() -> None:
            self._users.discard(fd)
            unwatch()

        return undo

    def abandon(self, *keep: Any) -> None:
        """Forked child.  Close this process's copies of everything, but for the file objects in ``keep``."""
        spared = self._users.copy()
        for held in keep:
            spared.add(held.fileno())
        for endpoint in self._endpoints:
            jobs = endpoint.abandon()
            listener = endpoint.server.socket
            if listener not in keep:
                # As an object: handlers can reach it, and might close it again when its number is somebody else's.
                spared.add(listener.fileno())
                _close_copy(listener)
            for job in jobs:
                for held in job.holds():
                    if held not in keep:
                        _close_copy(held)
        self._loop.abandon(spared)


def _close_copy(thing: Any) -> None:
    """Forked child.  Close its copy of a socket."""
    try:  # what contextlib.suppress() touches is copied
        close(detach(thing) if isinstance(thing, socket) else thing.detach())
    except (OSError, AttributeError):  # closed already, or no socket
        pass
