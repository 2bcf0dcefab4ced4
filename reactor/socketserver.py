"""The standard library's ``socketserver`` of today, on this reactor: the same names, the same behaviour.

Move a program over by changing one import, ``from reactor import socketserver``; or call ``install()`` first, and
``http.server``, ``wsgiref``, ``xmlrpc.server`` and all other packages imported after it run on this module.

The classes are the native ones plus the differences of the standard library, and nothing else stands here: handlers
work in their constructor; ``finish()`` is called after a ``handle()`` that raised; a datagram request is a pair of data
and socket; errors go to standard error; ``_handle_request_noblock()``, ``process_request_thread()`` and the private
names that programs lean on exist, and setting ``_BaseServer__shutdown_request`` ends the loop at once.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import selectors
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, BinaryIO, cast

from reactor.job import RequestJob
from reactor.latch import Latch
from reactor.lifecycle import EndpointState, RequestState, move
from reactor.neighbours import neighbour
from reactor.packet import Datagram
from reactor.server import BaseServer as NativeServer
from reactor.server import TCPServer as NativeTCPServer
from reactor.server import UDPServer as NativeUDPServer
from reactor.server import overrides
from strategies.contract import Strategy
from strategies.forking import ForkPerRequest
from strategies.forkingmixin import ForkingMixIn as NativeForkingMixIn
from strategies.inline import Inline
from strategies.perrequest import ThreadPerRequest
from strategies.threadingmixin import ThreadingMixIn as NativeThreadingMixIn

neighbour("handlers")

from handlers.base import BaseRequestHandler as NativeHandler  # noqa: E402  # the check above has to come first
from handlers.datagram import DatagramRequestHandler as NativeDatagramHandler  # noqa: E402
from handlers.stream import SocketWriter  # noqa: E402
from handlers.stream import StreamRequestHandler as NativeStreamHandler  # noqa: E402

__all__ = [
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "ForkingMixIn",
    "ForkingTCPServer",
    "ForkingUDPServer",
    "ForkingUnixDatagramServer",
    "ForkingUnixStreamServer",
    "StreamRequestHandler",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "ThreadingUnixDatagramServer",
    "ThreadingUnixStreamServer",
    "UDPServer",
    "UnixDatagramServer",
    "UnixStreamServer",
]


# Private there, and yet programs that bring a serve_forever() or a handler's setup() of their own reach for them.
_ServerSelector = selectors.PollSelector
_SocketWriter = SocketWriter


class ClassicJob(RequestJob):
    """A request whose closing is the business of the server's own methods: what a subclass keeps stays open.

    taken  whether ``process_request()`` has handed it on; until then it is for the caller to shut the request
    """

    __slots__ = ("taken",)

    def __init__(self, server: Any, request: Any, client_address: Any) -> None:
        super().__init__(server, request, client_address)
        self.taken = False

    def run(self) -> None:
        """Worker thread or child.  ``process_request_thread()``, or what stands for it."""
        move(self, RequestState.RUNNING)
        self.thread = threading.get_ident()
        try:
            self.server.run_request(self.request, self.client_address)
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


class ShutDown:
    """What ``_BaseServer__is_shut_down`` is: an event, without the lock that a signal handler could meet."""

    def __init__(self) -> None:
        self._latch = Latch()
        self.used = False  # whether a serve_forever() has been there, ours or a program's own

    def is_set(self) -> bool:
        return self._latch.opened

    def set(self) -> None:
        self.used = True
        self._latch.open()

    def clear(self) -> None:
        self.used = True
        self._latch.shut()

    def wait(self, timeout: float | None = None) -> bool:
        return self._latch.wait(timeout)


class BaseServer(NativeServer):
    """As ``socketserver.BaseServer``.  ``strategy`` is accepted too, as a keyword."""

    close_timeout = None
    __shut_down: Any = None

    def make_strategy(self) -> Strategy:
        """What no mix-in before this class has chosen: the order of bases decides, as it does there."""
        return Inline()

    def server_activate(self) -> None:
        """Let clients in.  Does nothing here."""

    # -- the private names that programs read and write

    @property
    def __is_shut_down(self) -> Any:
        if self.__shut_down is None:
            self.__shut_down = ShutDown()
        return self.__shut_down

    @__is_shut_down.setter
    def __is_shut_down(self, event: Any) -> None:
        self.__shut_down = event

    @property
    def __shutdown_request(self) -> bool:
        return self._shutdown_requested

    @__shutdown_request.setter
    def __shutdown_request(self, value: bool) -> None:
        self._shutdown_requested = bool(value)
        if value and self.in_reactor is not None:
            if self._private:
                self.in_reactor.stop()
            else:
                self.in_reactor.retire(self)
                self._shutdown_requested = False

    # -- serving

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Handle one request after another until shutdown.

        poll_interval  seconds between two calls of ``service_actions()`` at most; an idle server that does not define
                       it sleeps

        Raises ValueError for a server that was closed, what ``service_actions()`` or ``handle_error()`` raise, and what
        ends a program: SystemExit, KeyboardInterrupt.
        """
        self.__is_shut_down.clear()
        try:
            # A shutdown() that came before this thread did, and a server_close() after it, are no mistake.
            if self.at_endpoint is not None or not self._shutdown_requested:
                self._check_open()
                super().serve_forever(poll_interval)
        finally:
            self._shutdown_requested = False
            self.__is_shut_down.set()

    def _check_open(self) -> None:
        if self.at_endpoint is None and (fd := self.fileno()) < 0:
            raise ValueError(f"Invalid file descriptor: {fd}: {self!r} is closed")

    def shutdown(self) -> None:
        """Any thread, handler or signal handler.  Stop ``serve_forever()``, and wait until it has ended.

        Where waiting would be for oneself, on the thread that serves, it only stops.
        """
        self.__shutdown_request = True
        ended = self.__is_shut_down
        if getattr(ended, "used", True) and not (self.in_reactor is not None and self.in_reactor.runs_here()):
            ended.wait()

    def handle_request(self) -> None:
        """Wait for one request, at most ``timeout`` seconds, and process it; else call ``handle_timeout()``."""
        self._check_open()
        endpoint = self.attach()
        if endpoint.state is EndpointState.RESTING:
            super().handle_request()
            return
        # serve_forever() is on its way, on this thread or on another: wait beside it.
        before = getattr(self, "_timeout_before", None)
        patience = (before[1] if before else self.socket.gettimeout(), self.timeout)
        with _ServerSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            if selector.select(min((seconds for seconds in patience if seconds is not None), default=None)):
                self._handle_request_noblock()
            else:
                self.handle_timeout()

    def serves_by_request(self) -> bool:
        return False

    def take(self) -> OSError | None:
        self._error = None
        self._handle_request_noblock()
        return self._error

    def take_waiting(self, one_taker: threading.Lock, is_there: Callable[[float], bool]) -> bool:
        self.take()
        return True

    def begin_batches(self) -> bool:
        return self.may_batch() and super().begin_batches()

    def may_batch(self) -> bool:
        """Whether several requests may be taken in one turn.  ``service_actions()`` is called after each."""
        return not self.acts and not overrides(self, "_handle_request_noblock", BaseServer)

    def _handle_request_noblock(self) -> None:
        """Handle one request; the socket is readable."""
        try:
            request, client_address = self.get_request()
        except OSError as error:
            self._error = error
            return
        if not self.verify_request(request, client_address):
            self.shutdown_request(request)
            return
        try:
            self.process_request(request, client_address)
        except Exception:  # noqa: BLE001  # the door that the standard library has here
            self.handle_error(request, client_address)
            self.shutdown_request(request)
        except BaseException:
            self.shutdown_request(request)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Finish the request and shut it down: here, unless a strategy does it elsewhere."""
        handler = self.RequestHandlerClass
        while isinstance(handler, functools.partial):
            handler = handler.func
        if not getattr(handler, "constructor_runs", True):  # written for the native servers
            super().process_request(self.native_request(request), client_address)
        elif isinstance(self.strategy, Inline):
            self.finish_request(request, client_address)
            self.shutdown_request(request)
        else:
            job = ClassicJob(self, request, client_address)
            self.attach().admit(job)
            job.taken = True

    def native_request(self, request: Any) -> Any:
        """The request as a handler of the native servers expects it."""
        return request

    def run_request(self, request: Any, client_address: Any) -> None:
        """On a thread or in a child: finish the request, report what it raises, and shut it down."""
        try:
            self.finish_request(request, client_address)
        except Exception:  # noqa: BLE001  # the second door
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the traceback to standard error, and go on."""
        print("-" * 40, file=sys.stderr)
        print("Exception occurred during processing of request from", client_address, file=sys.stderr)
        traceback.print_exc()
        print("-" * 40, file=sys.stderr)


