"""How the drop-in's requests are taken and run: everything goes through the server's own methods, as programs expect.

What a subclass keeps stays open, what it calls it calls itself, and the socket is left as the program made it.
"""

from __future__ import annotations

import contextlib
import socket
from _thread import get_ident
from collections.abc import Callable, Sequence
from typing import Any

from reactor.job import RequestJob
from reactor.lifecycle import RequestState, move
from reactor.packet import Datagram
from reactor.taking import DatagramTaker, StreamTaker, Taker, overrides


class ClassicJob(RequestJob):
    """A request whose closing is the business of the server's own methods.

    work   what is called with the request and the client's address, on a worker thread or in a child; it shuts the
           request
    taken  whether ``process_request()`` has handed it on; until then it is for the caller to shut the request
    """

    def __init__(self, server: Any, request: Any, client_address: Any, work: Callable[[Any, Any], object]) -> None:
        super().__init__(server, request, client_address)
        self.work = work
        self.taken = False

    def run(self) -> None:
        move(self, RequestState.RUNNING)
        self.thread = get_ident()
        try:
            self.work(self.request, self.client_address)
        finally:
            self.thread = None
            move(self, RequestState.CLOSED)
            self.settle(self)

    def close(self) -> None:
        if self.taken:
            super().close()
        else:
            move(self, RequestState.CLOSED)
            self.settle(self)

    def leave(self) -> None:
        super().leave()
        self.server.close_request(self.request)

    def cut(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # closed meanwhile, or a datagram
            self.request.shutdown(socket.SHUT_RDWR)

    def holds(self) -> Sequence[Any]:
        parts = self.request if isinstance(self.request, tuple) else (self.request,)
        return [part for part in parts if hasattr(part, "fileno")]


class ClassicTaker(Taker):
    """Requests are taken by ``_handle_request_noblock()``; a ``handle_request()`` of the program's is not called."""

    @property
    def acts(self) -> bool:
        server = self.server
        if not hasattr(server, "collect_children"):
            return overrides(server, "service_actions")
        # A ForkingMixIn's looks after children that have ended.  The loop does that for ours; it is called for others.
        return any(overrides(server, name) for name in ("service_actions", "collect_children", "process_request"))

    @property
    def plain(self) -> bool:
        return False

    def serves_by_request(self) -> bool:
        return False

    def take(self) -> OSError | None:
        self.error = None
        self.server._handle_request_noblock()  # noqa: SLF001  # the name that programs know it by
        return self.error

    def take_waiting(self, is_there: Callable[[], bool]) -> tuple[bool, OSError | None]:
        return True, self.take()

    def may_batch(self) -> bool:
        """Whether several requests may be taken in one turn.  ``service_actions()`` is called after each."""
        return not self.acts and not overrides(self.server, "_handle_request_noblock")


class ClassicStreamTaker(ClassicTaker, StreamTaker):
    """Connections, as the standard library's servers take them."""

    def prepare(self) -> bool:
        return self.may_batch() and StreamTaker.prepare(self)


class ClassicDatagramTaker(ClassicTaker, DatagramTaker):
    """Packets, as the standard library's servers take them."""

    def prepare(self) -> bool:
        return self.may_batch() and DatagramTaker.prepare(self)


def native_request(taker: Taker, request: Any) -> Any:
    """The request as a handler of the native servers expects it."""
    if not isinstance(taker, DatagramTaker):
        return request
    data, receiver = request
    packet = Datagram(data)
    packet.socket = receiver
    return packet
