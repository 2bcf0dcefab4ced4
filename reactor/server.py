"""The server classes: a bound endpoint with the classic hooks and attributes.

What a server is and what users may override stands here.  How requests travel is the endpoint's affair, how they are
run the strategy's.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from _thread import RLock
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from reactor.accepted import Accepted
from reactor.endpoint import Endpoint
from reactor.errors import UsageError
from reactor.job import attempt
from reactor.lifecycle import EndpointState
from reactor.packet import Datagram, datagrams_of
from reactor.reactor import Reactor
from reactor.sockets import UnixPath, bind, bind_unix
from reactor.taking import DatagramTaker, StreamTaker, Taker, ours
from strategies.contract import Strategy
from strategies.inline import Inline

SHUT_WR = int(socket.SHUT_WR)

Handler = Callable[[Any, Any, Any], Any]

if TYPE_CHECKING:
    from logging import Logger

#: Held while a server gets a loop of its own.  One for all servers: constructors may run late, and twice.
ATTACHING = RLock()

#: A socket's family and type as the numbers that they are; ``listener.family`` looks up an enum member for it.
FAMILY: Callable[[socket.socket], int] = socket.SocketType.family.__get__
TYPE: Callable[[socket.socket], int] = socket.SocketType.type.__get__

ACCEPTED_BLOCKS = sys.platform.startswith("linux")  # elsewhere an accepted socket inherits O_NONBLOCK


class PrivateReactor(Reactor):
    """The loop that a server has to itself, where nobody has added it to one."""


def attach(server: Any) -> Endpoint:
    """Any thread.  The server's place in a loop; a loop of its own where nobody has added it to one."""
    if server.at_endpoint is None:
        with ATTACHING:  # several threads may call handle_request() at once
            if server.at_endpoint is None:
                PrivateReactor().add(server)
    endpoint: Endpoint = server.at_endpoint
    return endpoint


