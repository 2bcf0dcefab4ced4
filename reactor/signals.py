"""Signals: they wake the poll, and, for programs that ask for it, TERM and INT drain."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def signals_wake(fd: int) -> Iterator[None]:
    """In the main thread: a signal writes into ``fd``, so that the poll returns and Python runs the handler.

    Without it a signal that comes between the interpreter's last look and the poll waits for the next event.  In other
    threads nothing is done: Python runs handlers in the main thread only.
    """
    before = None
    try:
        before = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    except ValueError:  # not the main thread
        pass
    if before is None:  # outside of the except block: this is no context of what is raised in the loop
        yield
        return
    try:
        yield
    finally:
        try:
            signal.set_wakeup_fd(before)
        except (ValueError, OSError):  # closed meanwhile; ours must not stay, for its number will be somebody else's
            signal.set_wakeup_fd(-1)


@contextlib.contextmanager
def on_signals(callback: Callable[[], object], *numbers: int) -> Iterator[None]:
    """Main thread.  Call ``callback()`` in the handler of each of these signals; put the old handlers back after."""

    def handler(number: int, frame: FrameType | None) -> None:
        callback()

    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)
