"""ThreadingMixIn and ForkingMixIn: the classic way to choose a strategy, by inheritance.

Both only answer ``make_strategy()``, which no server class defines, so they work before the server class in the list of
bases and after it.
"""

from __future__ import annotations

from strategies.contract import Strategy
from strategies.forking import ForkPerRequest
from strategies.perrequest import ThreadPerRequest


class ThreadingMixIn:
    """Mix-in: each request on a thread of its own.

    daemon_threads  False: ``server_close()``, and the end of the program, wait for the threads.  True: they do not,
                    and threads that still run at the end are stopped abruptly
    """

    daemon_threads: bool = False

    def make_strategy(self) -> Strategy:
        return ThreadPerRequest(daemon=self.daemon_threads)


class ForkingMixIn:
    """Mix-in: each request in a child process of its own.

    max_children  children at most
    """

    max_children: int = 40

    def make_strategy(self) -> Strategy:
        return ForkPerRequest(self.max_children)
