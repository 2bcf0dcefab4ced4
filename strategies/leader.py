"""Leader: a pool's thread that turns the loop and runs what comes of it by itself.

Handing a request to another thread costs more than most handlers do.  Here nothing is handed on, as long as no handler
blocks: where one does, the thread that watches takes the lead back, and this one is like all others once it is done.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from strategies.contract import Job, Loan


class Leader:
    """Runs on a thread of the pool, like a job.

    jobs      what came of the last turn; it belongs to whoever has the lead
    idle      seconds without a job after which it gives the lead back; None: never
    between   called when all jobs are done, before the next turn
    free      whether it would begin a job now
    is_done   whether it has given the lead back by itself, or because it was asked to
    """

    def __init__(
        self, loan: Loan, jobs: deque[Job], idle: Callable[[], float | None], between: Callable[[], object]
    ) -> None:
        self._loan = loan
        self._jobs = jobs
        self._idle = idle
        self._between = between
        self.free = False
        self.is_done = False

    def run(self) -> None:
        """Worker thread.  Until the lead is gone; raises what a job raised."""
        leads = self._loan.begin()
        try:
            while leads:
                leads = self._run_jobs() and self._turn()
        finally:
            self.free = False

    def _run_jobs(self) -> bool:
        """Whether the lead is still ours when all jobs are done."""
        jobs, lay_down, take_up = self._jobs, self._loan.lay_down, self._loan.take_up
        while jobs:
            job = jobs.popleft()
            self.free = False
            lay_down(object())
            try:
                job.run()
            except BaseException:
                if take_up() is not None:
                    self._loan.give_back()
                raise
            if take_up() is None:
                return False
            self.free = True
        return True

    def _turn(self) -> bool:
        """Turn the loop until there are jobs; False when the lead is given back."""
        self.free = True
        began = time.monotonic()
        try:
            self._between()
            while True:
                idle = self._idle()
                left = None if idle is None else began + idle - time.monotonic()
                if (left is not None and left <= 0) or not self._loan.turn(left):
                    break
                if self._jobs:
                    return True
        except BaseException as error:  # noqa: BLE001  # for the lender to raise
            self._loan.give_back(error)
            return False
        self.is_done = True
        self._loan.give_back()
        return False
