"""Reactor: any number of servers in one loop."""

from __future__ import annotations

import signal
from _thread import get_ident
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from reactor.closing import Closing
from reactor.drain import GRACE, DrainReport
from reactor.endpoint import Endpoint
from reactor.errands import Errands
from reactor.errors import UsageError
from reactor.host import LoopHost
from reactor.lifecycle import EndpointState
from reactor.loop import Loop
from reactor.rehearsal import rehearse
from reactor.run import Run
from reactor.signals import on_signals
from strategies.contract import Strategy
from strategies.log import Log

log = Log("reactor")

S = TypeVar("S", bound=Any)


class Reactor:
    """One loop round the sockets of any number of servers, of any kind, each with a strategy of its own.

    ``add()`` servers, then ``run()``.  ``stop()``, ``drain()`` and ``post()`` may be called by any thread, handler or
    signal handler; the rest is for the thread that runs the reactor, and for any thread while nobody does.  As a
    context manager it closes itself and its servers at the end.
    """

    def __init__(self) -> None:
        self._loop = Loop()
        self._endpoints: list[Endpoint] = []
        watched: set[int] = set()  # by the program itself
        self._run = Run(self._loop, self._endpoints, watched)
        self._host = LoopHost(self._loop, self._endpoints, watched, self._run.lending)
        self._errands = Errands(self._loop, self._run.is_mine)
        self._closing = Closing(self._loop, self._errands, self._run.is_mine)

    def __enter__(self) -> Reactor:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def servers(self) -> tuple[Any, ...]:
        """The servers that were added and are not closed."""
        return tuple(endpoint.server for endpoint in self._endpoints)

    @property
    def running(self) -> bool:
        """Any thread.  Whether ``run()`` is on its way."""
        return self._loop.running

    # -- what to serve and watch

    def add(self, server: S) -> S:
        """Serve this one too; returns the server.  While the reactor runs, only from its own thread.

        Raises UsageError for a server that is in a reactor already, and on another thread while the reactor runs; where
        a strategy cannot be opened, what that raises, and the server is in no reactor then.
        """
        if not hasattr(server, "taken_by"):
            raise UsageError(f"add() takes one of our servers, and not {server!r}")
        if server.at_endpoint is not None:
            raise UsageError(f"{server!r} is in a reactor already; a server belongs to one")
        if self._loop.closed:
            raise UsageError("this reactor is closed; make a new one")
        running = self._loop.running
        if running and not self._loop.leads():
            raise UsageError(f"this reactor is running, on another thread: reactor.post(reactor.add, {server!r})")
        endpoint = Endpoint(server, self._loop, self._host, self._run.one_left, self._forget, self._serve_alone)
        server.in_reactor = self
        self._endpoints.append(endpoint)
        server.at_endpoint = endpoint  # last: whoever sees it sees the rest
        if running:
            try:
                self._run.open(self._host, [endpoint])
            except BaseException:
                endpoint.rest()
                self._forget(endpoint)
                server.at_endpoint = server.in_reactor = None
                raise
        return server

    def _forget(self, endpoint: Endpoint) -> None:
        if endpoint in self._endpoints:
            self._endpoints.remove(endpoint)
        self._run.forget(endpoint)

    def watch(self, fileobj: Any, callback: Callable[[], object]) -> Callable[[], None]:
        """Call ``callback()`` in each turn in which ``fileobj`` (a number, or anything with ``fileno()``) is readable.

        Returns the undo.  A callback that raises is logged, and watched no more: it would raise for ever.  Raises
        UsageError for a descriptor that is watched already, a server's listening socket among them, and for a file on
        disk; OSError or ValueError for what is not open or cannot be polled.
        """
        _check_callable(callback)
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()

        def guarded() -> None:
            try:
                callback()
            except Exception:
                log.exception("the callback of watched descriptor %d raised; it is watched no more", fd)
                undo()

        try:
            undo = self._host.watch_for_user(fd, guarded)
        except PermissionError:
            raise UsageError(f"{fileobj!r} is a file on disk, or the like: it is always ready") from None
        except FileExistsError:
            raise UsageError(f"descriptor {fd} is watched already: undo that, or let one callback do both") from None
        return undo

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Callable[[], None]:
        """Call ``callback(*args)`` after ``delay`` seconds; returns the undo.  What it raises is logged.

        Raises UsageError for a ``delay`` that is no number of seconds, and a ``callback`` that cannot be called.
        """
        if not isinstance(delay, int | float) or delay != delay:
            raise UsageError(f"delay={delay!r}: pass the seconds to wait")
        _check_callable(callback)
        return self._loop.call_at(self._loop.clock() + delay, self._call, callback, args)

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Any thread, handler or signal handler.  Call it soon on the loop's thread.  What it raises is logged.

        Raises UsageError for what cannot be called.
        """
        _check_callable(callback)
        self._loop.post(self._call, callback, args)

    def _call(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """A callback of the program's own: on the thread that called ``run()``, whoever leads now."""
        if self._run.lending.keep(self._call, (callback, args)):
            return
        try:
            callback(*args)
        except Exception:
            log.exception("%r raised", callback)

    # -- running

    def run(self, poll_interval: float | None = 0.5) -> DrainReport | None:
        """Serve until ``stop()`` or ``drain()``, or until the last of its servers is shut down or closed.

        poll_interval  seconds between two calls of ``service_actions()`` at most, for servers that define it; for all
                       others an idle reactor sleeps

        Returns the report of the drain that ended it, if one did.  SystemExit and KeyboardInterrupt from an inline
        handler, and what a server's ``handle_error()`` or ``service_actions()`` raise, end it and are raised here.
        Raises UsageError when it is running already, or closed, and for a ``poll_interval`` that is no time.
        """
        if not (poll_interval is None or poll_interval >= 0):
            raise UsageError(f"poll_interval={poll_interval!r}: the seconds between two calls are 0 or more")
        for endpoint in self._endpoints:
            if endpoint.strategy.forks:
                rehearse(endpoint.server)
        try:
            self._run.run(self._host, poll_interval)
        finally:
            if not self._loop.running:  # else it is another's, on another thread
                self._errands.end()
        return self._run.report

    # -- stopping

    def stop(self) -> None:
        """Any thread, handler or signal handler.  End ``run()`` after what it is at; returns at once.

        Before ``run()``, it makes the next one return at once.
        """
        self._run.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Any thread.  Wait at most ``timeout`` seconds until ``run()`` has ended; return whether it has.

        Does not wait where that would be for itself: on the thread that runs it.
        """
        return self._loop.closed or self.runs_here() or self._run.ended.wait(timeout)

    def runs_here(self) -> bool:
        """Any thread.  Whether ``run()`` is on its way on the calling thread."""
        return self._run.runs_here()

    def drain(self, timeout: float = 30.0) -> DrainReport | None:
        """Any thread, handler or signal handler.  Take no more requests, let those in flight finish, end ``run()``.

        timeout  seconds after which what still runs is cut: its socket is shut, its child is ended

        While one is on its way, another brings the deadline forward: ``drain(0)`` cuts what is left now.

        Waits for the end, and returns the report.  On the loop's own thread, and in a handler, which would wait for
        itself, it returns None at once; ``run()`` returns the report there.
        """
        if not isinstance(timeout, int | float) or not timeout >= 0:
            raise UsageError(f"timeout={timeout!r}: the seconds to finish are 0 or more")
        if not self._loop.running:
            self.stop()
            return DrainReport(0)
        self._loop.post(self._run.drain, timeout)
        me = get_ident()
        if self._run.is_mine() or any(endpoint.requests.runs_on(me) for endpoint in tuple(self._endpoints)):
            return None
        self._run.ended.wait(timeout + 2 * GRACE)
        return self._run.report

    def retire(self, server: Any) -> None:
        """Any thread or handler.  Take no more requests for this server; the others go on."""

        def rest() -> None:
            if server.at_endpoint is not None and server.at_endpoint.state is EndpointState.SERVING:
                server.at_endpoint.rest()
                server.at_endpoint.strategy.retire(server.at_endpoint, lambda: None)
                self._run.one_left()

        self._errands.do(rest)

    # -- closing

    def close(self) -> None:
        """Close the servers, in the order they were added, then the loop.  Does nothing the second time.

        Where a server's closing raises, the others and the loop are closed all the same, and then it is raised.
        """
        first: BaseException | None = None
        for endpoint in tuple(self._endpoints):
            try:
                endpoint.server.server_close()
            except BaseException as error:  # it is raised below
                if first is not None:
                    log.error("closing %r: %r", endpoint.server, error, exc_info=error)
                first = first or error
        if not self._loop.turning:
            self._loop.close()
        if first is not None:
            raise first

    def close_endpoint(self, endpoint: Endpoint, timeout: float | None) -> bool:
        """Any thread or handler.  Close one server's side of the loop; return whether all of it has ended.

        See ``Closing.close()``.
        """
        if self._loop.closed:  # a forked child has left its parent's loop behind
            return True
        return self._closing.close(endpoint, timeout)

    # -- in a forked child

    def _serve_alone(
        self, endpoints: Sequence[Endpoint], inner: Strategy, lifeline: int, timeout: float
    ) -> None:
        """Forked worker.  Leave the parent's loop behind, and serve in one of its own, until told to stop."""
        servers = [endpoint.server for endpoint in endpoints]
        self._host.abandon(*(server.socket for server in servers))
        with Reactor() as reactor:
            for server in servers:
                server.at_endpoint = server.in_reactor = None
                server.run_by = inner
                reactor.add(server).at_endpoint.serve_alone()

            def drain() -> None:
                undo()
                reactor.drain(timeout)

            undo = reactor._loop.watch(lifeline, drain)  # its own class; no watch of the program's
            with on_signals(lambda: reactor.drain(timeout), signal.SIGTERM):
                report = reactor.run()
            for server in servers:  # drained, it has cut what was left: what runs on does not hold up the worker's end
                server.close_timeout = timeout if report is None else 0


def _check_callable(callback: Any) -> None:
    if not callable(callback):
        raise UsageError(f"callback={callback!r}: pass a function, or something else to call")
