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

from _thread import allocate_lock, get_native_id
from collections.abc import Callable
from functools import partial

from reactor.loop import Loop

TICK = 0.003  # seconds between two looks at a borrower that is busy: what others wait for behind a blocking handler
CALM = 8  # ticks without a turn before the lender sleeps; waking it costs as much as some ticks.  Arbitrary
PREEMPTED = 3  # ticks that a borrower may be at one job which does not block: it waits for a processor, or computes


class Loan:
    """Borrower, except where a method says otherwise.

    ends      whether the lender wants it back, for reasons of its own; asked after each turn
    lay_down  a job is about to run: the lead is for whoever takes it up first
    take_up   take the lead, if it lies there; returns whether it did
    error     what a turn raised, for the lender to raise
    """

    def __init__(self, loop: Loop, ends: Callable[[], bool]) -> None:
        self._loop = loop
        self._ends = ends
        self._recalled = False
        self._returned = False
        self._watched = True
        self._borrower = 0
        self._alarm = allocate_lock()  # the lender sleeps on it
        self._alarm.acquire()
        self.lay_down = partial(loop.lay_down, self)
        self.take_up = partial(loop.take_up, self)
        self.error: BaseException | None = None

    def turn(self, timeout: float | None) -> bool:
        """One turn of the loop, which waits at most ``timeout`` seconds; False when the lead is to be given back."""
        self._borrower = get_native_id()
        self._loop.turn(timeout)
        if not self._watched:
            self.wake()
        return not (self._recalled or self._ends())

    def give_back(self, error: BaseException | None = None) -> None:
        """It is over; ``error`` is what ended it."""
        self.error = error
        self._returned = True
        self.lay_down()
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
        loop = self._loop
        job, ticks, calm = None, 0, 0
        while True:
            if self._returned or self._recalled or self._ends():
                if self.take_up():
                    return
                self._recalled = True
                loop.cut_short()
            turns = loop.turns
            if self._alarm.acquire(timeout=TICK if self._watched else -1):
                self._watched, calm = True, 0
                continue
            now = loop.lies(self)
            if now is None:
                ticks = 0
                calm = calm + 1 if loop.turns == turns else 0
                if calm > CALM:
                    self._watched = False  # in this order: the borrower turns, and looks whether it is watched
                    self._watched = loop.turns != turns or loop.lies(self) is not None
            elif now is not job:
                ticks = calm = 0
            else:
                ticks += 1
                if (ticks > PREEMPTED or not is_runnable(self._borrower)) and self.take_up():
                    return
            job = now


def is_runnable(thread: int) -> bool:
    """Any thread.  Whether a thread, by its native id, computes or waits for a processor; False where nobody tells.

    See proc_pid_stat(5).
    """
    try:
        with open(f"/proc/self/task/{thread}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] == b"R"
    except (OSError, IndexError):  # no /proc, no descriptor, no such thread
        return False
