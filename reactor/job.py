"""RequestJob: an admitted request on its way through a strategy; closed exactly once, whatever its handler does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from reactor.errors import end_server
from reactor.lifecycle import RequestState, move

ADMITTED, RUNNING, LEFT, CLOSED = RequestState.ADMITTED, RequestState.RUNNING, RequestState.LEFT, RequestState.CLOSED


def unsettled(job: Any) -> None:
    """What ``settle`` is before the server fills it."""


class RequestJob:
    """The job of one request.  Its state says who owns it (see ``reactor.lifecycle``); only the owner calls.

    settle  called once, by the thread that closed the request
    thread  the identity of the thread that runs it, or None
    """

    __slots__ = ("client_address", "request", "server", "settle", "state", "thread")

    def __init__(self, server: Any, request: Any, client_address: Any) -> None:
        self.server = server
        self.request = request
        self.client_address = client_address
        self.state = ADMITTED
        self.settle: Callable[[Any], object] = unsettled
        self.thread: int | None = None

    def run(self) -> None:
        """Worker thread.  The whole request.  An Exception goes to ``handle_error()``; others end the thread."""
        move(self, RUNNING)
        self.thread = threading.get_ident()
        try:
            again = self.turn()
        except Exception:  # noqa: BLE001  # the second door
            try:
                self.server.handle_error(self.request, self.client_address)
            except BaseException as error:
                end_server(error)
                raise
            finally:
                self.close()
            return
        except BaseException as error:
            end_server(error)
            self.close()
            raise
        if again is None:
            self.close()
        else:
            self.go_on(again)

    def turn(self) -> Any:
        """One call of the handler.  Returns what wants another turn, or None when the request is done."""
        return self.server.finish_request(self.request, self.client_address)

    def go_on(self, again: Any) -> None:
        """What came back from ``finish_request()`` is not ours to call again: the request is done."""
        self.close()

    def run_out(self) -> None:
        """Forked child, or no loop to wait in: all turns to the end."""
        self.run()

    def close(self) -> None:
        """Close the request by the server's hook, then settle."""
        self.thread = None
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
