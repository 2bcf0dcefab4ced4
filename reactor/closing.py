"""Closing: how a server leaves its loop, whichever thread asks, whether that loop turns or not."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable

from reactor.drain import GRACE
from reactor.endpoint import Endpoint
from reactor.errands import Errands
from reactor.job import close_all
from reactor.loop import Busy, Loop
from strategies.log import Log

log = Log("reactor")

SPEAKS_AFTER = 1.0  # seconds that a close may take before it says what it waits for
LOOK = 0.001  # seconds between two looks whether somebody's handle_request() has ended, which is there for a moment


class Closing:
    """Any thread or handler, except where a method says otherwise.

    is_mine  whether the calling thread would wait for itself
    """

    def __init__(self, loop: Loop, errands: Errands, is_mine: Callable[[], bool]) -> None:
        self._loop = loop
        self._is_mine = is_mine
        self._errands = errands

    def close(self, endpoint: Endpoint, timeout: float | None) -> bool:
        """Close one server's side of the loop; return whether all of it has ended.

        Waits at most ``timeout`` seconds for the requests that still run, cuts them, and waits a little more.  On the
        loop's own thread, and in a handler, the closing only begins here, and goes on as the loop turns.
        """
        me = get_ident()
        if self._turn_until_closed(endpoint, timeout, me):
            return True
        if self._is_mine() or endpoint.requests.runs_on(me):
            return False
        if left := len(endpoint.requests.live):  # else another thread that closes it has cut them
            log.warning("%r: cutting %d requests that run on after it was closed", endpoint.server, left)
        self._errands.do(lambda: _cut(endpoint), GRACE)
        if not self._turn_until_closed(endpoint, 2 * GRACE, me):
            left_over = endpoint.requests.live
            log.error("%r: %d requests cannot be ended: %r", endpoint.server, len(left_over), left_over)
            try:
                with self._loop.led():
                    endpoint.give_up()
            except Busy:
                self._errands.do(endpoint.give_up, GRACE)
        return True  # what is left belongs to nobody now

    def _turn_until_closed(self, endpoint: Endpoint, timeout: float | None, me: int) -> bool:
        loop = self._loop
        if loop.leads():
            endpoint.close()
            return endpoint.is_closed
        if self._is_mine():  # the lead is lent, and this is a signal handler
            loop.post(endpoint.close)
            return False
        began = loop.clock()
        deadline = None if timeout is None else began + timeout
        speaks_at: float | None = began + SPEAKS_AFTER
        while not endpoint.is_closed:
            now = loop.clock()
            left = None if deadline is None else deadline - now
            if left is not None and left <= 0:
                return False
            if speaks_at is not None and now >= speaks_at:
                speaks_at = None
                _speak(endpoint, left)
            patience = left if speaks_at is None else speaks_at - now if left is None else min(left, speaks_at - now)
            try:
                with loop.led():
                    endpoint.close()
                    if endpoint.requests.runs_on(me):
                        return False
                    loop.turn(0 if endpoint.is_closed else patience)
            except Busy:
                loop.post(endpoint.close)
                if endpoint.requests.runs_on(me):
                    return False
                if not loop.running:  # somebody's handle_request() looks by the way, and is gone in a moment
                    endpoint.closed.wait(LOOK)
                elif self._errands.wait(endpoint.closed, patience) and not endpoint.is_closed:
                    endpoint.closed.shut()  # opened by the end of run(): whoever waits has to turn the loop himself
        return True


def _speak(endpoint: Endpoint, left: float | None) -> None:
    limit = "" if left is None else f", for at most {left:.0f} s more"
    count = len(endpoint.requests.live)
    log.warning("%r is closing, and waits for the %d requests that still run%s", endpoint.server, count, limit)


def _cut(endpoint: Endpoint) -> None:
    """Loop thread."""
    endpoint.requests.cut()
    if len(endpoint.strategy.endpoints) <= 1:  # nobody else's jobs
        close_all(endpoint.strategy.cut())
