"""Lending: which strategy may have the lead of the loop, and what becomes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from reactor.endpoint import Endpoint
from reactor.loan import Loan
from reactor.loop import Loop
from strategies.contract import Strategy
from strategies.log import Log

log = Log("reactor")


class Lending:
    """The thread that called ``run()``, except where a method says otherwise.

    The lead is lent where nobody can tell: all that is served goes to one strategy, and nothing of the program's own
    runs in the loop but its callbacks, for which the lead is called back.

    endpoints  what the loop serves
    watched    the descriptors that the program watches itself
    ends       whether the lender wants the lead back
    asked      who would have it at the end of this turn
    loan       the one that is under way
    """

    def __init__(
        self, loop: Loop, endpoints: Sequence[Endpoint], watched: Collection[int], ends: Callable[[], bool]
    ) -> None:
        self._loop = loop
        self._endpoints = endpoints
        self._watched = watched
        self._ends = ends
        self._open = False
        self._kept: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.asked: Strategy | None = None
        self.loan: Loan | None = None

    def begin(self) -> None:
        """The loop is about to be turned by who lends: from now on one may ask."""
        self._open = True

    def ask(self, strategy: Strategy) -> bool:
        """Loop thread.  Lend ``strategy`` the lead at the end of this turn, if nothing is in the way; False at once
        where another has asked, or has it, and where nobody would lend it."""
        if not self._open or self.asked is not None or self.loan is not None:
            return False
        self.asked = strategy
        return True

    def lend(self) -> None:
        """After a turn in which somebody ``asked``: lend the lead, and return when it is back.

        Raises what ended the borrower's turns.
        """
        strategy, self.asked = self.asked, None
        if strategy is None:
            return
        try:
            if self._may_have(strategy):
                self._lend(strategy)
        finally:
            strategy.lead_is_back()
            while self._kept:  # before all that came after them
                callback, args = self._kept.popleft()
                callback(*args)

    def _may_have(self, strategy: Strategy) -> bool:
        """At the last moment: what stands in the way may have come in this very turn."""
        return not self._watched and all(
            endpoint.strategy is strategy and endpoint.taker.plain and not endpoint.taker.acts
            for endpoint in self._endpoints
        )

    def _lend(self, strategy: Strategy) -> None:
        loan = Loan(self._loop, self._ends)
        try:
            self.loan = loan
            loan.lay_down(loan)
            strategy.lead(loan)
            loan.watch()
        finally:
            # A signal handler may have raised, and may once more: nothing of ours goes on without the lead.
            while not self._loop.leads():
                try:
                    loan.recall()
                    loan.watch()
                except BaseException as error:  # noqa: BLE001  # told, since one is on its way up already
                    log.warning("%r was raised while the lead was called back, and is dropped", error)
            self.loan = None
            loan.close()
        if loan.error is not None:
            raise loan.error

    def keep(self, callback: Callable[..., object], args: tuple[Any, ...]) -> bool:
        """Whoever turns the loop.  Where it is lent, keep a callback of the program's for the lender; else False."""
        if self.loan is None:
            return False
        self._kept.append((callback, args))
        self.loan.recall()
        return True

    def recall(self) -> None:
        """Any thread, any signal handler.  Have the lead back, soon."""
        loan = self.loan
        if loan is not None:
            loan.recall()

    def forget(self) -> None:
        """The loop is to rest: who asked gets nothing."""
        self._open = False
        while self._kept:  # one of them has ended the loop: the others are for the next one
            callback, args = self._kept.popleft()
            self._loop.soon(callback, *args)
        strategy, self.asked = self.asked, None
        if strategy is not None:
            strategy.lead_is_back()
