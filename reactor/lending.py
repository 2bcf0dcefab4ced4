"""Lending: which strategy may have the lead of the loop, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reactor.endpoint import Endpoint
from reactor.loan import Loan
from reactor.loop import Loop
from strategies.contract import Strategy


class Lending:
    """The thread that called ``run()``, except where a method says otherwise.

    The lead is lent where nobody can tell: all that is served goes to one strategy, and nothing of the program's own
    runs in the loop but its callbacks, for which the lead is called back.

    ends   whether the lender wants the lead back
    asked  who gets it at the end of this turn
    loan   the one that is under way
    """

    def __init__(self, loop: Loop, ends: Callable[[], bool]) -> None:
        self._loop = loop
        self._ends = ends
        self._only: Strategy | None = None
        self.asked: Strategy | None = None
        self.loan: Loan | None = None

    def serve(self, endpoints: Sequence[Endpoint]) -> None:
        """Loop thread.  These are served from now on."""
        strategies = {endpoint.strategy for endpoint in endpoints}
        plain = all(endpoint.taker.plain and not endpoint.taker.acts for endpoint in endpoints)
        self._only = strategies.pop() if plain and len(strategies) == 1 else None

    def ask(self, strategy: Strategy) -> bool:
        """Loop thread.  Whether ``strategy`` gets the lead at the end of this turn."""
        if strategy is not self._only or self.asked is not None or self.loan is not None:
            return False
        self.asked = strategy
        return True

    def lend(self) -> None:
        """After a turn: lend the lead, if somebody asked for it, and return when it is back.

        Raises what ended the borrower's turns.
        """
        strategy, self.asked = self.asked, None
        if strategy is None:
            return
        loan = self.loan = Loan(self._loop, self._ends)
        loan.lay_down(loan)
        try:
            try:
                strategy.lead(loan)
                loan.watch()
            except BaseException:  # a signal handler's; nothing of ours goes on without the lead
                loan.recall()
                loan.watch()
                raise
        finally:
            self.loan = None
            strategy.lead_is_back()
        if loan.error is not None:
            raise loan.error

    def recall(self) -> None:
        """Any thread, any signal handler.  Have the lead back, soon."""
        loan = self.loan
        if loan is not None:
            loan.recall()

    def forget(self) -> None:
        """The loop is to rest: who asked gets nothing."""
        strategy, self.asked = self.asked, None
        self._only = None
        if strategy is not None:
            strategy.lead_is_back()
