"""TurnHandler: a connection that is served exchange by exchange, and holds no thread in between."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar

from handlers.base import BaseRequestHandler
from handlers.stream import StreamRequestHandler


class Turn(Enum):
    """What a handler wants after one exchange."""

    CLOSE = "close"  #: the connection is done
    PARK = "park"  #: call me when the client has sent something more
    AGAIN = "again"  #: call me as soon as the others have had their turn


CLOSE, PARK, AGAIN = Turn.CLOSE, Turn.PARK, Turn.AGAIN


class TurnHandler(StreamRequestHandler):
    """``handle()`` serves one exchange and returns PARK, AGAIN or CLOSE (None means CLOSE).

    ``setup()`` is called once, before the first exchange; ``finish()`` once, after the last, also when a parked
    connection ends because it was idle too long or the server drains.  The turns of one connection never overlap, but
    each may run on another thread.  Bytes that ``rfile`` has read ahead count as "something more", so pipelined
    requests are served before the connection parks.

    idle_timeout  seconds that the connection may stay parked, or None for as long as the server runs
    speaks_first  False: the first exchange, ``setup()`` included, waits in the selector too, until the client has sent
                  something.  True: it begins as soon as the client has connected, for protocols that greet
    """

    idle_timeout: float | None = 60.0
    speaks_first: ClassVar[bool] = False

    #: What the last exchange asked for; None before the first.  The server reads it, handlers leave it alone.
    next_turn: Turn | None = None

    @property
    def waits(self) -> bool:
        """Whether the next turn has to wait until the client sends."""
        return self.next_turn is PARK

    def run(self) -> BaseRequestHandler | None:
        """Worker thread.  One exchange; return self when there is to be another, None when the connection is done."""
        try:
            if self.next_turn is None:
                self.setup()
            turn = self.handle()
            if turn is PARK or turn is AGAIN:
                self.wfile.flush()
                if turn is AGAIN or self.read_ahead():  # the selector sees only what the kernel still holds
                    self.next_turn = AGAIN
                    return self
                if not self.reader.at_end:  # after its end the socket stays readable for ever, and says nothing
                    self.next_turn = PARK
                    return self
            elif turn is not CLOSE and turn is not None:
                raise TypeError(f"{type(self).__name__}.handle() returned {turn!r}; return PARK, AGAIN or CLOSE")
            self.finish()
        except BaseException:
            self.release()
            raise
        return None

    def handle(self) -> Any:
        """Serve one exchange; return PARK, AGAIN or CLOSE.  Subclasses define it."""
        return CLOSE

    def expire(self) -> None:
        """Worker thread.  The connection ends while it waits for its next turn: ``finish()`` it."""
        try:
            self.finish()
        except BaseException:
            self.release()
            raise
