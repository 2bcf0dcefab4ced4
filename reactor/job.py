"""RequestJob: an admitted request on its way through a strategy; closed exactly once, whatever its handler does."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from reactor.errors import UsageError, end_server
from reactor.lifecycle import RequestState, move, moved
from strategies.log import Log

log = Log("reactor")

ADMITTED, RUNNING, LEFT, CLOSED = RequestState.ADMITTED, RequestState.RUNNING, RequestState.LEFT, RequestState.CLOSED
UNTAKEN = {ADMITTED, RequestState.READY, RequestState.ENDING}


def unsettled(job: Any) -> None:
    """What ``settle`` is before the server fills it."""


def attempt(server: Any, request: Any, client_address: Any, turn: Callable[[], Any] | None = None) -> Any:
    """Worker thread.  One turn of a request; the request is closed here, once, unless it wants another.

    turn  what is called; None for the first, which is ``finish_request()``

    Returns the handler that wants another turn, or None when the request is done.  An Exception goes to the server's
    ``handle_error()``; what that raises, and other BaseExceptions, end the thread, and are marked so.
    """
    try:
        again = server.finish_request(request, client_address) if turn is None else turn()
    except Exception:  # noqa: BLE001  # the second door
        try:
            server.handle_error(request, client_address)
        except BaseException as error:
            end_server(error)
            raise
        finally:
            server.shutdown_request(request)
        return None
    except BaseException as error:
        end_server(error)
        server.shutdown_request(request)
        raise
    # A finish_request() of the user's may return anything: what knows no turns is not called again.
    if again is None or getattr(again, "next_turn", None) is None:
        server.shutdown_request(request)
        return None
    return again


class RequestJob:
    """The job of one request.  Its state says who owns it (see ``reactor.lifecycle``); only the owner calls.

    settle   called once, by the thread that closed the request
    hand_on  called with a job that wants another turn, by the thread that ran it; None where there is no loop to wait
             in: then this thread waits
    thread   the identity of the thread that runs it, or None
    """

    #: Whether it may wait for its client, before its first turn and between turns.
    parks: ClassVar[bool] = False

    # Here rather than in each object, which most requests are done with before they change.
    state: RequestState = ADMITTED
    settle: Callable[[Any], object] = staticmethod(unsettled)
    hand_on: Callable[[Any], object] | None = None
    thread: int | None = None

    def __init__(self, server: Any, request: Any, client_address: Any) -> None:
        self.server = server
        self.request = request
        self.client_address = client_address

    def run(self) -> None:
        """Worker thread.  One turn; it closes and settles the request, or hands it on.  See ``attempt()``."""
        if self.state is CLOSED:  # by a submit() that was interrupted when the job was taken already
            return
        self.state = RUNNING if self.state is ADMITTED else moved(self, RUNNING)
        self.thread = get_ident()
        again = None
        try:
            again = self.turn()
        finally:
            self.thread = None
            if again is None:
                self.state = CLOSED  # from RUNNING it always may
                self.settle(self)
        if again is not None:
            self.go_on(again)

    def turn(self) -> Any:
        """One call of the handler.  Returns what wants another turn, or None when the request is closed."""
        return attempt(self.server, self.request, self.client_address)

    def begun(self, handler: Any) -> None:
        """The first turn was taken before there was a job: the handler wants another."""
        move(self, RUNNING)
        self.go_on(handler)

    def go_on(self, handler: Any) -> None:
        """The handler wants another turn: here there is one, and that is reported like any error of a handler."""
        try:
            attempt(self.server, self.request, self.client_address, partial(_refuse, handler))
        finally:
            move(self, CLOSED)
            self.settle(self)

    def run_out(self, lifeline: int | None = None) -> None:
        """Forked child, or no loop to wait in: all turns to the end."""
        self.run()

    def close(self) -> None:
        """Its owner.  Close a request that is not to run (again), by the server's hook; then settle."""
        move(self, CLOSED)
        try:
            self.server.shutdown_request(self.request)
        finally:
            self.settle(self)

    def leave(self) -> None:
        """In the parent, after a fork: a child owns the request now."""
        move(self, LEFT)

    def cut(self) -> None:
        """Loop thread, at a deadline.  Make a handler that waits for its client come back."""

    def holds(self) -> Sequence[Any]:
        return ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} from {self.client_address!r}, {self.state.name}>"


def _refuse(handler: Any) -> None:
    raise UsageError(
        f"{handler!r} asked for another turn, and a request of this kind has one: "
        "PARK and AGAIN are for connections; return CLOSE or None here"
    )


def close_untaken(job: RequestJob) -> None:
    """Its owner.  ``submit()`` raised.  An interrupt may come when the job is taken already: the start of a thread
    waits for it."""
    if job.state in UNTAKEN:
        job.close()


def close_all(jobs: Iterable[Any]) -> None:
    """Their owner, at a deadline.  Close jobs that are not to run; what a hook raises is the affair of one request."""
    for job in jobs:
        try:
            job.close()
        except Exception:
            log.exception("%r could not be closed", job)


class RunOut:
    """A job that is run to its end wherever it is run: there is no loop that it could wait in."""

    __slots__ = ("close", "holds", "job", "leave", "run", "run_out", "settle")

    def __init__(self, job: RequestJob) -> None:
        self.job = job
        self.run = self.run_out = job.run_out
        self.leave = job.leave
        self.close = job.close
        self.holds = job.holds
        self.settle = self._settle

    def _settle(self, _: Any) -> None:
        self.job.settle(self.job)

    def __repr__(self) -> str:
        return repr(self.job)
