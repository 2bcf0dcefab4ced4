"""Listener: takes requests off a server's socket in bounded batches; pauses and resumes.

Pausing means leaving the selector, so a paused listener costs nothing and the kernel's backlog holds the clients.  It
pauses for reasons, a set of them, and listens when there is none.

Running out of descriptors is a normal day: one line in the log, a short rest, another try.
"""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

from reactor.loop import Loop
from strategies.log import Log

log = Log("reactor")

REST = 0.05  # seconds to rest when descriptors have run out; a try costs about 10 us
SILENCE = 60.0  # seconds between two lines about that
VAIN = 8  # vain wake-ups in a row, before the socket is asked whether it still listens; arbitrary
ODD = 4  # errors of a closed socket in a row that one odd client each might have caused; arbitrary
FAILURES = 100  # get_request() failing so often in a row is no longer the clients' doing

FULL = 4  # full batches in a row before more are tried than proved too many; arbitrary

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
NOTHING = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR}
GONE = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}


class Pause(Enum):
    """Why a listener does not listen."""

    SATURATED = "the strategy is full"
    RESOURCES = "descriptors have run out"


class Complaint:
    """The line in the log that descriptors have run out: one, however often it happens, until that has passed."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def make(self, error: OSError) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            log.error("cannot accept: %s; resting, and going on when that has passed", error)
        self._silent_until = now + SILENCE


class Listener:
    """Loop thread.  ``gone()`` is called when the socket turns out to be closed."""

    def __init__(self, loop: Loop, gone: Callable[[], object]) -> None:
        self._loop = loop
        self._gone = gone
        self._socket: Any = None
        self._take: Callable[[], OSError | None] = _nothing_there
        self._room: Callable[[], bool] | None = None
        self._batch = 1
        self._limit = 1
        self._full = 0
        self._undo: Callable[[], None] | None = None
        self._reasons: set[Pause] = set()
        self._complaint = Complaint()
        self._failures = 0
        self._vain = 0

    @property
    def listening(self) -> bool:
        return self._undo is not None

    def start(
        self, sock: Any, take: Callable[[], OSError | None], room: Callable[[], bool] | None, batch: int
    ) -> bool:
        """Listen on anything with a ``fileno()``, as it is now; False when that is closed.

        take   takes one request off the socket; returns None, or the OSError that stopped it
        room   whether there is room for one more; None: always
        batch  how many may be taken in one turn
        """
        self._socket, self._take, self._room = sock, take, room
        self._batch, self._limit, self._full = batch, 1, 0
        self._reasons.clear()
        return self._listen()

    def stop(self) -> None:
        """Listen no more, until ``start()``."""
        self._socket = None
        self._quiet()

    def pause(self, reason: Pause) -> None:
        self._reasons.add(reason)
        self._quiet()

    def resume(self, reason: Pause) -> None:
        self._reasons.discard(reason)
        if self._socket is not None and self._undo is None and not self._reasons and not self._listen():
            self._gone()

    def _listen(self) -> bool:
        try:
            fd = self._socket.fileno()
            if fd < 0:
                return False
            self._undo = self._loop.watch(fd, self._readable)
        except (OSError, ValueError):
            return False
        return True

    def _quiet(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()

    def _readable(self) -> None:
        take, room, loop = self._take, self._room, self._loop
        for taken in range(self._limit):
            if room is not None and not room():
                self.pause(Pause.SATURATED)
                return
            error = take()
            if error is None:
                self._failures = self._vain = 0
            elif error.errno in NOTHING:
                self._limit, self._full = max(1, taken), -FULL
                if not taken:
                    self._in_vain()
                return
            elif not self._go_on_after(error):
                return
            if self._undo is None or loop.in_haste:  # stopped, paused or closed by what was taken
                return
        if self._without_descriptor():  # closed by a handler; the selector would not tell
            self._quiet()
            self._gone()
            return
        self._full += 1
        if self._full > 0 and self._limit < self._batch:
            self._grow()

    def _in_vain(self) -> None:
        """Readable, and nothing there: another process was quicker, most often.  But Linux says so for ever, too, of a
        Unix socket that was shut down while it listened."""
        self._vain += 1
        if self._vain >= VAIN:
            self._vain = 0
            poll = select.poll()
            poll.register(self._socket.fileno(), 0)  # HUP, ERR and NVAL come unasked
            if poll.poll(0):
                self._quiet()
                self._gone()

    def _grow(self) -> None:
        """The limit follows the crowd, so that a lone client does not cost a second, vain try each time.  What was too
        much once is tried again after a while."""
        self._limit, self._full = min(2 * self._limit, self._batch), 0

    def _go_on_after(self, error: OSError) -> bool:
        """Whether to take another.  Most errors are those of one client who came and went."""
        code = error.errno
        if code in EXHAUSTED:
            self._rest(error)
            return False
        if code in GONE and self._closed():
            self._quiet()
            self._gone()
            return False
        self._failures += 1
        if self._failures >= FAILURES:
            self._failures = 0
            self._rest(error)
            return False
        return True

    def _closed(self) -> bool:
        """Whether the socket is closed, or listens no more, rather than one client being odd."""
        self._failures += 1
        return self._failures > ODD or self._socket is None or self._without_descriptor()

    def _without_descriptor(self) -> bool:
        try:
            fd: int = self._socket.fileno()
        except (OSError, ValueError):
            return True
        return fd < 0

    def _rest(self, error: OSError) -> None:
        self._complaint.make(error)
        self.pause(Pause.RESOURCES)
        self._loop.call_at(self._loop.clock() + REST, self.resume, Pause.RESOURCES)


def _nothing_there() -> OSError | None:
    return BlockingIOError(errno.EAGAIN, "not listening")
