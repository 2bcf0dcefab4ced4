"""Takers: how requests come off a server's socket, and through its classic hooks.

A server has the hooks that users know, and as few names as can be beside them, since what a subclass defines for itself
would hide ours.  What the endpoint asks of a server in a loop stands here instead.
"""

from __future__ import annotations

import contextlib
import socket
from _thread import allocate_lock
from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar, TypeVar, cast

from reactor.connection import Connection
from reactor.errors import ends_server
from reactor.job import RequestJob
from reactor.packet import Packet

H = TypeVar("H", bound=Callable[..., Any])

#: The hooks as we wrote them, by identity: what a user sets in their place need not be hashable.
_OURS: dict[int, FunctionType] = {}


def ours(hook: H) -> H:
    """Decorator: a hook as we wrote it, for ``overrides()`` to know."""
    _OURS[id(hook)] = cast(FunctionType, hook)
    return hook


def overrides(server: Any, name: str) -> bool:
    """Whether a hook is the user's own: from a subclass, or set on the object."""
    hook = getattr(server, name)
    return id(getattr(hook, "__func__", hook)) not in _OURS


class Taker:
    """The requests of one server.  Loop thread, or the thread that calls ``handle_request()``.

    job_class  what carries a request of this kind through a strategy
    batch      requests taken in one turn at most, where that can be: enough to make the poll cheap, few enough that
               other servers get theirs soon
    error      the OSError that ``get_request()`` raised in the last ``handle_request()`` of a turn; loop thread
    """

    job_class: type[RequestJob] = Connection
    batch: ClassVar[int] = 1

    def __init__(self, server: Any) -> None:
        self.server = server
        self.error: OSError | None = None
        self._one_at_a_time = allocate_lock()

    @property
    def acts(self) -> bool:
        """Whether ``service_actions()`` does anything."""
        return overrides(self.server, "service_actions")

    @property
    def plain(self) -> bool:
        """Whether nothing on a request's way to its strategy is the user's own: it may lean on its thread, or wait."""
        hooks = ("fileno", "get_request", "verify_request", "process_request", "handle_request")
        return type(self.server.socket) is socket.socket and not any(overrides(self.server, hook) for hook in hooks)

    def prepare(self) -> bool:
        """Prepare to be asked for requests until there are none; False: one at a time, each when one is there."""
        return False

    def restore(self) -> None:
        """Undo ``prepare()``."""

    def share(self) -> None:
        """Forked worker.  Prepare a socket that all workers have, for good."""

    def way(self) -> Callable[[], OSError | None]:
        """How the loop takes one request: ``take()``, or a ``handle_request()`` that the user has defined."""
        return self._by_request if self.serves_by_request() else self.take

    def serves_by_request(self) -> bool:
        """Whether the user has defined ``handle_request()``, which is then called for each request that is there."""
        return overrides(self.server, "handle_request")

    def _by_request(self) -> OSError | None:
        self.error = None
        self.server.handle_request()
        return self.error

    def in_turn(self) -> None:
        """What ``handle_request()`` does inside a turn of the loop: the socket is readable."""
        self.error = self.take()

    def take(self) -> OSError | None:
        """Take one request and process it: get, verify, process.  Returns the OSError that ``get_request()`` raised."""
        server = self.server
        try:
            request, client_address = server.get_request()
        except OSError as error:
            return error
        try:  # as in process(): a call less for each request
            if server.verify_request(request, client_address):
                server.process_request(request, client_address)
            else:
                server.shutdown_request(request)
        except BaseException as error:  # noqa: BLE001  # reported, or raised again
            self._failed(error, request, client_address)
        return None

    def take_waiting(self, is_there: Callable[[], bool]) -> tuple[bool, OSError | None]:
        """As ``take()``, beside other threads that do the same.

        Returns False when another was quicker to take the request; and the OSError that ``get_request()`` raised.
        """
        with self._one_at_a_time:  # so that nobody is caught in accept() with nothing to accept
            if not is_there():
                return False, None
            try:
                request, client_address = self.server.get_request()
            except OSError as error:
                return True, error
        self.process(request, client_address)
        return True, None

    def process(self, request: Any, client_address: Any) -> None:
        """Verify a request that was taken, and process it or shut it down."""
        server = self.server
        try:
            if server.verify_request(request, client_address):
                server.process_request(request, client_address)
            else:
                server.shutdown_request(request)
        except BaseException as error:  # noqa: BLE001  # reported, or raised again
            self._failed(error, request, client_address)

    def _failed(self, error: BaseException, request: Any, client_address: Any) -> None:
        """In the ``except`` block of what a hook raised: report it, or let it go on."""
        if not isinstance(error, Exception):
            if not ends_server(error):  # else a job had the request, and has closed it
                self._close_unowned(request)
            raise error
        if ends_server(error):
            raise error
        try:
            self.server.handle_error(request, client_address)
        finally:
            self._close_unowned(request)

    def _close_unowned(self, request: Any) -> None:
        """Close a request that no job took over, and nobody has closed."""
        endpoint = self.server.at_endpoint
        if endpoint is not None and endpoint.requests.owns(request):
            return
        fileno = getattr(request, "fileno", None)
        if fileno is None or fileno() >= 0:
            self.server.shutdown_request(request)


class StreamTaker(Taker):
    """Connections: accepted until there are none, where the socket and ``get_request()`` are the plain ones."""

    batch = 32

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self._before: tuple[Any, float | None] | None = None

    @property
    def timeout_before(self) -> tuple[Any, float | None] | None:
        """The socket that was prepared and its own time-out (seconds), while it is prepared."""
        return self._before

    def prepare(self) -> bool:
        listener = self.server.socket
        if type(listener) is not socket.socket or overrides(self.server, "get_request"):
            return False
        self._before = listener, listener.gettimeout()
        listener.setblocking(False)
        return not self.serves_by_request()

    def restore(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            listener, timeout = before  # the program may have put another in its place
            with contextlib.suppress(OSError):  # closed meanwhile
                listener.settimeout(timeout)

    def share(self) -> None:
        # The mode belongs to the one socket that all workers share: it is set once, and no worker takes it back.
        self.server.socket.setblocking(False)


class DatagramTaker(Taker):
    """Packets: received until there are none, where the socket and ``get_request()`` are the plain ones."""

    job_class = Packet
    batch = 64

    def prepare(self) -> bool:
        # Not setblocking(): answers leave by the same socket, and they may have to wait for room.
        if type(self.server.socket) is not socket.socket or overrides(self.server, "get_request"):
            return False
        self.server.receive_flags = socket.MSG_DONTWAIT
        return not self.serves_by_request()

    def restore(self) -> None:
        self.server.receive_flags = 0
