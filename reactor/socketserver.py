"""The standard library's ``socketserver`` of today, on this reactor: the same names, the same behaviour.

Move a program over by changing one import, ``from reactor import socketserver``; or call ``install()`` first, and
``http.server``, ``wsgiref``, ``xmlrpc.server`` and all other packages imported after it run on this module.

The classes are the native ones plus the differences of the standard library, and nothing else stands here: handlers
work in their constructor; ``finish()`` is called after a ``handle()`` that raised; a datagram request is a pair of data
and socket; errors go to standard error; ``_handle_request_noblock()``, ``process_request_thread()`` and the private
names that programs lean on exist, and setting ``_BaseServer__shutdown_request`` ends the loop at once.
"""

from __future__ import annotations

import functools
import os
import selectors
import socket
import sys
import threading
import traceback
import warnings
from typing import Any, ClassVar, cast

from reactor.classic import ClassicDatagramTaker, ClassicJob, ClassicStreamTaker, ClassicTaker, native_request
from reactor.classichandlers import BaseRequestHandler, ClassicWriter, DatagramRequestHandler, StreamRequestHandler
from reactor.dependents import dependents
from reactor.errors import UsageError
from reactor.latch import Latch
from reactor.lifecycle import EndpointState
from reactor.server import BaseServer as NativeServer
from reactor.server import PrivateReactor, attach
from reactor.server import TCPServer as NativeTCPServer
from reactor.server import UDPServer as NativeUDPServer
from reactor.taking import Taker, ours
from strategies.contract import Strategy
from strategies.forking import ForkPerRequest
from strategies.forkingmixin import ForkingMixIn as NativeForkingMixIn
from strategies.inline import Inline
from strategies.perrequest import ThreadPerRequest
from strategies.threadingmixin import ThreadingMixIn as NativeThreadingMixIn

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
_SocketWriter = ClassicWriter


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


def finish_and_shut_down(server: Any, request: Any, client_address: Any) -> None:
    """On a thread or in a child: finish the request, report what it raises, and shut it down."""
    try:
        server.finish_request(request, client_address)
    except Exception:  # noqa: BLE001  # the second door
        server.handle_error(request, client_address)
    finally:
        server.shutdown_request(request)


class BaseServer(NativeServer):
    """As ``socketserver.BaseServer``.  ``strategy`` is accepted too, as a keyword."""

    close_timeout = None
    taken_by: ClassVar[type[Taker]] = ClassicTaker
    __shut_down: Any = None
    __own_strategy: Any = None

    @property
    def strategy(self) -> Any:
        """Who runs the requests; or what the program has put here, if that is no strategy of ours."""
        return self.run_by if self.__own_strategy is None else self.__own_strategy

    @strategy.setter
    def strategy(self, strategy: Any) -> None:
        if isinstance(strategy, Strategy):
            self.run_by = strategy
        else:
            self.__own_strategy = strategy

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
        return self._asked_to_stop

    @__shutdown_request.setter
    def __shutdown_request(self, value: bool) -> None:
        self._asked_to_stop = bool(value)
        if value and self.in_reactor is not None:
            if isinstance(self.in_reactor, PrivateReactor):
                self.in_reactor.stop()
            else:
                self.in_reactor.retire(self)
                self._asked_to_stop = False

    # -- serving

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Handle one request after another until shutdown.

        poll_interval  seconds between two calls of ``service_actions()`` at most; an idle server that does not define
                       it sleeps

        Raises ValueError for a server that is closed, or served already; what ``service_actions()`` or
        ``handle_error()`` raise; and what ends a program: SystemExit, KeyboardInterrupt.
        """
        if self.in_reactor is not None and self.in_reactor.running:
            raise UsageError(f"{self!r} is being served already")
        self.__is_shut_down.clear()
        try:
            # A shutdown() that came before this thread did, and a server_close() after it, are no mistake.
            if self.at_endpoint is not None or not self._asked_to_stop:
                self._check_open()
                super().serve_forever(poll_interval)
        finally:
            self._asked_to_stop = False
            self.__is_shut_down.set()

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
        endpoint = attach(self)
        if endpoint.state is EndpointState.RESTING:
            super().handle_request()
            return
        # serve_forever() is on its way, on this thread or on another: wait beside it.
        before = getattr(endpoint.taker, "timeout_before", None)
        patience = (before[1] if before else self.socket.gettimeout(), self.timeout)
        with _ServerSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            if selector.select(min((seconds for seconds in patience if seconds is not None), default=None)):
                self._handle_request_noblock()
            else:
                self.handle_timeout()

    @ours
    def _handle_request_noblock(self) -> None:
        """Handle one request; the socket is readable."""
        try:
            request, client_address = self.get_request()
        except OSError as error:
            if self.at_endpoint is not None:
                self.at_endpoint.taker.error = error
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

    @ours
    def process_request(self, request: Any, client_address: Any) -> None:
        """Finish the request and shut it down: here, unless a strategy does it elsewhere."""
        handler = self.RequestHandlerClass
        while isinstance(handler, functools.partial):
            handler = handler.func
        if not getattr(handler, "constructor_runs", True):  # written for the native servers
            super().process_request(native_request(attach(self).taker, request), client_address)
        elif isinstance(self.run_by, Inline):
            self.finish_request(request, client_address)
            self.shutdown_request(request)
        else:
            # What the program has defined, where it is a ThreadingMixIn's.
            work = getattr(self, "process_request_thread", functools.partial(finish_and_shut_down, self))
            job = ClassicJob(self, request, client_address, work)
            attach(self).requests.admit(job)
            job.taken = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the traceback to standard error, and go on."""
        print("-" * 40, file=sys.stderr)
        print("Exception occurred during processing of request from", client_address, file=sys.stderr)
        traceback.print_exc()
        print("-" * 40, file=sys.stderr)


class TCPServer(BaseServer, NativeTCPServer):
    """As ``socketserver.TCPServer``."""

    taken_by: ClassVar[type[Taker]] = ClassicStreamTaker

    def __init__(
        self,
        server_address: Any,
        RequestHandlerClass: Any,
        bind_and_activate: bool = True,
        *,
        strategy: Strategy | None = None,
    ) -> None:
        if isinstance(bind_and_activate, Strategy):
            raise UsageError(f"bind_and_activate={bind_and_activate!r}: pass a strategy by its name, strategy=...")
        BaseServer.__init__(self, server_address, RequestHandlerClass)
        if strategy is not None:
            self.run_by = strategy
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

    taken_by = ClassicDatagramTaker
    server_activate = NativeUDPServer.server_activate
    shutdown_request = NativeUDPServer.shutdown_request
    close_request = NativeUDPServer.close_request

    @ours
    def get_request(self) -> tuple[Any, Any]:
        """Receive a packet: ``((data, socket), client_address)``."""
        flags = (self.receive_flags,) if self.receive_flags else ()  # what a program made need not know any
        data, client_address = self.socket.recvfrom(self.max_packet_size, *flags)
        return (data, self.socket), client_address


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
        finish_and_shut_down(self, request, client_address)

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
        strategy: Strategy = self.run_by  # type: ignore[attr-defined]
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

    @ours
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

    @ours
    def service_actions(self) -> None:
        """Look after children that have ended.  Ours are looked after by the loop, so it is called for others only."""
        self.collect_children()

    @ours
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
        strategy: Strategy = self.run_by  # type: ignore[attr-defined]
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
