"""Shortage: the system has no thread or process to give.  It is told once, and asked again by and by."""

from __future__ import annotations

import time
from _thread import allocate_lock
from collections.abc import Callable
from enum import Enum

from strategies.contract import Host, Strategy, Undo
from strategies.log import Log

log = Log("strategies")

RETRY = 0.1  # seconds until the system is asked again for what it refused; arbitrary


class Supply(Enum):
    """What the system said when it was asked last."""

    AMPLE = "it had one"
    SHORT = "it had none; wait until it is asked again"
    TRIED = "it had none; whoever needs one may ask again now"


SHORT, TRIED, AMPLE = Supply.SHORT, Supply.TRIED, Supply.AMPLE  # looking one up in its class takes as long as a call


class Shortage:
    """What one strategy knows of the system's supply of ``what``; ``again()`` is called when it is to ask anew.

    However many are refused meanwhile, there is one timer: were there one for each, all of them told at each of them
    would ask twice as often each time.
    """

    def __init__(self, what: str, again: Callable[[], object]) -> None:
        self.supply: Supply = AMPLE
        self._what = what
        self._lock = allocate_lock()
        self._again = again
        self._undo: Undo | None = None

    @property
    def waits(self) -> bool:
        return self.supply is SHORT

    def refused(self, strategy: Strategy, host: Host | None, error: Exception, left: int) -> None:
        """Any thread.  The system had none; ``left`` of those that it gave before are there."""
        with self._lock:
            before, self.supply = self.supply, SHORT
        if before is AMPLE:  # once for each time that there are none left
            log.warning("%r: %s; going on with %d %s", strategy, error, left, self._what)
        if before is not SHORT and host is not None:
            host.post(self._ask_later, host)

    def given(self) -> None:
        """Any thread.  The system had one.  Those that were refused wait for their timer all the same."""
        if self.supply is TRIED:
            with self._lock:
                if self.supply is TRIED:
                    self.supply = AMPLE

    def _ask_later(self, host: Host) -> None:
        """Loop thread."""
        if self.supply is SHORT:  # else it is forgotten
            self._undo = host.call_at(time.monotonic() + RETRY, self._try)

    def _try(self) -> None:
        """Loop thread."""
        self._undo = None
        with self._lock:
            self.supply = TRIED
        self._again()

    def forget(self) -> None:
        """Loop thread.  Nobody waits any more."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()
        self.supply = AMPLE