class BaseServer:
    """What all servers have in common; no socket yet.

    server_address       the address to bind, later the one that was bound
    RequestHandlerClass  called with (request, client_address, server) for each request; any callable
    strategy             who runs the requests: a Strategy; None takes what a mix-in chose, else Inline()

    timeout        seconds that ``handle_request()`` waits for a request, None for ever
    close_timeout  seconds that ``server_close()`` waits for requests that still run, then cuts them; None for ever
    logger         where ``handle_error()`` reports; None prints to standard output
    """

    timeout: float | None = None
    close_timeout: float | None = 30.0
    logger: Logger | None = None

    #: How its requests are taken.
    taken_by: ClassVar[type[Taker]] = Taker

    # State is here too, for classes whose constructor runs late, or twice.
    socket: Any = None
    at_endpoint: Endpoint | None = None
    in_reactor: Reactor | None = None
    _run_by: Strategy | None = None
    _asked_to_stop = False

    def __init__(
        self, server_address: Any, RequestHandlerClass: Handler, *, strategy: Strategy | None = None
    ) -> None:
        if not callable(RequestHandlerClass) and RequestHandlerClass is not None:  # None: to be set later
            raise UsageError(f"RequestHandlerClass={RequestHandlerClass!r}: pass a class with a handle()")
        self.server_address = server_address
        self.RequestHandlerClass = RequestHandlerClass
        self._asked_to_stop = False  # a constructor that runs twice begins anew
        if strategy is not None:
            self.run_by = strategy

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        self.server_close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {getattr(self, 'server_address', None)!r}>"

    @property
    def run_by(self) -> Strategy:
        """Who runs the requests.  May be set until the server is used.  Raises UsageError for what is no strategy."""
        if self._run_by is None:
            make = getattr(self, "make_strategy", Inline)
            self._run_by = make()
        return self._run_by

    @run_by.setter
    def run_by(self, strategy: Strategy) -> None:
        if not isinstance(strategy, Strategy):
            raise UsageError(f"strategy={strategy!r}: pass a strategy object, such as ThreadPool(8) or Inline()")
        if self.at_endpoint is not None:
            raise UsageError(f"{self!r} is in use; choose its strategy before")
        self._run_by = strategy

    #: The name that users know.  Ours ask for ``run_by``, for a program may have a ``strategy`` of its own.
    strategy = run_by

    # -- serving

    @ours
    def fileno(self) -> int:
        """The descriptor of the listening socket; readable when there is a request."""
        return int(self.socket.fileno())

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Handle requests until ``shutdown()``: a loop with this one server.

        poll_interval  seconds between two calls of ``service_actions()`` at most; matters only where that is defined

        Raises what ``Reactor.run()`` raises; UsageError when the server was added to a reactor: run that.
        """
        attach(self)
        reactor = self.in_reactor
        if not isinstance(reactor, PrivateReactor):
            raise UsageError(f"{self!r} was added to a reactor; call run() of that one")
        if self._asked_to_stop:
            reactor.stop()
        try:
            reactor.run(poll_interval)
        finally:
            self._asked_to_stop = False
            if self.at_endpoint is not None and self.at_endpoint.state in (EndpointState.CLOSING, EndpointState.CLOSED):
                BaseServer.server_close(self)  # what it began; a subclass's has been called

    def _check_open(self) -> None:
        if self.at_endpoint is None and (fd := self.fileno()) < 0:
            raise UsageError(f"Invalid file descriptor: {fd}: {self!r} is closed; make a new one")

    def shutdown(self) -> None:
        """Any thread, handler or signal handler.  End ``serve_forever()``, and wait until it has.

        Does not wait where it would wait for itself: on the loop's own thread.  Before ``serve_forever()``, it makes
        the next one return at once.  In a reactor with other servers, only this one stops.
        """
        self._asked_to_stop = True
        reactor = self.in_reactor
        if reactor is None:
            return
        if isinstance(reactor, PrivateReactor):
            reactor.stop()
            reactor.wait()
        else:
            reactor.retire(self)
            self._asked_to_stop = False

    @ours
    def handle_request(self) -> None:
        """Wait for one request, at most ``timeout`` seconds, and process it; else call ``handle_timeout()``.

        For programs with a loop of their own: call it when ``fileno()`` is readable.  It calls ``get_request()``,
        ``verify_request()`` and ``process_request()``.  Raises UsageError for a server that is closed, or served by
        another thread.
        """
        self._check_open()
        endpoint = attach(self)
        if endpoint.loop.leads():  # a turn of serve_forever(): the socket is readable
            endpoint.taker.in_turn()
            return
        if endpoint.loop.running:
            raise UsageError(f"{self!r} is being served by another thread already")
        timeout = self.socket.gettimeout()
        if timeout is None:
            timeout = self.timeout
        elif self.timeout is not None:
            timeout = min(timeout, self.timeout)
        if not endpoint.one_by_one.serve(timeout):
            self.handle_timeout()

    @ours
    def service_actions(self) -> None:
        """Called after every turn of the loop, and at least every ``poll_interval``.  Does nothing here."""

    def handle_timeout(self) -> None:
        """Called by ``handle_request()`` when no request came within ``timeout`` seconds.  Does nothing here."""

    def server_close(self) -> None:
        """Any thread or handler.  Close the socket, and end what belongs to the server.

        Waits at most ``close_timeout`` seconds for requests that still run, then cuts them.  In a handler, and on the
        loop's own thread, the closing begins here and goes on when that has returned.
        """
        endpoint, reactor = self.at_endpoint, self.in_reactor
        if endpoint is None or reactor is None:
            self.close_listener()
        elif reactor.close_endpoint(endpoint, self.close_timeout):
            self.close_listener()
            self.at_endpoint = self.in_reactor = None
            if isinstance(reactor, PrivateReactor):
                reactor.close()

    def close_listener(self) -> None:
        """Close the listening socket; the requests go on.  May be called twice."""

    # -- the classic hooks

    @ours
    def get_request(self) -> tuple[Any, Any]:
        """Take a request off the socket; return it and the client's address."""
        raise UsageError(f"{type(self).__name__} has to define get_request()")

    @ours
    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether to process the request; False denies it.  Always True here."""
        return True

    @ours
    def process_request(self, request: Any, client_address: Any) -> None:
        """Have the strategy call ``finish_request()``: here and now for Inline(), else on a thread or in a child."""
        endpoint = self.at_endpoint or attach(self)
        if endpoint.direct and getattr(self.RequestHandlerClass, "speaks_first", True):
            handler = attempt(self, request, client_address)
            if handler is not None:
                endpoint.requests.go_on(endpoint.taker.job_class(self, request, client_address), handler)
        else:
            endpoint.requests.admit(endpoint.taker.job_class(self, request, client_address))

    def finish_request(self, request: Any, client_address: Any) -> Any:
        """Make an instance of ``RequestHandlerClass`` and have it work.

        Returns the handler when it wants another turn, else None; an override returns what this returned.
        """
        handler = self.RequestHandlerClass(request, client_address, self)
        if getattr(handler, "constructor_runs", True):  # not one of ours: its constructor has done the work
            return None
        return handler.run()

    def shutdown_request(self, request: Any) -> None:
        """Called once for each request, at its end."""
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """Clean up one request.  Does nothing here."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called in the ``except`` block of what a handler raised.  Prints the traceback to standard output."""
        if self.logger is not None:
            self.logger.exception("request from %r failed", client_address)
            return
        error = sys.exc_info()[1]
        try:
            import traceback

            text = traceback.format_exc()
        except (ImportError, OSError):  # descriptors have run out, and it was not loaded before
            text = f"{error!r}\n"
        line = "-" * 40 + "\n"
        report = f"{line}Exception while processing a request from {client_address!r}\n{text}{line}"
        # In one piece, so that the reports of several threads do not mingle.  A standard output that is closed or
        # broken is no reason to end the server: there is nobody to tell.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stdout.write(report)
            sys.stdout.flush()


