"""Poller: which of many descriptors are ready.  Chosen once: epoll itself where there is one, else ``selectors``.

epoll is asked directly because the layer of ``selectors`` over it costs as much again for each event, and twice as much
for each change.  Both pollers answer alike, and are run through the same tests.

Two facts of epoll are met here.  It forgets a closed descriptor silently, so a number may come back while its old watch
is still on the books.  And it remembers a descriptor that was closed here for as long as a forked child has a copy, and
reports what nobody can unregister any more: then the set is made anew.
"""

from __future__ import annotations

import errno
import os
import select
import selectors
from collections.abc import Collection
from math import ceil
from typing import Any, Protocol

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
#: Events taken in one poll: work per wake-up is bounded, and what is left is reported by the next one.  The array for
#: so many is one of those that malloc() keeps at hand; a larger one is five pages more to copy after each fork.
MOST = 84


class Poller(Protocol):
    """Loop thread.  A watch is any object; a descriptor has one at a time."""

    def register(self, fd: int, events: int, watch: Any) -> Any:
        """Watch ``fd``; returns the watch that stood there before, whose descriptor was closed without a word.

        Raises OSError or ValueError for what is not open or cannot be polled; FileExistsError, which is an OSError too,
        for a descriptor that is open and watched already.  Nothing is changed then.
        """

    def unregister(self, fd: int, watch: Any) -> None:
        """Watch it no more, unless another watch has its number by now.  It may be closed already."""

    @property
    def watched(self) -> Collection[int]:
        """The descriptors that are watched."""

    def poll(self, timeout: float | None) -> list[Any]:
        """The watches of what is ready; waits at most ``timeout`` seconds (None: for as long as it takes)."""

    def fileno(self) -> int | None:
        """A descriptor that is readable when something is ready, where there is one."""

    def close(self) -> None:
        """Close the poller's own descriptor."""


class EpollPoller:
    """Linux.  See epoll(7)."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.close = self._epoll.close
        self._watches: dict[int, tuple[Any, int]] = {}
        self.watched: Collection[int] = self._watches

    def register(self, fd: int, events: int, watch: Any) -> Any:
        bits = (select.EPOLLIN if events & READ else 0) | (select.EPOLLOUT if events & WRITE else 0)
        before = self._watches.get(fd)
        try:
            self._epoll.register(fd, bits)
        except FileExistsError:  # the same file, still open
            if before is not None:
                raise
            self._epoll.modify(fd, bits)
        self._watches[fd] = watch, bits
        return None if before is None else before[0]

    def unregister(self, fd: int, watch: Any) -> None:
        found = self._watches.get(fd)
        if found is not None and found[0] is watch:
            del self._watches[fd]
            try:  # on the way of every parked connection
                self._epoll.unregister(fd)
            except OSError:  # closed already
                pass

    def poll(self, timeout: float | None) -> list[Any]:
        if timeout is not None:
            timeout = ceil(timeout * 1000) / 1000 if timeout > 0 else 0  # never early: that would be a spin
        watches, ready, stale = self._watches, [], False
        for fd, _ in self._epoll.poll(timeout, MOST):
            found = watches.get(fd)
            if found is None:
                stale = True
            else:
                ready.append(found[0])
        if stale:
            self._rebuild()
        return ready

    def _rebuild(self) -> None:
        """A new set, with what is still open of the old one's."""
        old = self._epoll
        try:
            self._epoll = select.epoll()
        except OSError:  # descriptors have run out: its own comes free first
            old.close()
            self._epoll = select.epoll()
        self.close = self._epoll.close
        for fd, (_, bits) in tuple(self._watches.items()):
            try:
                self._epoll.register(fd, bits)
            except OSError:
                del self._watches[fd]
        old.close()

    def fileno(self) -> int | None:
        return self._epoll.fileno()


class SelectorPoller:
    """Where there is no epoll, by ``selectors``: kqueue, or poll."""

    def __init__(self) -> None:
        kind: type[selectors.BaseSelector] = getattr(selectors, "KqueueSelector", selectors.PollSelector)
        self._selector = kind()
        self._files: dict[int, tuple[int, int]] = {}  # device and inode of what is watched, by descriptor

    def register(self, fd: int, events: int, watch: Any) -> Any:
        found = os.fstat(fd)  # poll(2) would take any number
        file = found.st_dev, found.st_ino
        before = None
        try:
            self._selector.register(fd, events, watch)
        except KeyError:
            if self._files[fd] == file:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            before = self._selector.unregister(fd).data
            self._selector.register(fd, events, watch)
        self._files[fd] = file
        return before

    def unregister(self, fd: int, watch: Any) -> None:
        key = self._selector.get_map().get(fd)
        if key is not None and key.data is watch:
            self._selector.unregister(fd)
            del self._files[fd]

    @property
    def watched(self) -> Collection[int]:
        return [key.fd for key in self._selector.get_map().values()]

    def poll(self, timeout: float | None) -> list[Any]:
        return [key.data for key, _ in self._selector.select(timeout)]

    def fileno(self) -> int | None:
        fileno = getattr(self._selector, "fileno", None)
        return None if fileno is None else int(fileno())

    def close(self) -> None:
        self._selector.close()


def best_poller() -> Poller:
    """The one to use on this platform."""
    return EpollPoller() if hasattr(select, "epoll") else SelectorPoller()
