"""The one door into the loop for other threads and for signals: a deque, and a pipe to wake the poll.

No lock on the way: a signal handler may post while the thread it interrupted is posting.  A deque's append is atomic;
the rest is the order of steps.  The loop says that it is about to sleep, and looks into the deque after that; a poster
fills the deque, and looks whether the loop sleeps after that.  So at least one of the two sees the other.

Who wakes the loop writes into the pipe under a lock that ``close()`` takes too: the number of a closed pipe may be
somebody else's a moment later.  The lock is one that its holder may take again, for signal handlers.

A pipe rather than an eventfd, because ``signal.set_wakeup_fd()`` writes single bytes into it.
"""

from __future__ import annotations

import contextlib
import os
from _thread import RLock
from collections import deque
from collections.abc import Callable

Post = tuple[Callable[..., object], tuple[object, ...]]


class Mailbox:
    """Posts from anywhere.

    The deque has no bound of its own, since a post that is refused would be a request that is lost.  Its bound is the
    number of those who post: each job in flight has at most one post in it.
    """

    reading = writing = -1

    def __init__(self) -> None:
        self._posts: deque[Post] = deque()
        self._sleeping = False
        self._pipe = RLock()  # held while one writes into it, or closes it
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        os.set_blocking(self.writing, False)

    def post(self, callback: Callable[..., object], *args: object) -> None:
        """Any thread, any signal handler.  Leave a call for the loop, and wake it if it sleeps."""
        self._posts.append((callback, args))
        if self._sleeping:  # stays so until woken(): a signal handler may post between this line and the write
            # Full: the loop has a wake-up before it already.  Closed: there is no loop left to wake.
            with self._pipe, contextlib.suppress(BlockingIOError, OSError):
                os.write(self.writing, b"\0")

    def may_sleep(self) -> bool:
        """Loop thread.  Announce that a poll begins; False when there are posts, and it must not wait."""
        self._sleeping = True
        return not self._posts

    def woken(self) -> bool:
        """Loop thread.  The poll is over; whether there are posts."""
        self._sleeping = False
        return bool(self._posts)

    def collect(self) -> list[Post]:
        """Loop thread.  Remove and return what has come so far."""
        posts = self._posts
        return [posts.popleft() for _ in range(len(posts))]

    def drain_wakeups(self) -> None:
        """Loop thread.  Empty the pipe, which was readable."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.reading, 4096)) == 4096:
                pass

    def close(self) -> None:
        """Loop thread."""
        with self._pipe:
            self.abandon()

    def abandon(self) -> None:
        """Forked child's only thread: another of the parent's may have held the lock."""
        reading, writing = self.reading, self.writing
        self.reading = self.writing = -1
        if reading >= 0:
            os.close(reading)
        if writing >= 0:
            os.close(writing)

    def __del__(self) -> None:
        """A program that drops its server, or closes only the socket, owes us nothing: the pipe goes with the loop."""
        self.abandon()