class TCPServer(BaseServer):
    """A stream server over TCP.

    allow_reuse_address  SO_REUSEADDR: bind although connections of an earlier server linger
    allow_reuse_port     SO_REUSEPORT: let other sockets bind the same address
    request_queue_size   connections that the kernel holds until they are taken (see listen(2))
    address_family       AF_INET; an address with a colon in its host makes it AF_INET6

    ``bind_and_activate=False`` leaves ``server_bind()`` and ``server_activate()`` to the caller.  Raises BindError, an
    OSError, when the address cannot be bound.
    """

    address_family: int = socket.AF_INET
    socket_type: int = socket.SOCK_STREAM
    request_queue_size: int = 5
    allow_reuse_address: bool = False
    allow_reuse_port: bool = False

    taken_by: ClassVar[type[Taker]] = StreamTaker

    def __init__(
        self,
        server_address: Any,
        RequestHandlerClass: Handler,
        bind_and_activate: bool = True,
        *,
        strategy: Strategy | None = None,
    ) -> None:
        if isinstance(bind_and_activate, Strategy):
            raise UsageError(f"bind_and_activate={bind_and_activate!r}: pass a strategy by its name, strategy=...")
        super().__init__(server_address, RequestHandlerClass, strategy=strategy)
        host = server_address[0] if isinstance(server_address, tuple) and server_address else ""
        if self.address_family == socket.AF_INET and ":" in str(host):
            self.address_family = socket.AF_INET6
        self.socket: socket.socket = socket.socket(self.address_family, self.socket_type)
        if bind_and_activate:
            try:
                self.server_bind()
                self.server_activate()
            except BaseException:
                self.server_close()
                raise

    def server_bind(self) -> None:
        """Bind the socket, and learn the address that was bound."""
        if self.allow_reuse_address and hasattr(socket, "SO_REUSEADDR"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.allow_reuse_port and self.address_family in (socket.AF_INET, socket.AF_INET6):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        """Let clients in: listen with a backlog of ``request_queue_size``."""
        self.socket.listen(self.request_queue_size)

    def close_listener(self) -> None:
        self.socket.close()

    @ours
    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection; return the new socket and the client's address."""
        listener = self.socket
        if type(listener) is not socket.socket:  # TLS-wrapped, or made by the user
            accepted: tuple[Any, Any] = listener.accept()
            return accepted
        # What listener.accept() does, less the looking up of enum members, which costs as much as the system call.
        fd, address = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            request = Accepted(FAMILY(listener), TYPE(listener), 0, fd)
        except BaseException:  # no memory left, say
            os.close(fd)
            raise
        if not ACCEPTED_BLOCKS and socket.getdefaulttimeout() is None:
            request.setblocking(True)
        return request, address

    def shutdown_request(self, request: Any) -> None:
        """Say goodbye to the client, then close."""
        try:  # contextlib.suppress() takes longer than the system call
            request.shutdown(SHUT_WR)
        except OSError:  # it has gone first
            pass
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        request.close()


class UDPServer(TCPServer):
    """A datagram server over UDP.

    max_packet_size  bytes of a packet that are taken; longer ones are cut, and say so
    receive_flags    flags for recvfrom(2); the loop sets MSG_DONTWAIT while it takes packets until there are none
    """

    socket_type = socket.SOCK_DGRAM
    max_packet_size: int = 8192
    receive_flags: int = 0

    taken_by = DatagramTaker

    _datagram: type[Datagram] = Datagram

    @ours
    def get_request(self) -> tuple[Any, Any]:
        """Receive a packet; return a Datagram and the client's address."""
        limit, sock = self.max_packet_size, self.socket
        data, address = sock.recvfrom(limit + 1, self.receive_flags)
        datagram = self._datagram
        if datagram.socket is not sock:
            datagram = self._datagram = datagrams_of(sock)
        if len(data) <= limit:
            return datagram(data), address
        packet = datagram(data[:limit])
        packet.truncated = True
        return packet, address

    def server_activate(self) -> None:
        """Nothing to do: a datagram socket does not listen."""

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """Nothing to do: a packet is not closed."""


class _UnixServer(TCPServer):
    """A server at a path: a stale one is replaced, a live one refused, and ours is removed at the end."""

    address_family = socket.AF_UNIX
    _bound: UnixPath | None = None

    def server_bind(self) -> None:
        address = self.server_address
        self._bound = bind_unix(self.socket, os.fspath(address) if isinstance(address, os.PathLike) else address)
        self.server_address = self.socket.getsockname()

    def close_listener(self) -> None:
        if self._bound is not None:
            self._bound.remove()
            self._bound = None
        super().close_listener()


class UnixStreamServer(_UnixServer):
    """A stream server at a Unix path."""


class UnixDatagramServer(_UnixServer, UDPServer):
    """A datagram server at a Unix path."""