class TCPServer(BaseServer, NativeTCPServer):
    """As ``socketserver.TCPServer``."""

    def __init__(
        self,
        server_address: Any,
        RequestHandlerClass: Any,
        bind_and_activate: bool = True,
        *,
        strategy: Strategy | None = None,
    ) -> None:
        BaseServer.__init__(self, server_address, RequestHandlerClass)
        if strategy is not None:
            self.strategy = strategy
        self.socket = socket.socket(self.address_family, self.socket_type)
        if bind_and_activate:
            try:
                self.server_bind()
                self.server_activate()
            except BaseException:
                self.server_close()
                raise

    # Named again, so that they come before what a program defines in a subclass of BaseServer, or sets in BaseServer.
    fileno = NativeTCPServer.fileno
    get_request = NativeTCPServer.get_request
    server_activate = NativeTCPServer.server_activate
    server_close = NativeTCPServer.server_close
    shutdown_request = NativeTCPServer.shutdown_request
    close_request = NativeTCPServer.close_request

    def server_bind(self) -> None:
        """Bind the socket; raises the system's own OSError."""
        if self.allow_reuse_address and hasattr(socket, "SO_REUSEADDR"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The family is looked at since 3.12.9 and 3.13.2: Linux has refused the option to others since 6.12.9.
        if self.allow_reuse_port and self.address_family in (socket.AF_INET, socket.AF_INET6):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()


class UDPServer(TCPServer, NativeUDPServer):
    """As ``socketserver.UDPServer``."""

    server_activate = NativeUDPServer.server_activate
    shutdown_request = NativeUDPServer.shutdown_request
    close_request = NativeUDPServer.close_request

    def get_request(self) -> tuple[Any, Any]:
        """Receive a packet: ``((data, socket), client_address)``."""
        flags = (self._receive_flags,) if self._receive_flags else ()  # what a program made need not know any
        data, client_address = self.socket.recvfrom(self.max_packet_size, *flags)
        return (data, self.socket), client_address

    def native_request(self, request: Any) -> Datagram:
        data, receiver = request
        packet = Datagram(data)
        packet.socket = receiver
        return packet

    def begin_batches(self) -> bool:
        plain = type(self.socket) is socket.socket and not overrides(self, "get_request", UDPServer)
        if not plain or not self.may_batch():
            return False
        self._receive_flags = socket.MSG_DONTWAIT
        return True


class ThreadingMixIn(NativeThreadingMixIn):
    """As ``socketserver.ThreadingMixIn``: a thread of its own for each request.

    daemon_threads  whether the program may end while they run
    block_on_close  whether ``server_close()`` waits for those that are no daemons
    """

    block_on_close: bool = True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the request."""
        strategy = self._per_request()
        if strategy is not None:
            strategy.daemon = self.daemon_threads
        BaseServer.process_request(cast(BaseServer, self), request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """On the new thread: finish the request, report what it raises, and shut it down."""
        BaseServer.run_request(cast(BaseServer, self), request, client_address)

    def run_request(self, request: Any, client_address: Any) -> None:
        self.process_request_thread(request, client_address)

    def server_close(self) -> None:
        strategy = self._per_request()
        if strategy is not None:
            strategy.block_on_close = self.block_on_close
        super().server_close()  # type: ignore[misc]

    @property
    def _threads(self) -> list[threading.Thread]:
        strategy = self._per_request()
        return [] if strategy is None else list(strategy.threads)

    def _per_request(self) -> ThreadPerRequest | None:
        strategy: Strategy = self.strategy  # type: ignore[attr-defined]
        return strategy if isinstance(strategy, ThreadPerRequest) else None


class Unset(property):
    """A property whose class says None, like the plain attribute that it stands for."""

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        return None if owner is None else super().__get__(owner, kind)


class ForkingMixIn(NativeForkingMixIn):
    """As ``socketserver.ForkingMixIn``: a child process of its own for each request.

    timeout          seconds after which ``handle_request()`` looks after the children at the latest
    active_children  the pids of the live children; None before the first.  A program whose own ``process_request()``
                     forks keeps its set here, and ``collect_children()`` looks after that one too
    max_children     children at most
    block_on_close   whether ``server_close()`` waits for them
    """

    timeout: float | None = 300
    block_on_close: bool = True

    _own_children: set[int] | None = None

    def _active_children(self) -> set[int] | None:
        if self._own_children is not None:
            return self._own_children
        strategy = self._per_request()
        return None if strategy is None or not strategy.children.spawned else strategy.children.pids

    def _keep_own_children(self, pids: set[int] | None) -> None:
        self._own_children = pids

    active_children = Unset(_active_children, _keep_own_children)

    def collect_children(self, *, blocking: bool = False) -> None:
        """Look after children that have ended; with ``blocking``, wait for all of them."""
        strategy = self._per_request()
        if strategy is not None:
            strategy.children.collect(blocking=blocking)
        own = self._own_children
        for pid in tuple(own or ()):
            waits = blocking or len(own or ()) >= self.max_children
            try:
                found, _ = os.waitpid(pid, 0 if waits else os.WNOHANG)
            except ChildProcessError:  # somebody else has
                found = pid
            if found and own is not None:
                own.discard(pid)

    def handle_timeout(self) -> None:
        self.collect_children()

    def service_actions(self) -> None:
        """Look after children that have ended.  Ours are looked after by the loop, so it is called for others only."""
        self.collect_children()

    @property
    def acts(self) -> bool:
        return (
            overrides(self, "service_actions", BaseServer, ForkingMixIn)
            or overrides(self, "collect_children", ForkingMixIn)
            or overrides(self, "process_request", ForkingMixIn)  # which may fork by itself
        )

    def process_request(self, request: Any, client_address: Any) -> None:
        """Fork a child for the request."""
        strategy = self._per_request()
        if strategy is not None:
            strategy.max_children = self.max_children
        BaseServer.process_request(cast(BaseServer, self), request, client_address)

    def server_close(self) -> None:
        strategy = self._per_request()
        if strategy is not None:
            strategy.waits_on_close = self.block_on_close
        super().server_close()  # type: ignore[misc]
        if self._own_children is not None:
            self.collect_children(blocking=self.block_on_close)

    def _per_request(self) -> ForkPerRequest | None:
        strategy: Strategy = self.strategy  # type: ignore[attr-defined]
        return strategy if isinstance(strategy, ForkPerRequest) else None


class ForkingUDPServer(ForkingMixIn, UDPServer):
    """As ``socketserver.ForkingUDPServer``."""


class ForkingTCPServer(ForkingMixIn, TCPServer):
    """As ``socketserver.ForkingTCPServer``."""


class ThreadingUDPServer(ThreadingMixIn, UDPServer):
    """As ``socketserver.ThreadingUDPServer``."""


class ThreadingTCPServer(ThreadingMixIn, TCPServer):
    """As ``socketserver.ThreadingTCPServer``."""


class UnixStreamServer(TCPServer):
    """As ``socketserver.UnixStreamServer``: the path is the program's to remove."""

    address_family = socket.AF_UNIX


class UnixDatagramServer(UDPServer):
    """As ``socketserver.UnixDatagramServer``: the path is the program's to remove."""

    address_family = socket.AF_UNIX


class ThreadingUnixStreamServer(ThreadingMixIn, UnixStreamServer):
    """As ``socketserver.ThreadingUnixStreamServer``."""


class ThreadingUnixDatagramServer(ThreadingMixIn, UnixDatagramServer):
    """As ``socketserver.ThreadingUnixDatagramServer``."""


class ForkingUnixStreamServer(ForkingMixIn, UnixStreamServer):
    """As ``socketserver.ForkingUnixStreamServer``."""


class ForkingUnixDatagramServer(ForkingMixIn, UnixDatagramServer):
    """As ``socketserver.ForkingUnixDatagramServer``."""


class BaseRequestHandler(NativeHandler):
    """As ``socketserver.BaseRequestHandler``: the constructor does the work."""

    constructor_runs = True

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        super().__init__(request, client_address, server)
        self.setup()
        try:
            self.handle()
        finally:
            self.finish()


class StreamRequestHandler(BaseRequestHandler, NativeStreamHandler):
    """As ``socketserver.StreamRequestHandler``: ``rfile`` and ``wfile`` come from ``connection.makefile()``."""

    def setup(self) -> None:
        self.connection = self.request
        if self.timeout is not None:
            self.connection.settimeout(self.timeout)
        if self.disable_nagle_algorithm:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.rfile = cast(BinaryIO, self.connection.makefile("rb", self.rbufsize))
        if self.wbufsize == 0:
            self.wfile = cast(BinaryIO, SocketWriter(self.connection))
        else:
            self.wfile = cast(BinaryIO, self.connection.makefile("wb", self.wbufsize))

    def finish(self) -> None:
        if not self.wfile.closed:
            with contextlib.suppress(OSError):  # the client has gone, and there is nobody to tell
                self.wfile.flush()
        self.wfile.close()
        self.rfile.close()


class DatagramRequestHandler(BaseRequestHandler, NativeDatagramHandler):
    """As ``socketserver.DatagramRequestHandler``: the request is a pair of data and socket."""

    def setup(self) -> None:
        self.packet, self.socket = self.request
        self.rfile = io.BytesIO(self.packet)
        self.wfile = io.BytesIO()

    def finish(self) -> None:
        self.socket.sendto(self.wfile.getvalue(), self.client_address)


def install() -> None:
    """Put this module in the place of ``socketserver``, for what is imported from now on.

    Warns (RuntimeWarning) of modules that have the standard library's classes already: import them after this call.
    """
    here = sys.modules[__name__]
    original = sys.modules.get("socketserver")
    if original is here:
        return
    sys.modules["socketserver"] = here
    for name in __all__:  # that is where a pickle, a repr or a documentation tool finds them now
        getattr(here, name).__module__ = "socketserver"
    early = [] if original is None else dependents(original)
    if early:
        warnings.warn(
            f"imported before install(), and still on the standard library's classes: {', '.join(early)}",
            RuntimeWarning,
            stacklevel=2,
        )


def dependents(original: ModuleType) -> list[str]:
    """The names of the modules that hold ``original``, one of its classes or a subclass of one."""
    classes = (value for value in vars(original).values() if isinstance(value, type))
    theirs = {cls for cls in classes if cls.__module__ == "socketserver"}

    def held(value: Any) -> bool:
        if isinstance(value, type):
            return not theirs.isdisjoint(value.__mro__)
        return value is original

    return sorted(
        name
        for name, module in tuple(sys.modules.items())
        if module is not original and any(map(held, tuple(getattr(module, "__dict__", {}).values())))
    )
