"""OneByOne: requests for somebody else's loop, one at each ``handle_request()``.

Who may run when.  Any thread may call, and several at once.  Each waits for a request by itself; the request is taken
under a lock, so that nobody is caught in ``accept()`` with nothing to accept.  What the server's own loop has to do
meanwhile (children to reap, threads that have become free) is done by the way, by one thread at a time, and whatever a
strategy does to that loop is done under its lead.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable
from typing import Any

from reactor.job import RequestJob, RunOut, close_untaken
from reactor.listener import EXHAUSTED, REST, Complaint
from reactor.loop import Busy, Closed, Loop
from reactor.patience import wait_for
from reactor.taking import Taker
from strategies.contract import Job, Saturated, Strategy

RETRY = 0.1  # seconds between two tries to hand a job to a strategy that has no room and no loop; arbitrary


class OneByOne:
    """Whoever calls ``handle_request()``.

    join  gives the strategy that works in this process, ready to take jobs
    """

    def __init__(self, loop: Loop, server: Any, taker: Taker, join: Callable[[], Strategy]) -> None:
        self._loop = loop
        self._server = server
        self._taker = taker
        self._join = join
        self._complaint = Complaint()

    def serve(self, timeout: float | None) -> bool:
        """Wait at most ``timeout`` seconds (None: for as long as it takes) for one request and process it.

        Returns False when none came.
        """
        strategy = self._join()
        deadline = None if timeout is None else time.monotonic() + timeout
        self._turn_by_the_way(0)
        while not strategy.has_room():
            self._wait_for_room(strategy, _left_of(deadline))
            if _passed(deadline) or self._loop.closed:
                return False
        while not self._wait(_left_of(deadline)) or not self._take():
            if _passed(deadline):
                return False
            self._turn_by_the_way(0)
        return True

    def _take(self) -> bool:
        """Take a request beside other threads that do the same; False when another was quicker."""
        taken, error = self._taker.take_waiting(self._is_there)
        if error is not None and error.errno in EXHAUSTED:
            self._complaint.make(error)
            self._rest()
        return taken

    def _is_there(self) -> bool:
        return self._wait(0)

    def _rest(self) -> None:
        """Descriptors have run out.  A caller whose loop finds the socket readable would be back at once, for ever."""
        until = time.monotonic() + REST
        while (left := until - time.monotonic()) > 0:
            if not self._turn_by_the_way(left):
                select.poll().poll(left * 1000)

    def run_out(self, job: RequestJob) -> None:
        """Run a job to its end, by the strategy that works in this process: there is no loop for it to wait in."""
        strategy = self._join()
        try:
            mine = self._submit_patiently(strategy, RunOut(job))
        except BaseException:
            close_untaken(job)
            raise
        if mine is not None:
            mine.run()

    def _submit_patiently(self, strategy: Strategy, job: RunOut) -> Job | None:
        while True:
            try:
                if self._loop.leads():
                    return strategy.submit(job)
                with self._loop.led(by_the_way=True, patience=-1):  # a child is watched, a timer set
                    return strategy.submit(job)
            except Saturated:  # another thread's handle_request() took the room that there was
                self._wait_for_room(strategy, RETRY)

    def _wait_for_room(self, strategy: Strategy, timeout: float | None) -> None:
        """Turn the private loop once: threads and children tell it when they end.  One thread waits in it at a time."""
        patience = -1 if timeout is None else timeout
        with contextlib.suppress(Busy, Closed), self._loop.led(by_the_way=True, patience=patience):
            self._loop.turn(0 if strategy.has_room() else timeout)

    def _wait(self, timeout: float | None) -> bool:
        """Wait for a request, or for something in the private loop; return whether there is a request."""
        poll = select.poll()
        mine = self._server.fileno()
        poll.register(mine, select.POLLIN)
        if (own := self._loop.fileno()) is not None:
            poll.register(own, select.POLLIN)
        return any(fd == mine for fd, _ in wait_for(poll, timeout))

    def _turn_by_the_way(self, timeout: float) -> bool:
        """Turn the private loop once; False when another thread does, or it is closed."""
        with contextlib.suppress(Busy, Closed), self._loop.led(by_the_way=True):
            self._loop.turn(timeout)
            return True
        return False


def _left_of(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _passed(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
