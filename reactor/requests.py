"""Requests: those of one server that were admitted, until each is closed and settled.

Who may run when.  The loop's thread admits, dispatches and parks.  The thread or child that runs a job closes its
request and settles it, or hands it on.  ``live`` holds every admitted job until it is settled; adding and discarding
are atomic, so a worker discards first and then looks whether somebody waits for the last one, while who waits says so
first and then looks whether any is left: one of the two sees the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from reactor.errors import UsageError, ends_server
from reactor.job import RequestJob, close_all, close_untaken
from reactor.lifecycle import EndpointState, RequestState, move
from reactor.loop import Loop
from reactor.parking import Parking
from strategies.contract import Saturated, Strategy
from strategies.log import Log

log = Log("reactor")

RESTING, SERVING, CLOSED = EndpointState.RESTING, EndpointState.SERVING, EndpointState.CLOSED
PARKED, LEFT, GONE = RequestState.PARKED, RequestState.LEFT, RequestState.CLOSED


class Requests:
    """Loop thread, except where a method says otherwise.

    state    whether the server takes requests; the endpoint moves it
    live     the jobs that are not settled yet
    full     called when a job was refused: no more are to be taken until there is room
    run_out  runs a job to its end where no loop turns
    """

    def __init__(
        self,
        server: Any,
        loop: Loop,
        strategy: Strategy,
        full: Callable[[], object],
        run_out: Callable[[RequestJob], object],
    ) -> None:
        self._server = server
        self._loop = loop
        self._strategy = strategy
        self._full = full
        self._run_out = run_out
        self.state: EndpointState = RESTING
        self.live: set[RequestJob] = set()
        self.parking = Parking(loop, self.dispatch)
        self._waiting: deque[RequestJob] = deque()  # for room
        self._handed: deque[Any] = deque()  # by other threads, on their way back
        self._on_empty: list[Callable[[], object]] = []
        # Bound once, not for each request.
        self._settled = self.settled
        self._hand_on = self.hand_on

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
        if self.state is RESTING and not self._loop.running:
            self._run_out(job)
            return
        job.hand_on = self._hand_on
        if job.parks and not getattr(self._server.RequestHandlerClass, "speaks_first", True):
            move(job, PARKED)
            self.hand_on(job)
        elif self._waiting:  # behind those
            self._waiting.append(job)
        else:
            self._start(job)

    def go_on_waiting(self) -> bool:
        """There is room: start those that wait for it; return whether none waits any more."""
        waiting = self._waiting
        while waiting and self._strategy.has_room():
            if not self._start_again(waiting.popleft()):
                return False
        return not waiting

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
            self._server.handle_error(job.request, job.client_address)
            return True

    def _start(self, job: RequestJob) -> bool:
        """Whether there was room for it."""
        try:
            mine = self._strategy.submit(job)
        except Saturated:
            self._waiting.appendleft(job)
            self._full()
            return False
        except BaseException:
            close_untaken(job)
            raise
        if mine is not None:
            if mine is not job:
                close_untaken(job)
                raise TypeError(f"{self._strategy!r}.submit() returned {mine!r}: return the job it was given, or None")
            job.run()
        return True

    def hand_on(self, connection: Any) -> None:
        """Any thread.  A turn is over and the connection wants another."""
        if self._loop.leads():
            self._take_back(connection)
            return
        self._handed.append(connection)
        self._loop.post(self.take_handed)
        # By a strategy whose jobs are not waited for: no loop may turn for it any more.  Each is taken once, by whoever
        # is there first.
        if self._loop.closed or self.state is CLOSED:
            self.take_handed()

    def take_handed(self) -> None:
        """Any thread.  Go on with what was handed on."""
        handed = self._handed
        while handed:
            try:
                connection = handed.popleft()
            except IndexError:  # another thread was quicker
                return
            self._take_back(connection)

    def _take_back(self, connection: Any) -> None:
        if self.state is CLOSED or self._loop.closed:
            connection.end()
            connection.run()
            return
        if connection.state is PARKED:
            if self.state in (SERVING, RESTING):
                try:
                    self.parking.park(connection)
                    return
                except UsageError as error:
                    log.error("%s", error)
                except (OSError, ValueError):  # the handler closed its socket, and asks for more of it
                    pass
            connection.end()
        self._loop.soon(self.dispatch, connection)

    def settled(self, job: RequestJob) -> None:
        """Any thread.  The request is closed, here or in the child that took it over."""
        if job.state is LEFT:
            job.state = GONE  # from LEFT it always may
        self.live.discard(job)
        if self._on_empty and not self.live:
            self._loop.post(self._check_empty)

    def owns(self, request: Any) -> bool:
        """Any thread.  Whether a job for this request is on its way."""
        return any(job.request is request for job in tuple(self.live))

    def runs_on(self, thread: int) -> bool:
        """Any thread.  Whether the thread of that identity is running one of the jobs."""
        return any(job.thread == thread for job in tuple(self.live))

    def when_empty(self, callback: Callable[[], object]) -> None:
        """Call it once nothing is live.  More than one may wait: a drain, and a close that comes meanwhile."""
        self._on_empty.append(callback)
        self._loop.post(self._check_empty)

    def _check_empty(self) -> None:
        if not self.live:
            waiting, self._on_empty = self._on_empty, []
            for callback in waiting:
                callback()

    def end_idle(self) -> None:
        """Let those go that wait for their client."""
        for connection in self.parking.empty():
            self.dispatch(connection)

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

    def held(self) -> list[RequestJob]:
        """Forked child.  The jobs whose requests this process has a copy of, that nobody else closes."""
        jobs = []
        for job in self.live:
            # LEFT: closed here already.  PARKED: watched by the loop, which closes what it watches.
            if job.state is not LEFT and job.state is not PARKED:
                jobs.append(job)  # a comprehension is a function of its own, made anew in each child
        return jobs
