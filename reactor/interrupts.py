"""Interrupts: a Ctrl-C never strikes in the middle of our own code.

Python raises KeyboardInterrupt between any two bytecodes.  Between a job's leaving one queue and its coming into the
next, that would lose a request.  So while a loop runs in the main thread, a Ctrl-C that meets our own code is held back
until the turn is over, and raised there; one that meets a handler, a hook or a callback of the user's is raised in it,
as ever.  ``asyncio.Runner`` does the same, and like it we leave alone what a program has set in Python's place.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

OURS = ("reactor", "strategies")
HANDLERS = ("reactor.classichandlers", "reactor.echo")  # they wait for clients, like any user's
#: What our code calls, written in Python: a frame of these belongs to whoever called it.
NEUTRAL = ("contextlib", "functools", "logging", "queue", "selectors", "signal", "socket", "threading", "warnings")


class Interrupts:
    """Main thread; in others it does nothing, and Python's own handler of SIGINT is the only one that it replaces.

    wake  ends the turn that is under way, soon
    held  whether one is held back
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self.held = False
        self._installed = False
        self._handler = self._interrupted  # kept: a forked child that puts it away has nothing to free

    def __enter__(self) -> Interrupts:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            try:
                signal.signal(signal.SIGINT, self._handler)
            except ValueError:  # not the main thread
                return self
            self._installed = True
        return self

    def __exit__(self, *exc: object) -> None:
        if self._installed:
            self._installed = False
            if signal.getsignal(signal.SIGINT) is self._handler:  # else the program has set another meanwhile
                signal.signal(signal.SIGINT, signal.default_int_handler)
            self.check()

    def check(self) -> None:
        """All is whole: raise the KeyboardInterrupt that was held back, if one was."""
        if self.held:
            self.held = False
            raise KeyboardInterrupt

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.held or not in_ours(frame):  # held: we may be stuck, and the second one is raised in any case
            self.held = False
            raise KeyboardInterrupt
        self.held = True
        self._wake()


def in_ours(frame: Any) -> bool:
    """Whether it is our own code that a frame runs."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        top = name.partition(".")[0]
        if top in OURS:
            return name not in HANDLERS
        if top not in NEUTRAL:
            return False
        frame = frame.f_back
    return False
