"""Loan: the lead of a loop, lent to a thread of a strategy, and how it comes back.

A pool thread that turns the loop may run what comes of it by itself: nothing is handed to another thread, which costs
more than most requests do.  But a handler may block, and nobody would turn the loop meanwhile.  So the lead lies on the
table while a handler runs, and whoever comes first takes it up: the borrower, back from the handler, or the thread that
called ``run()``, who watches.

Who may run when.  The borrower turns, lays down, runs a job, takes up.  The lender sleeps while there is nothing to do;
while jobs run it looks once a tick.  When a job lasts a whole tick, and on a call to stop, it takes the lead up, or
asks for it where it does not lie, in a turn.  Taking up is one step for whoever takes, so exactly one has it.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from functools import partial

from reactor.loop import Loop
from reactor.meter import Meter

TICK = 0.003  # seconds between two looks at a borrower that is busy: what others wait for behind a blocking handler
CALM = 8  # ticks without a turn before the lender sleeps; waking it costs as much as some ticks.  Arbitrary
COMPUTES = 3  # ticks that a borrower may be at one job that does not block, but computes; arbitrary
WAITS = 3  # ticks that jobs may block the borrower one after the other; arbitrary
BLOCKED = 0.2  # of a tick: a borrower that is at jobs, and less of it at work, waits for something; arbitrary


class Loan:
    """Borrower, except where a method says otherwise.

    ends      whether the lender wants it back, for reasons of its own; asked after each turn
    lay_down  called with a new object: a job is about to run, and the lead is for whoever takes it up first
    take_up   take the lead up again; returns None where the lender has it
    error     what a turn raised, for the lender to raise
    """

    def __init__(self, loop: Loop, ends: Callable[[], bool]) -> None:
        self._loop = loop
        self._ends = ends
        self._recalled = False
        self._returned = False
        self._watched = True  # whether the lender looks once a tick
        self._inside = False  # whether the borrower is in a turn, at the end of which it looks whether it is watched
        self._meter = Meter()  # of the borrower
        self._note: list[object] = []  # whether the lender has the lead again
        self._job: object | None = None  # what the borrower was at, a tick ago
        self._ticks = 0  # for how many ticks
        self._waits = 0  # for how many it has hardly been at work
        self._turns = 0  # of the loop, a tick ago
        self._calm = 0  # ticks without a turn
        self._alarm = allocate_lock()  # the lender sleeps on it
        self._alarm.acquire()
        # The very methods of the table: they are called for each request.
        self._table = loop.lead.table
        self.lay_down = partial(self._table.__setitem__, self)
        self.take_up = partial(self._table.pop, self, None)
        self.error: BaseException | None = None

    def begin(self) -> bool:
        """The first to be called: take the lead up; False where the lender has it again."""
        if not self._loop.lead.take_up(self, []):
            return False
        self._meter.begin()  # not before: the lender may have closed it
        return True

    def turn(self, timeout: float | None) -> bool:
        """One turn of the loop, which waits at most ``timeout`` seconds; False when the lead is to be given back."""
        self._inside = True
        self._loop.turn(timeout)
        self._inside = False  # in this order: see is_calm()
        if not self._watched:
            self.wake()
        return not (self._recalled or self._ends())

    def give_back(self, error: BaseException | None = None) -> None:
        """It is over; ``error`` is what ended it."""
        self.error = error
        self._returned = True
        self.lay_down(self)
        self.wake()

    # -- the lender

    def recall(self) -> None:
        """Any thread, any signal handler.  The lender wants it back, after what the borrower is at."""
        self._recalled = True
        self._loop.cut_short()
        self.wake()

    def wake(self) -> None:
        """Any thread, any signal handler.  Have the lender look."""
        try:
            self._alarm.release()
        except RuntimeError:  # it is about to
            pass

    def watch(self) -> None:
        """Lender.  Return with the lead: it was given back, or wanted, or a job has lasted for a whole tick."""
        while not self.is_back():
            if self._alarm.acquire(timeout=TICK if self._watched else -1):
                self._watched, self._calm = True, 0
            elif self.is_stuck():
                return

    def is_back(self) -> bool:
        """Lender.  Take the lead up if it was given back or is wanted; where it does not lie there, ask for it."""
        if self._returned or self._recalled or self._ends():
            if self._take():
                return True
            self._recalled = True
            self._loop.cut_short()
        return False

    def is_stuck(self) -> bool:
        """Lender, after a tick.  Take the lead up if jobs block the borrower: one and the same for a tick, or one after
        the other for some; or if it is at work in one and the same for long."""
        before, self._job = self._job, self._table.get(self)
        share = self._meter.share()
        if self._job is None or before is None:
            self._ticks = self._waits = 0
            if self._job is None:
                self._look_for_calm()
            return False
        self._calm = 0
        same = self._job is before
        self._ticks = self._ticks + 1 if same else 0
        self._waits = self._waits + 1 if share < BLOCKED else 0
        stuck = (same and self._waits) or self._waits >= WAITS or self._ticks > COMPUTES
        return bool(stuck) and self._take()

    def _take(self) -> bool:
        return self._loop.lead.take_up(self, self._note)

    def close(self) -> None:
        """Lender, at the end.  Give back what watching took."""
        self._meter.close()

    def _look_for_calm(self) -> None:
        """Sleep when there has been no turn for a while."""
        turns, self._turns = self._turns, self._loop.turns
        self._calm = self._calm + 1 if turns == self._turns else 0
        if self._calm > CALM:
            # In this order: who is inside a turn looks after it whether it is watched.
            self._watched = False
            self._watched = not self._inside or self._loop.turns != self._turns
