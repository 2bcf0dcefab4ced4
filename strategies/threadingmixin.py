"""ThreadingMixIn: a thread for each request, chosen by inheritance.

It only answers ``make_strategy()``, which no server class defines, so it works before the server class in the list of
bases and after it.
"""

from __future__ import annotations

from strategies.contract import Strategy
from strategies.perrequest import ThreadPerRequest


class ThreadingMixIn:
    """Mix-in: each request on a thread of its own.

    daemon_threads  False: ``server_close()``, and the end of the program, wait for the threads.  True: they do not,
                    and threads that still run at the end are stopped abruptly
    """

    daemon_threads: bool = False

    def make_strategy(self) -> Strategy:
        return ThreadPerRequest(daemon=self.daemon_threads)
