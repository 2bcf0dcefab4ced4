"""Endpoint: one server in one loop.  It joins the listener, the strategy and the parked connections.

Who may run when.  The loop's thread admits, dispatches, parks, drains and closes.  The thread or child that runs a job
closes its request and settles it, or hands it on.  ``live`` holds every admitted job until it is settled; adding and
discarding are atomic, so a worker discards first and then looks whether somebody waits for the last one, while who
waits says so first and then looks whether any is left: one of the two sees the other.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from reactor.connection import Connection
from reactor.job import RequestJob, RunOut
from reactor.latch import Latch
from reactor.lifecycle import EndpointState, RequestState, move
from reactor.listener import BATCH, Listener, Pause
from reactor.loop import Busy, Closed, Loop
from reactor.parking import Parking
from strategies.contract import Host, Job, Saturated, Strategy
from strategies.inline import Inline
from strategies.log import Log

log = Log("reactor")

RESTING, SERVING = EndpointState.RESTING, EndpointState.SERVING
DRAINING, CLOSING, CLOSED = EndpointState.DRAINING, EndpointState.CLOSING, EndpointState.CLOSED
PARKED = RequestState.PARKED

RETRY = 0.1  # seconds between two tries to hand a job to a strategy that has no room and no loop; arbitrary

Alone = Callable[[Sequence[Any], Strategy, int, float], None]


class Endpoint:
    """Loop thread, except where a method says otherwise.

    server    what it serves: hooks and socket
    host      what its strategy may ask of the loop
    left      called when the server has stopped taking requests by itself or was closed
    alone     serves endpoints in a loop of a forked child's own
    """

    def __init__(self, server: Any, loop: Loop, host: Host, left: Callable[[], object], alone: Alone) -> None:
        self.server = server
        self.loop = loop
        self.host = host
        self.strategy: Strategy = server.strategy
        self.state: EndpointState = RESTING
        self.live: set[RequestJob] = set()
        self.closed = Latch()
        self.one_taker = allocate_lock()
        self.batch = BATCH
        self._left = left
        self._alone = alone
        self._joined: set[Strategy] = set()
        self._waiting: deque[RequestJob] = deque()
        self._on_empty: list[Callable[[], object]] = []
        #: Whether every job is run where it was admitted: then a request that ends in one turn needs none.
        kind = type(self.strategy.here())
        self.direct = kind.submit is Inline.submit and kind.has_room is Inline.has_room
        self._listener = Listener(loop, self._gone)
        self._parking = Parking(loop, self.dispatch)

    # -- what the strategy may ask

    def accept_here(self) -> None:
        self._joined.add(self.strategy)
        try:
            batch = self.batch if self.server.begin_batches() else 1
        except OSError:  # closed already
            self._gone()
            return
        room = None if self.direct else self.strategy.has_room
        if not self._listener.start(self.server, self.server.taker(), room, batch):
            self._gone()

    def accept_alone(self, inner: Strategy, beside: Sequence[Any], lifeline: int, timeout: float) -> None:
        self._alone((self, *beside), inner, lifeline, timeout)

    def room(self) -> None:
        waiting = self._waiting
        while waiting and self.strategy.has_room():
            if not self._start(waiting.popleft()):
                return
        if not waiting:
            self._listener.resume(Pause.SATURATED)

    # -- a request's way

    def go_on(self, connection: Connection, handler: Any) -> None:
        """A request that was run where it came in wants another turn: now it needs a job."""
        self.live.add(connection)
        connection.settle = self.settled
        if self.state is RESTING and not self.loop.running:
            connection.begun(handler)
            connection.run_out()
        else:
            connection.hand_on = self.hand_on
            connection.begun(handler)

    def admit(self, job: RequestJob) -> None:
        """A verified request comes in.  The loop's thread, or the one that calls ``handle_request()``."""
        self.live.add(job)
        job.settle = self.settled
        if self.state is RESTING and not self.loop.running:
            self._run_out(job)
            return
        job.hand_on = self.hand_on
        if self._waiting:
            self.dispatch(job)
        else:
            self._start(job)

    def dispatch(self, job: RequestJob) -> None:
        """Give a job to the strategy, or let it wait until there is room."""
        if self._waiting:  # behind those
            self._waiting.append(job)
        else:
            self._start(job)

    def _start(self, job: RequestJob) -> bool:
        try:
            mine = self.strategy.submit(job)
        except Saturated:
            self._waiting.appendleft(job)
            self._listener.pause(Pause.SATURATED)
            return False
        except BaseException:
            _close_untaken(job)
            raise
        if mine is not None:
            mine.run()
        return True

    def _run_out(self, job: RequestJob) -> None:
        """No loop turns: run it by the strategy that works in this process, to its end."""
        strategy = self._join()
        try:
            mine = self._submit_patiently(strategy, RunOut(job))
        except BaseException:
            _close_untaken(job)
            raise
        if mine is not None:
            mine.run()

    def _join(self) -> Strategy:
        """The strategy that works in this process, where no loop has opened one; it serves this endpoint from now on.

        A program may call ``process_request()`` from a loop of its own, and nothing else of ours.
        """
        strategy = self.strategy.here()
        if strategy not in self._joined:
            strategy.join_host(self.host, (self,))
            self._joined.add(strategy)
        return strategy

    def _submit_patiently(self, strategy: Strategy, job: RunOut) -> Job | None:
        while True:
            try:
                return strategy.submit(job)
            except Saturated:  # another thread's handle_request() took the room that there was
                self._wait_for_room(strategy, RETRY)

    def hand_on(self, connection: Connection) -> None:
        """Any thread.  A turn is over and the connection wants another."""
        if self.loop.leads():
            self._take_back(connection)
        elif self.state is CLOSED:  # by a strategy whose jobs are not waited for: no loop turns for it any more
            connection.end()
            connection.run()
        else:
            self.loop.post(self._take_back, connection)

    def _take_back(self, connection: Connection) -> None:
        if connection.state is PARKED:
            if self.state in (SERVING, RESTING):
                try:
                    self._parking.park(connection)
                    return
                except (OSError, ValueError):  # the handler closed its socket, and asks for more of it
                    pass
            connection.end()
        self.loop.soon(self.dispatch, connection)

    def settled(self, job: RequestJob) -> None:
        """Any thread.  The request is closed, here or in the child that took it over."""
        if job.state is RequestState.LEFT:
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

    def rest(self) -> None:
        """Stop taking requests.  Parked connections stay where they are, until the loop turns again."""
        self._deafen()
        if self.state in (SERVING, DRAINING):
            move(self, RESTING)

    def _deafen(self) -> None:
        if self._listener.listening or self.state in (SERVING, DRAINING):
            self._listener.stop()
            self.server.end_batches()

    def _gone(self) -> None:
        """The socket is closed, or was when it was asked for: this server has ended."""
        log.info("%r: its socket is closed; it takes no more requests", self.server)
        self.rest()
        self._left()

    # -- one request for somebody else's loop

    def serve_one(self, timeout: float | None) -> bool:
        """Whoever calls ``handle_request()``.  Wait at most ``timeout`` seconds for one request and process it.

        Returns False when none came.  What the private loop has to do (children to reap, say) is done beside.
        """
        strategy = self._join()
        deadline = None if timeout is None else time.monotonic() + timeout
        self._turn_by_the_way(0)
        while not strategy.has_room():
            self._wait_for_room(strategy, _left_of(deadline))
            if _passed(deadline) or self.loop.closed:
                return False
        while not self._wait(_left_of(deadline)) or not self.server.take_waiting(self.one_taker, self._wait):
            if _passed(deadline):
                return False
            self._turn_by_the_way(0)
        return True

    def _wait_for_room(self, strategy: Strategy, timeout: float | None) -> None:
        """Turn the private loop once: threads and children tell it when they end.  One thread waits in it at a time."""
        patience = -1 if timeout is None else timeout
        with contextlib.suppress(Busy, Closed), self.loop.led(by_the_way=True, patience=patience):
            self.loop.turn(0 if strategy.has_room() else timeout)

    def _wait(self, timeout: float | None) -> bool:
        """Wait for a request, or for something in the private loop; return whether there is a request."""
        poll = select.poll()
        mine = self.server.fileno()
        poll.register(mine, select.POLLIN)
        if (own := self.loop.fileno()) is not None:
            poll.register(own, select.POLLIN)
        ready = poll.poll(None if timeout is None else max(0, round(timeout * 1000 + 0.5)))
        return any(fd == mine for fd, _ in ready)

    def _turn_by_the_way(self, timeout: float) -> None:
        """Turn the private loop once, unless another thread does, or it is closed."""
        with contextlib.suppress(Busy, Closed), self.loop.led(by_the_way=True):
            self.loop.turn(timeout)

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
        for job in unbegun:
            job.close()
        return lines

    def close(self) -> None:
        """The server was closed.  ``closed`` opens when its jobs are done and its strategy has ended."""
        if self.state in (CLOSING, CLOSED):
            return
        self._deafen()
        move(self, CLOSING)
        self.server.close_listener()
        self._left()
        idle = self._parking.empty()
        if self.strategy.waits_on_close:
            self.when_empty(self._leave_strategies)
        for connection in idle:
            self.dispatch(connection)
        if not self.strategy.waits_on_close:
            self._leave_strategies()

    @property
    def ended(self) -> bool:
        """Any thread.  Whether all of it is closed; ``closed`` also opens when a loop ends that was to close it."""
        return self.state is CLOSED

    def _leave_strategies(self) -> None:
        strategy = next(iter(self._joined), None)
        if strategy is None:
            move(self, CLOSED)
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

    def abandon(self, keep: Sequence[Any], spared: set[int]) -> None:
        """Forked child.  Close its copies of what the loop does not watch, but for ``keep``, and of its socket.

        That one is closed as an object, since handlers can reach it, and might close it again when its number is
        somebody else's: the number is added to ``spared``.  The rest of the endpoint is left as it is; nobody asks it
        any more, for its loop is closed.
        """
        for strategy in self._joined:
            strategy.abandon()
        listener = self.server.socket
        if listener not in keep:
            spared.add(listener.fileno())
            _close_copy(listener)
        for job in self.live:
            state = job.state
            if state is not RequestState.LEFT and state is not PARKED:  # closed here already; watched by the loop
                for held in job.holds():
                    if held not in keep:
                        _close_copy(held)


def _close_untaken(job: RequestJob) -> None:
    """``submit()`` raised.  A Ctrl-C may come when the job is taken already: the start of a thread waits for it."""
    if job.state in (RequestState.ADMITTED, RequestState.READY, RequestState.ENDING):
        job.close()


def _close_copy(thing: Any) -> None:
    """Forked child.  Close its copy of a socket."""
    try:  # what contextlib.suppress() touches is copied
        os.close(thing.detach())
    except (OSError, AttributeError):  # closed already, or no socket
        pass


def _nothing() -> None:
    pass


def _left_of(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _passed(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
