"""ForkingMixIn: a child process for each request, chosen by inheritance.

It only answers ``make_strategy()``, which no server class defines, so it works before the server class in the list of
bases and after it.
"""

from __future__ import annotations

from strategies.contract import Strategy
from strategies.forking import ForkPerRequest


class ForkingMixIn:
    """Mix-in: each request in a child process of its own.

    max_children  children at most
    """

    max_children: int = 40

    def make_strategy(self) -> Strategy:
        return ForkPerRequest(self.max_children)
