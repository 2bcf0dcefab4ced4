"""Endpoint: one server in one loop.  It joins what takes requests, what becomes of them, and the strategy; it serves,
rests, drains and closes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from reactor.latch import Latch
from reactor.lifecycle import EndpointState, move
from reactor.listener import Listener, Pause
from reactor.loop import Loop
from reactor.onebyone import OneByOne
from reactor.requests import Requests
from reactor.taking import Taker
from strategies.contract import Host, Strategy
from strategies.inline import Inline
from strategies.log import Log

log = Log("reactor")

RESTING, SERVING = EndpointState.RESTING, EndpointState.SERVING
DRAINING, CLOSING, CLOSED = EndpointState.DRAINING, EndpointState.CLOSING, EndpointState.CLOSED

Alone = Callable[[Sequence[Any], Strategy, int, float], None]


class Endpoint:
    """Loop thread, except where a method says otherwise.

    server      what it serves: hooks and socket
    host        what its strategy may ask of the loop
    strategy    who runs its requests
    taker       how requests come off the socket
    requests    those that were admitted and are not settled
    one_by_one  serves one request for each ``handle_request()``
    batch       requests taken in one turn at most
    direct      whether a request is run where it came in: then one that ends in its first turn needs no job
    closed      a latch that opens when all of it is closed, and when a loop ends that was to close it

    Called by it: ``left()`` when the server has stopped taking requests by itself or was closed; ``ended(endpoint)``
    when all of it is closed; ``alone()`` to serve endpoints in a loop of a forked child's own.
    """

    def __init__(
        self,
        server: Any,
        loop: Loop,
        host: Host,
        left: Callable[[], object],
        ended: Callable[[Endpoint], object],
        alone: Alone,
    ) -> None:
        self.server = server
        self.loop = loop
        self.host = host
        self.strategy: Strategy = server.run_by
        self.closed = Latch()
        self.taker: Taker = server.taken_by(server)
        self.one_by_one = OneByOne(loop, server, self.taker, self._join)
        self.requests = Requests(server, loop, self.strategy, self._full, self.one_by_one.run_out)
        self.batch = self.taker.batch
        self.direct = False
        self._left = left
        self._ended = ended
        self._alone = alone
        self._joined: set[Strategy] = set()
        self._listener = Listener(loop, self._gone)

    @property
    def state(self) -> EndpointState:
        """Whether the server takes requests."""
        return self.requests.state

    # -- what the strategy may ask

    def accept_here(self) -> None:
        self._joined.add(self.strategy)
        try:
            batch = self.batch if self.taker.prepare() else 1
        except OSError:  # closed already
            self._gone()
            return
        room = None if self.direct else self.strategy.has_room
        if not self._listener.start(self.server, self.taker.way(), room, batch):
            self._gone()

    def accept_alone(self, inner: Strategy, beside: Sequence[Any], lifeline: int, timeout: float) -> None:
        self._alone((self, *beside), inner, lifeline, timeout)

    def room(self) -> None:
        if self.requests.go_on_waiting():
            self._listener.resume(Pause.SATURATED)

    def _full(self) -> None:
        self._listener.pause(Pause.SATURATED)

    # -- serving and resting

    def _join(self) -> Strategy:
        """The strategy that works in this process, where no loop has opened one; it serves this endpoint from now on.

        A program may call ``process_request()`` from a loop of its own, and nothing else of ours.
        """
        strategy = self.strategy.here()
        if strategy not in self._joined:
            strategy.join_host(self.host, (self,))
            self._joined.add(strategy)
        return strategy

    def serve(self) -> None:
        """The loop is about to turn: the strategy is opened next, and calls ``accept_here()`` or makes workers."""
        move(self.requests, SERVING)
        self._joined.add(self.strategy)
        kind = type(self.strategy.here())
        self.direct = kind.submit is Inline.submit and kind.has_room is Inline.has_room

    def serve_alone(self) -> None:
        """Forked worker, before it serves: its socket is one that others have too."""
        # One at a time: what is left in the queue is for the next worker, not behind this one's back.
        self.batch = 1
        self.taker.share()

    def rest(self) -> None:
        """Stop taking requests.  Parked connections stay where they are, until the loop turns again."""
        self._deafen()
        if self.state in (SERVING, DRAINING):
            move(self.requests, RESTING)

    def _deafen(self) -> None:
        self.direct = False
        if self._listener.listening or self.state in (SERVING, DRAINING):
            self._listener.stop()
            self.taker.restore()

    def _gone(self) -> None:
        """The socket is closed, or was when it was asked for: this server has ended."""
        log.info("%r: its socket is closed; it takes no more requests", self.server)
        self.rest()
        self._left()

    # -- ending

    def drain(self, empty: Callable[[], object]) -> None:
        """Take no more, let the idle ones go, and call ``empty`` once nothing is live."""
        self._deafen()
        if self.state is SERVING:
            move(self.requests, DRAINING)
        self.requests.when_empty(empty)
        self.requests.end_idle()

    def close(self) -> None:
        """The server was closed.  ``closed`` opens when its jobs are done and its strategy has ended."""
        if self.state in (CLOSING, CLOSED):
            return
        self._deafen()
        move(self.requests, CLOSING)
        self.server.close_listener()
        self._left()
        for strategy in tuple(self._joined):
            strategy.retire(self, _nothing)
        if self.strategy.waits_on_close:
            self.requests.when_empty(self._leave_strategies)
        self.requests.end_idle()
        if not self.strategy.waits_on_close:
            self._leave_strategies()

    @property
    def is_closed(self) -> bool:
        """Any thread.  Whether all of it is closed; ``closed`` also opens when a loop ends that was to close it."""
        return self.state is CLOSED

    def _leave_strategies(self) -> None:
        strategy = next(iter(self._joined), None)
        if strategy is None:
            move(self.requests, CLOSED)
            self.requests.take_handed()
            self._ended(self)
            self.closed.open()
            return
        self._joined.discard(strategy)
        if strategy.waits_on_close:
            # Later in any case: it may say that it has ended inside the very call that asks for it.
            strategy.close(self, partial(self.loop.soon, self._leave_strategies))
        else:
            strategy.close(self, _nothing)
            self._leave_strategies()

    def give_up(self) -> None:
        """Loop thread.  What still runs cannot be ended: the strategies end when it has, and nobody waits."""
        joined, self._joined = self._joined, set()
        for strategy in joined:
            strategy.close(self, _nothing)
        self._ended(self)

    def abandon(self) -> Sequence[Any]:
        """Forked child.  Forget the parent's strategies; returns the jobs whose requests this process has a copy of.

        The rest of the endpoint is left as it is; nobody asks it any more, for its loop is closed.
        """
        for strategy in self._joined:
            strategy.abandon()
        return self.requests.held()


def _nothing() -> None:
    pass
