"""The loop: a poller, a mailbox and timers, turned by one thread.  It knows no server.

A turn has two parts.  First the poll: what is ready, due or posted is collected, and nothing else happens.  Then all of
it is run.  Users' code runs only in the second part, when the loop's own state is whole; whatever it raises leaves the
rest for the next turn, and so does ``cut_short()``.

Descriptors are reused by the kernel as soon as they are closed, so what waits to be called is never a number but a
Watch, which knows whether it still stands.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

from reactor.errors import UsageError
from reactor.lead import Lead
from reactor.mailbox import Mailbox
from reactor.patience import LONGEST
from reactor.poller import READ, Poller, best_poller
from reactor.timers import Timer, Timers


class Busy(UsageError):
    """The loop is being turned already."""


class Closed(UsageError):
    """The loop is closed."""


class Watch:
    """One watched descriptor.  ``cancel()`` on the loop's thread."""

    __slots__ = ("_loop", "callback", "fd")

    def __init__(self, loop: Loop, fd: int, callback: Callable[[], object]) -> None:
        self._loop = loop
        self.fd = fd
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """No more calls, not even for what has been polled already.  Does nothing the second time."""
        if self.callback is not None:
            self.callback = None
            loop = self._loop
            if not loop.closed:
                loop.poller.unregister(self.fd, self)


class Loop:
    """Loop thread; any thread for ``post()``, ``cut_short()``, ``leads()``, ``led()``, ``turning`` and ``running``.

    in_haste  whether the turn that is under way is to end after the callback that it is at
    poller    which descriptors are ready
    lead      which thread turns it
    leads     whether that is the calling one
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, poller: Poller | None = None) -> None:
        self.clock = clock
        self.turns = 0
        self.in_haste = False
        self.poller = best_poller() if poller is None else poller
        self._mailbox = Mailbox()
        self.post = self._mailbox.post
        self.wakeup_fd = self._mailbox.writing
        self._timers = Timers()
        self._ready: deque[Callable[[], object]] = deque()
        self.lead = Lead()
        self.leads = self.lead.is_mine
        self.closed = False
        self.poller.register(self._mailbox.reading, READ, self._mailbox)

    # -- what to wait for

    def watch(self, fd: int, callback: Callable[[], object], events: int = READ) -> Callable[[], None]:
        """Call ``callback()`` in each turn in which ``fd`` is ready for ``events``; returns the undo.

        Raises ValueError or OSError for a descriptor that is not open or cannot be polled.
        """
        watch = Watch(self, fd, callback)
        before = self.poller.register(fd, events, watch)
        if before is not None:  # its descriptor was closed without a word to us, and the number has come back
            before.callback = None
        return watch.cancel

    def call_at(self, when: float, callback: Callable[..., object], *args: object) -> Callable[[], None]:
        """Call ``callback(*args)`` once the clock has reached ``when`` (seconds); returns the undo."""
        return self.set_timer(when, callback, *args).cancel

    def set_timer(self, when: float, callback: Callable[..., object], *args: object) -> Timer:
        return self._timers.add(when, callback, *args)

    def soon(self, callback: Callable[..., object], *args: object) -> None:
        """Call it later in this turn, or in the next one, after what is queued already."""
        self._ready.append(partial(callback, *args) if args else callback)

    def fileno(self) -> int | None:
        """A descriptor that is readable when there is something to do, where the platform has one."""
        return self.poller.fileno()

    # -- turning

    @property
    def turning(self) -> bool:
        """Any thread.  Whether some thread turns the loop."""
        return self.lead.is_had

    @property
    def running(self) -> bool:
        """Any thread.  As ``turning``, but for a single turn by the way: one that nobody can count on."""
        return self.lead.lasts

    def cut_short(self) -> None:
        """Any thread, any signal handler.  End the turn under way, or else the next one, after one callback more."""
        self.in_haste = True
        self.post(_nothing)

    @contextlib.contextmanager
    def led(self, by_the_way: bool = False, patience: float = 0) -> Iterator[None]:
        """The calling thread turns the loop inside this block.

        patience  seconds to wait for another thread that turns it; -1 for ever

        Raises Busy when another thread, or this one, is turning it, UsageError when the loop is closed.
        """
        if not self.lead.acquire(patience):
            raise Busy("this loop is being turned already; one thread at a time, and not from inside a turn")
        try:
            if self.closed:
                raise Closed("this loop is closed; make a new reactor, or a new server")
            self.lead.begin(by_the_way)
            yield
        finally:
            self.lead.release()

    def turn(self, timeout: float | None = None) -> None:
        """One turn.  Waits at most ``timeout`` seconds (None: until something happens) for something to do."""
        ready, mailbox, timers = self._ready, self._mailbox, self._timers
        self.turns += 1
        left_over = len(ready)
        if left_over:
            timeout = 0
        elif timers.entries and (due := timers.next_deadline()) is not None:
            wait = max(0.0, due - self.clock())
            timeout = wait if timeout is None else min(timeout, wait)
        if timeout is not None and timeout > LONGEST:
            timeout = LONGEST  # and the rest is waited for in the next turn
        if not mailbox.may_sleep():
            timeout = 0
        polled = self.poller.poll(timeout)
        if mailbox.woken():
            for callback, args in mailbox.collect():
                ready.append(partial(callback, *args) if args else callback)
        if timers.entries:
            ready.extend(timers.expire(self.clock()))
        new = len(ready) - left_over
        # What was polled and is not called, because the turn is cut short or something raises, is polled again.
        if (not left_over or self._run(left_over)) and self._call(polled) and new:
            self._run(new)

    def _run(self, count: int) -> bool:
        """Run what is queued; False when the turn was cut short."""
        ready = self._ready
        for _ in range(count):
            ready.popleft()()
            if self.in_haste:
                self.in_haste = False
                return False
        return True

    def _call(self, polled: list[Any]) -> bool:
        """Run what is ready; False when the turn was cut short."""
        for watch in polled:
            if watch is self._mailbox:
                self._mailbox.drain_wakeups()
                continue
            callback = watch.callback
            if callback is not None:  # else it was cancelled in this very turn
                callback()
            if self.in_haste:
                self.in_haste = False
                return False
        return True

    # -- ending

    def close(self) -> None:
        """Close the loop's own descriptors.  What was watched stays open: it belongs to those who opened it."""
        if not self.closed:
            self.closed = True
            self.poller.close()
            self._mailbox.close()
            self._ready.clear()

    def abandon(self, spared: Collection[int] = ()) -> None:
        """Forked child.  Close the copies of the loop's own descriptors, and of all that it watches but for ``spared``.

        Closing an epoll descriptor leaves the parent's registrations alone, while unregistering would take them out of
        the set that both share.  The objects stay as they are, for freeing them touches, and so copies, them all.
        """
        if not self.closed:
            self.closed = True
            reading = self._mailbox.reading
            for fd in self.poller.watched:
                if fd not in spared and fd != reading:
                    try:  # as in the whole child: few pages
                        os.close(fd)
                    except OSError:  # closed already
                        pass
            self.poller.close()
            self._mailbox.abandon()
            self.lead.abandon()


def _nothing() -> None:
    pass
