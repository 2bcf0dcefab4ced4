"""Connection: a connected socket as a job, for one turn or for many."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Sequence
from typing import Any

from reactor.errors import UsageError
from reactor.job import RequestJob, attempt
from reactor.lifecycle import RequestState, move, moved
from reactor.patience import wait_for

ADMITTED, PARKED, READY = RequestState.ADMITTED, RequestState.PARKED, RequestState.READY
ENDING, LEFT, CLOSED = RequestState.ENDING, RequestState.LEFT, RequestState.CLOSED


class Connection(RequestJob):
    """A stream as a job.

    handler  what wants another turn; None before the first
    """

    parks = True

    handler: Any = None
    ending = False
    saw_end = False
    parked_in_turn = 0

    def turn(self) -> Any:
        handler = self.handler
        if handler is None:
            turn = _nothing if self.ending else None  # ending: its client has never said anything
        else:
            turn = handler.expire if self.ending else handler.run
        return attempt(self.server, self.request, self.client_address, turn)

    def go_on(self, handler: Any) -> None:
        self.handler = handler
        move(self, PARKED if handler.waits else READY)
        if self.hand_on is not None:
            self.hand_on(self)

    def run_out(self, lifeline: int | None = None) -> None:
        self.hand_on = None
        if self.state is not PARKED:
            self.run()
        while self.state is not CLOSED:
            if self.state is PARKED:
                if self._wait(lifeline) and not (self.at_end() and self.heard_end()):
                    move(self, READY)
                else:
                    self.end()
            self.run()

    def _wait(self, lifeline: int | None) -> bool:
        """Wait until the client has sent, at most for the handler's ``idle_timeout``; return whether it has.

        False as well when ``lifeline`` is readable: nobody waits for the idle ones any more.
        """
        poll = select.poll()
        poll.register(self.request, select.POLLIN)
        if lifeline is not None:
            poll.register(lifeline, select.POLLIN)
        ready = wait_for(poll, self.idle_timeout)
        return bool(ready) and all(fd != lifeline for fd, _ in ready)

    def at_end(self) -> bool:
        """Its owner.  Whether the client has said all it will, or is gone."""
        try:
            # Past an SSLSocket's own recv(), which takes no flags.
            return not socket.socket.recv(self.request, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError, TypeError):  # TypeError: no socket, but something like one
            return False
        except OSError:
            return True

    def heard_end(self) -> bool:
        """Its owner, when it is ``at_end()``.  False the first time: the handler is to hear of it.

        The end of a stream stays readable for ever; a handler that has been told, and parks again, would go round and
        round.
        """
        heard, self.saw_end = self.saw_end, True
        return heard

    @property
    def idle_timeout(self) -> float | None:
        """Seconds that it may stay parked.  Raises UsageError for what is no time."""
        timeout: float | None = (self.handler or self.server.RequestHandlerClass).idle_timeout
        try:
            if timeout is None or timeout >= 0 or timeout < 0:
                return timeout
        except TypeError:
            pass
        raise UsageError(f"idle_timeout={timeout!r} of {self!r}: the seconds to stay parked are a number, or None")

    def end(self) -> None:
        """Its owner.  The next run is the last: it finishes the handler."""
        self.ending = True
        move(self, ENDING)

    def leave(self) -> None:
        self.state = LEFT if self.state is ADMITTED else moved(self, LEFT)
        self.server.close_request(self.request)

    def cut(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # closed meanwhile, or no socket at all
            self.request.shutdown(socket.SHUT_RDWR)

    def holds(self) -> Sequence[Any]:
        return (self.request,)


def _nothing() -> None:
    pass
