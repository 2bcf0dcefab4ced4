"""Run: the loop of a reactor, turned from ``run()`` to its end.

It opens the strategies, turns, lends the lead, rests.  Everything that may end it, from whatever thread, comes here.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Collection, Sequence
from typing import Any

from reactor.drain import Drain, DrainReport
from reactor.endpoint import Endpoint
from reactor.interrupts import Interrupts
from reactor.latch import Latch
from reactor.lending import Lending
from reactor.lifecycle import EndpointState
from reactor.loop import Loop
from reactor.signals import signals_wake
from strategies.contract import Host, Strategy

SERVING, RESTING, DRAINING = EndpointState.SERVING, EndpointState.RESTING, EndpointState.DRAINING


class Run:
    """The thread that calls ``run()``, except where a method says otherwise.

    lending   which strategy has the lead, if one has
    stopping  whether it is to end; before it began: at once
    ended     open while it is not under way
    report    of the drain that ended the last one, if one did
    """

    def __init__(self, loop: Loop, endpoints: Sequence[Endpoint], watched: Collection[int]) -> None:
        self._loop = loop
        self._endpoints = endpoints
        self._interrupts = Interrupts(self.hurry)
        self._acting: list[Any] = []  # those whose service_actions() does something
        self._some_left = False
        self._runner: int | None = None
        self.lending = Lending(loop, endpoints, watched, self._is_wanted)
        self.stopping = False
        self.ended = Latch(opened=True)
        self.report: DrainReport | None = None
        self._drain: Drain | None = None

    def run(self, host: Host, poll_interval: float | None) -> None:
        """Turn the loop until ``stop()``, until it has drained, or until no server is served.

        Raises what a turn raises, and UsageError when the loop is turned already, or closed.
        """
        running = False
        try:
            with self._loop.led(), signals_wake(self._loop.wakeup_fd), self._interrupts:
                # A signal handler that asks from here on finds that it would wait for its own thread.
                self._runner, running = get_ident(), True
                self.ended.shut()
                self.report = None
                self._some_left = False
                try:
                    if not self.stopping:
                        self.open(host, [e for e in self._endpoints if e.state is RESTING])
                        self._turn(poll_interval)
                finally:
                    try:
                        self._rest()
                    finally:
                        self.stopping, self._drain = False, None
        finally:
            if running:
                self.ended.open()
                if self._runner == get_ident():  # else another thread runs it already
                    self._runner = None

    def _turn(self, poll_interval: float | None) -> None:
        loop, interrupts, lending = self._loop, self._interrupts, self.lending
        lending.begin()
        while True:  # CPython makes no loop fast that has its condition here, and what is slow touches more
            if self.stopping:
                return
            if interrupts.held:
                interrupts.check()
            if self._some_left:  # in the turn before, or at once: a socket that was closed already
                self._some_left = False
                if not any(e.state is SERVING for e in self._endpoints) and self._drain is None:
                    return
            acting = self._acting
            loop.turn(poll_interval if acting else None)
            for server in acting:
                server.service_actions()
            if lending.asked is not None:
                lending.lend()

    def open(self, host: Host, endpoints: Sequence[Endpoint]) -> None:
        """Loop thread.  Serve these.  Process-making strategies first: their forks come before anybody's threads."""
        for endpoint in endpoints:
            endpoint.serve()
        self._acting = [e.server for e in self._endpoints if e.taker.acts]
        for strategy in sorted(strategies_of(endpoints), key=lambda strategy: not strategy.forks):
            strategy.open(host, [endpoint for endpoint in endpoints if endpoint.strategy is strategy])

    def _rest(self) -> None:
        """Nobody is to be served while no loop turns: listeners leave the selector, preforked workers end."""
        self.lending.forget()
        served = [e for e in self._endpoints if e.state in (SERVING, DRAINING)]
        for endpoint in served:
            endpoint.rest()
        halting = set(strategies_of(served))
        for strategy in tuple(halting):
            strategy.halt(lambda strategy=strategy: halting.discard(strategy))  # type: ignore[misc]
        while halting:  # each has a deadline of its own
            self._interrupts.check()
            self._loop.turn()

    # -- what may end it, or has to be known meanwhile

    def one_left(self) -> None:
        """Loop thread.  A server takes no more requests; if it was the last, the run is over."""
        self._some_left = True

    def forget(self, endpoint: Endpoint) -> None:
        """Loop thread.  It is served no more."""
        self._acting = [server for server in self._acting if server is not endpoint.server]

    def stop(self) -> None:
        """Any thread, any signal handler.  End it after what it is at; or the next one at once."""
        self.stopping = True
        self.hurry()

    def drain(self, timeout: float) -> None:
        """Loop thread.  Take no more, and end when what runs has; a second one brings the deadline forward."""
        if self._drain is None:
            endpoints = [e for e in self._endpoints if e.state is SERVING]
            self._drain = Drain(self._loop, endpoints, strategies_of(endpoints), self._drained)
            self._drain.begin(timeout)
        else:
            self._drain.hurry(timeout)

    def _drained(self, report: DrainReport) -> None:
        self.report = report
        self.stopping = True

    def hurry(self) -> None:
        """Any thread, any signal handler.  The thread that called ``run()`` has something to do soon."""
        self._loop.cut_short()
        self.lending.recall()

    def _is_wanted(self) -> bool:
        """Any thread.  Whether it has something to do at the end of this turn."""
        return self.stopping or self._some_left

    def runs_here(self) -> bool:
        """Any thread.  Whether it is under way on the calling thread."""
        return self._runner == get_ident()

    def is_mine(self) -> bool:
        """Any thread.  Whether the calling thread turns the loop, or called ``run()``: it must not wait for itself."""
        return self._loop.leads() or self.runs_here()


def strategies_of(endpoints: Sequence[Endpoint]) -> list[Strategy]:
    """Their strategies, each once, in order."""
    return list(dict.fromkeys(endpoint.strategy for endpoint in endpoints))
