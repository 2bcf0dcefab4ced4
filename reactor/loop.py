"""The loop: a selector, a mailbox and timers, turned by one thread.  It knows no server.

A turn has two parts.  First the poll: what is ready, due or posted goes into a queue, and nothing else happens.  Then
the queue is run.  Users' code runs only in the second part, when the loop's own state is whole; whatever it raises
leaves the rest of the queue in place for the next turn, and so does ``cut_short()``.

Descriptors are reused by the kernel as soon as they are closed, so what waits in the queue is never a number but a
Watch, which knows whether it still stands.  Two more facts of epoll are met here.  It forgets a closed descriptor
silently, so a number may come back while the old Watch is still on the books: the old one is struck off.  And it
remembers a descriptor that was closed here as long as a forked child has a copy, reporting what nobody can unregister
any more: polls that return at once with nothing to show for it make the selector anew.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from reactor.errors import UsageError
from reactor.mailbox import Mailbox
from reactor.timers import Timer, Timers

EMPTY_POLLS = 8  # polls in a row that came back early with nothing, before the selector is made anew; arbitrary


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
            self._loop.forget(self)

    def __call__(self) -> None:
        if self.callback is not None:
            self.callback()


class Loop:
    """Loop thread, except for ``post()``, ``cut_short()``, ``leads()`` and ``turning``, which any thread may ask.

    in_haste  whether the turn that is under way is to end after the callback that it is at
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.turns = 0
        self.in_haste = False
        self._selector: selectors.BaseSelector = selectors.DefaultSelector()
        self._mailbox = Mailbox()
        self.post = self._mailbox.post
        self.wakeup_fd = self._mailbox.writing
        self._timers = Timers()
        self._ready: deque[Callable[[], object]] = deque()
        self._parents: object = None
        self._empty_polls = 0
        self._lead = allocate_lock()
        self._leader: int | None = None
        self._by_the_way = False
        self.closed = False
        self._selector.register(self._mailbox.reading, selectors.EVENT_READ, None)

    # -- what to wait for

    def watch(self, fd: int, callback: Callable[[], object], events: int = selectors.EVENT_READ) -> Callable[[], None]:
        """Call ``callback()`` in each turn in which ``fd`` is ready for ``events``; returns the undo.

        Raises ValueError or OSError for a descriptor that is not open or cannot be polled.
        """
        watch = Watch(self, fd, callback)
        try:
            self._selector.register(fd, events, watch)
        except KeyError:  # the number of a descriptor that was closed without a word to us
            self._selector.unregister(fd).data.callback = None
            self._selector.register(fd, events, watch)
        return watch.cancel

    def forget(self, watch: Watch) -> None:
        """Take a cancelled watch out of the selector, if the number is still its own."""
        if self.closed:
            return
        key = self._selector.get_map().get(watch.fd)
        if key is not None and key.data is watch:
            self._selector.unregister(watch.fd)

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
        fileno = getattr(self._selector, "fileno", None)
        return None if fileno is None else int(fileno())

    # -- turning

    def leads(self) -> bool:
        """Any thread.  Whether the calling thread is the one that turns the loop."""
        return self._leader == get_ident()

    @property
    def turning(self) -> bool:
        """Any thread.  Whether some thread turns the loop."""
        return self._leader is not None

    @property
    def running(self) -> bool:
        """Any thread.  As ``turning``, but for a single turn by the way: one that nobody can count on."""
        return self._leader is not None and not self._by_the_way

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
        if not self._lead.acquire(blocking=bool(patience), timeout=patience if patience else -1):
            raise Busy("this loop is being turned already; one thread at a time, and not from inside a turn")
        try:
            if self.closed:
                raise Closed("this loop is closed; make a new reactor, or a new server")
            self._by_the_way = by_the_way
            self._leader = get_ident()
            yield
        finally:
            self._leader = None
            self._lead.release()

    def turn(self, timeout: float | None = None) -> None:
        """One turn.  Waits at most ``timeout`` seconds (None: until something happens) for something to do."""
        ready = self._ready
        self.turns += 1
        if ready:
            timeout = 0
        elif (due := self._timers.next_deadline()) is not None:
            wait = max(0.0, due - self.clock())
            timeout = wait if timeout is None else min(timeout, wait)
        if not self._mailbox.may_sleep():
            timeout = 0
        waits = timeout is None or timeout > 0
        began = self.clock() if waits else 0.0
        events = self._selector.select(timeout)
        for key, _ in events:
            if key.data is None:
                self._mailbox.drain_wakeups()
            else:
                ready.append(key.data)
        posts = self._mailbox.collect()
        for callback, args in posts:
            ready.append(partial(callback, *args) if args else callback)
        if self._timers.next_deadline() is not None:
            ready.extend(self._timers.expire(self.clock()))
        if ready or events:
            self._empty_polls = 0
        elif waits and (timeout is None or self.clock() - began < timeout / 2):
            self._count_empty_poll()
        try:
            for _ in range(len(ready)):
                ready.popleft()()
                if self.in_haste:
                    self.in_haste = False
                    self._drop_polled()
                    return
        except BaseException:
            self._drop_polled()
            raise

    def _drop_polled(self) -> None:
        """What was polled and not called is polled again, and must not be called twice then."""
        kept = [item for item in self._ready if not isinstance(item, Watch)]
        self._ready.clear()
        self._ready.extend(kept)

    def _count_empty_poll(self) -> None:
        self._empty_polls += 1
        if self._empty_polls >= EMPTY_POLLS:
            self._empty_polls = 0
            self._rebuild()

    def _rebuild(self) -> None:
        """A new selector with what is still open of the old one's."""
        old, self._selector = self._selector, selectors.DefaultSelector()
        for key in list(old.get_map().values()):
            try:
                self._selector.register(key.fd, key.events, key.data)
            except (OSError, ValueError):
                key.data.callback = None
        old.close()

    # -- ending

    def close(self) -> None:
        """Close the loop's own descriptors.  What was watched stays open: it belongs to those who opened it."""
        if not self.closed:
            self.closed = True
            self._selector.close()
            self._mailbox.close()
            self._ready.clear()

    def abandon(self) -> None:
        """Forked child.  Close the loop's own descriptors and nothing else: closing an epoll descriptor leaves the
        parent's registrations alone, while unregistering would take them out of the set that both share.  The objects
        stay as they are, for freeing them touches, and so copies, them all."""
        if not self.closed:
            self.closed = True
            if (fd := self.fileno()) is not None:
                os.close(fd)
            self._mailbox.close()
            self._parents, self._ready = self._ready, deque()
        self._lead, self._leader = allocate_lock(), None


def _nothing() -> None:
    pass
