"""Endpoint: one server in one loop.  It joins the listener, the strategy and the parked connections.

Who may run when.  The loop's thread admits, dispatches, parks, drains and closes.  The thread or child that runs a job
closes its request and settles it, or hands it on.  ``live`` holds every admitted job until it is settled; adding and
discarding are atomic, so a worker discards first and then looks whether somebody waits for the last one, while who
waits says so first and then looks whether any is left: one of the two sees the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from reactor.errors import UsageError, ends_server
from reactor.job import RequestJob, close_all, close_untaken
from reactor.latch import Latch
from reactor.lifecycle import EndpointState, RequestState, move
from reactor.listener import BATCH, Listener, Pause
from reactor.loop import Loop
from reactor.onebyone import OneByOne
from reactor.parking import Parking
from reactor.taking import Taker
from strategies.contract import Host, Saturated, Strategy
from strategies.inline import Inline
from strategies.log import Log

log = Log("reactor")

RESTING, SERVING = EndpointState.RESTING, EndpointState.SERVING
DRAINING, CLOSING, CLOSED = EndpointState.DRAINING, EndpointState.CLOSING, EndpointState.CLOSED
PARKED, LEFT = RequestState.PARKED, RequestState.LEFT

Alone = Callable[[Sequence[Any], Strategy, int, float], None]


class Endpoint:
    """Loop thread, except where a method says otherwise.

    server      what it serves: hooks and socket
    host        what its strategy may ask of the loop
    taker       how requests come off the socket
    one_by_one  serves one request for each ``handle_request()``
    direct      whether a request is run where it came in: then one that ends in its first turn needs no job
    left        called when the server has stopped taking requests by itself or was closed
    ended       called with this endpoint when all of it is closed
    alone       serves endpoints in a loop of a forked child's own
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
        self.state: EndpointState = RESTING
        self.live: set[RequestJob] = set()
        self.closed = Latch()
        self.taker: Taker = server.taken_by(server)
        self.one_by_one = OneByOne(loop, server, self.taker, self._join)
        self.batch = BATCH
        self.direct = False
        self._left = left
        self._ended = ended
        self._alone = alone
        self._joined: set[Strategy] = set()
        self._waiting: deque[RequestJob] = deque()
        self._handed: deque[Any] = deque()  # by other threads, on their way back
        self._on_empty: list[Callable[[], object]] = []
        self._listener = Listener(loop, self._gone)
        self._parking = Parking(loop, self.dispatch)
        # Bound once, not for each request.
        self._settled = self.settled
        self._hand_on = self.hand_on

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
        waiting = self._waiting
        while waiting and self.strategy.has_room():
            if not self._start_again(waiting.popleft()):
                return
        if not waiting:
            self._listener.resume(Pause.SATURATED)

    # -- a request's way

    def go_on(self, job: RequestJob, handler: Any) -> None:
        """A request that was run where it came in wants another turn: now it needs a job."""
        self.live.add(job)
        job.settle = self._settled
        job.hand_on = self._hand_on
        job.begun(handler)

    def admit(self, job: RequestJob) -> None:
        """A verified request comes in.  The loop's thread, or the one that calls ``handle_request()``."""
        self.live.add(job)
        job.settle = self._settled
        if self.state is RESTING and not self.loop.running:
            self.one_by_one.run_out(job)
            return
        job.hand_on = self._hand_on
        if job.parks and not getattr(self.server.RequestHandlerClass, "speaks_first", True):
            move(job, PARKED)
            self.hand_on(job)
        elif self._waiting:  # behind those
            self._waiting.append(job)
        else:
            self._start(job)


    def dispatch(self, job: RequestJob) -> None:
        """Give a job to the strategy once more, or let it wait until there is room."""
        if self._waiting:  # behind those
            self._waiting.append(job)
        else:
            self._start_again(job)

    def _start_again(self, job: RequestJob) -> bool:
        """As ``_start()``, where no hook of the server's is on the way that would report what goes wrong."""
        try:
            return self._start(job)
        except Exception as error:
            if ends_server(error):
                raise
            self.server.handle_error(job.request, job.client_address)
            return True

    def _start(self, job: RequestJob) -> bool:
        """Whether there was room for it."""
        try:
            mine = self.strategy.submit(job)
        except Saturated:
            self._waiting.appendleft(job)
            self._listener.pause(Pause.SATURATED)
            return False
        except BaseException:
            close_untaken(job)
            raise
        if mine is not None:
            if mine is not job:
                close_untaken(job)
                raise TypeError(f"{self.strategy!r}.submit() returned {mine!r}: return the job it was given, or None")
            job.run()
        return True

    def _join(self) -> Strategy:
        """The strategy that works in this process, where no loop has opened one; it serves this endpoint from now on.

        A program may call ``process_request()`` from a loop of its own, and nothing else of ours.
        """
        strategy = self.strategy.here()
        if strategy not in self._joined:
            strategy.join_host(self.host, (self,))
            self._joined.add(strategy)
        return strategy

    def hand_on(self, connection: Any) -> None:
        """Any thread.  A turn is over and the connection wants another."""
        if self.loop.leads():
            self._take_back(connection)
            return
        self._handed.append(connection)
        self.loop.post(self._take_handed)
        # By a strategy whose jobs are not waited for: no loop may turn for it any more.  Each is taken once, by whoever
        # is there first.
        if self.loop.closed or self.state is CLOSED:
            self._take_handed()

    def _take_handed(self) -> None:
        handed = self._handed
        while handed:
            try:
                connection = handed.popleft()
            except IndexError:  # another thread was quicker
                return
            self._take_back(connection)

    def _take_back(self, connection: Any) -> None:
        if self.state is CLOSED or self.loop.closed:
            connection.end()
            connection.run()
            return
        if connection.state is PARKED:
            if self.state in (SERVING, RESTING):
                try:
                    self._parking.park(connection)
                    return
                except UsageError as error:
                    log.error("%s", error)
                except (OSError, ValueError):  # the handler closed its socket, and asks for more of it
                    pass
            connection.end()
        self.loop.soon(self.dispatch, connection)

    def settled(self, job: RequestJob) -> None:
        """Any thread.  The request is closed, here or in the child that took it over."""
        if job.state is LEFT:
            move(job, RequestState.CLOSED)
        self.live.discard(job)
        if self._on_empty and not self.live:
            self.loop.post(self._check_empty)

    def owns(self, request: Any) -> bool:
        """Any thread.  Whether a job for this request is on its way."""
        return any(job.request is request for job in tuple(self.live))

    def runs_on(self, thread: int) -> bool:
        """Any thread.  Whether the thread of that identity is running one of the jobs."""
        return any(job.thread == thread for job in tuple(self.live))

    # -- serving and resting

    def serve(self) -> None:
        """The loop is about to turn: the strategy is opened next, and calls ``accept_here()`` or makes workers."""
        move(self, SERVING)
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
            move(self, RESTING)

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
            move(self, DRAINING)
        self.when_empty(empty)
        for connection in self._parking.empty():
            self.dispatch(connection)

    def when_empty(self, callback: Callable[[], object]) -> None:
        """Call it once nothing is live.  More than one may wait: a drain, and a close that comes meanwhile."""
        self._on_empty.append(callback)
        self.loop.post(self._check_empty)

    def _check_empty(self) -> None:
        if not self.live:
            waiting, self._on_empty = self._on_empty, []
            for callback in waiting:
                callback()

    def cut(self) -> list[str]:
        """Shut the sockets of what is live, so that handlers which wait for their client come back.

        Returns a line for each, that says what it was doing.
        """
        doomed = list(self.live)
        lines = list(map(repr, doomed))
        for job in doomed:
            job.cut()
        unbegun, self._waiting = self._waiting, deque()
        close_all(unbegun)
        return lines

    def close(self) -> None:
        """The server was closed.  ``closed`` opens when its jobs are done and its strategy has ended."""
        if self.state in (CLOSING, CLOSED):
            return
        self._deafen()
        move(self, CLOSING)
        self.server.close_listener()
        self._left()
        for strategy in tuple(self._joined):
            strategy.retire(self, _nothing)
        idle = self._parking.empty()
        if self.strategy.waits_on_close:
            self.when_empty(self._leave_strategies)
        for connection in idle:
            self.dispatch(connection)
        if not self.strategy.waits_on_close:
            self._leave_strategies()

    @property
    def is_closed(self) -> bool:
        """Any thread.  Whether all of it is closed; ``closed`` also opens when a loop ends that was to close it."""
        return self.state is CLOSED

    def _leave_strategies(self) -> None:
        strategy = next(iter(self._joined), None)
        if strategy is None:
            move(self, CLOSED)
            self._take_handed()
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
        # LEFT: closed here already.  PARKED: watched by the loop, which closes what it watches.
        return [job for job in self.live if job.state is not LEFT and job.state is not PARKED]


def _nothing() -> None:
    pass
