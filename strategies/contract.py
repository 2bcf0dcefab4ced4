"""What a strategy is, and what it may ask of the two sides it stands between.

A strategy decides who accepts (``open``), who runs a job (``submit``) and how it all ends (``halt``, ``close``,
``cut``).  It sees a Host (the loop), Endpoints (servers) and Jobs (admitted requests): no socket, no selector.

Rules that every strategy keeps, and that ``tests/contract`` holds each of ours to:

* ``submit()`` never settles the job before it returns.  A job that the caller should run itself is given back.
* A full strategy says so, by ``has_room()`` or by raising Saturated; having said so, it calls ``room()`` on each of its
  endpoints once that has changed.  It never blocks, sleeps or queues without a bound.
* Endings arrive by callback, on the loop's thread, once for each that was asked for: nothing here waits for them.
* What a strategy holds open it gives back in a child that forks beside it (``abandon()``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

Undo = Callable[[], None]


class Saturated(Exception):
    """``submit()`` was called on a strategy without room.  The job was not taken."""


class Job(Protocol):
    """One admitted request on its way through a strategy."""

    def run(self) -> None:
        """One turn, on the calling thread.  Raises only what must end that thread: BaseExceptions, our own bugs."""

    def run_out(self, lifeline: int | None = None) -> None:
        """All turns to the end, where there is no loop to wait in: in a forked child.

        When the descriptor ``lifeline`` becomes readable, a job that waits for its client ends; one at work goes on.
        """

    def close(self) -> None:
        """Close the request of a job that never ran."""

    def leave(self) -> None:
        """After a fork, in the parent: drop this process's copy; the child owns the request now."""

    @property
    def settle(self) -> Callable[[Any], object]:
        """A slot that the server fills.  Whoever took a job over with ``leave()`` calls it when the job is done."""

    def holds(self) -> Sequence[Any]:
        """The file objects that the job needs: what ``Host.abandon()`` in a child has to keep."""


class Loan(Protocol):
    """The lead of the loop, lent to a thread of the strategy's.  That thread calls, and keeps this order:

    ``begin()``; then ``turn()``, and after it, for each job that came of it, ``lay_down()``, the job, ``take_up()``.
    Where ``begin()`` says False, or ``take_up()`` None, the lead is somebody else's, and the loan is over; so it is
    when ``turn()`` says False: then, and when it has had enough, it calls ``give_back()``.
    """

    def begin(self) -> bool:
        """Take the lead, if it is still there."""

    @property
    def lay_down(self) -> Callable[[object], object]:
        """Before a job, with a new object: while it runs, the lead is for whoever needs it."""

    @property
    def take_up(self) -> Callable[[], object | None]:
        """After a job.  None: the lead is somebody else's."""

    def turn(self, timeout: float | None) -> bool:
        """Turn the loop once, waiting at most ``timeout`` seconds; False when the lead is wanted back."""

    def give_back(self, error: BaseException | None = None) -> None:
        """It is over; ``error`` is what ``turn()`` raised."""


class Host(Protocol):
    """What a strategy may ask of the loop.  Loop thread, unless said otherwise."""

    def watch(self, fd: int, callback: Callable[[], object]) -> Undo:
        """Call ``callback`` in each turn in which the descriptor is readable; returns the undo."""

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Any thread, any signal handler.  Call it on the loop's thread, soon."""

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> Undo:
        """Call it once ``time.monotonic()`` has reached ``when`` (seconds); returns the undo."""

    def lend(self, strategy: Strategy) -> bool:
        """Let a thread of the strategy's turn the loop, from the end of this turn on; False where that may not be.

        ``strategy.lead(loan)`` is called then, and ``strategy.lead_is_back()`` when the loan is over, or came to
        nothing.  It may not be where others would notice: other strategies, hooks or watches of the program's own.
        """

    def abandon(self, *keep: Any) -> None:
        """Forked child.  Close its copies of all that the loop watches and its servers hold, but not ``keep``."""


class Endpoint(Protocol):
    """A server, as a strategy sees it.  Loop thread."""

    def accept_here(self) -> None:
        """Take requests in this process's loop, and submit them to the strategy."""

    def accept_alone(self, inner: Strategy, beside: Sequence[Any], lifeline: int, timeout: float) -> None:
        """Forked child.  Serve this endpoint and those ``beside`` it in a loop of this process's own, with ``inner``.

        Returns when the process is told to stop, by SIGTERM or because the descriptor ``lifeline`` became readable,
        and has drained, which takes at most ``timeout`` seconds and a little.
        """

    def room(self) -> None:
        """The strategy has room again."""


class Strategy:
    """Base of all strategies.  One object may be shared by several servers of one reactor.

    A strategy of your own defines ``submit()``, and ``has_room()`` where it can be full.  All methods are called on
    the loop's thread: whichever thread turns it, one at a time.  ``has_room()`` is also asked by each thread that
    calls ``handle_request()``.
    """

    #: Whether it makes processes.  Such strategies are opened first, before any of the others can start a thread.
    forks: ClassVar[bool] = False

    #: Whether closing a server waits until the strategy has ended.
    waits_on_close: bool = True

    host: Host | None = None
    endpoints: tuple[Endpoint, ...] = ()
    _dones: tuple[Callable[[], object], ...] = ()  # who waits for the end that is under way

    def open(self, host: Host, endpoints: Sequence[Endpoint]) -> None:
        """Begin to serve these endpoints; says who accepts for them.  May be called again, with others."""
        self.join_host(host, endpoints)
        for endpoint in endpoints:
            endpoint.accept_here()

    def join_host(self, host: Host, endpoints: Sequence[Endpoint]) -> None:
        """Remember whom to serve.  Raises RuntimeError when the strategy serves another reactor already."""
        if self.host is not None and self.host is not host:
            raise RuntimeError(
                f"{self!r} already serves another reactor; give each reactor, and each server that runs its own "
                "serve_forever(), a strategy object of its own"
            )
        self.host = host
        self.endpoints += tuple(endpoint for endpoint in endpoints if endpoint not in self.endpoints)

    def has_room(self) -> bool:
        """Whether ``submit()`` would take a job now.  False promises a later ``room()`` to every endpoint."""
        return True

    def submit(self, job: Job) -> Job | None:
        """Take the job (None), or give it back for the caller to ``run()`` at once on its own thread.

        Raises Saturated when there is no room, which promises a later ``room()`` too.
        """
        raise NotImplementedError(f"{type(self).__name__} has to define submit(job)")

    def here(self) -> Strategy:
        """Who runs a job in this process when somebody else's loop calls ``handle_request()``: usually itself."""
        return self

    def halt(self, done: Callable[[], object]) -> None:
        """The loop is about to rest: stop accepting on your own, then call ``done``.  Jobs may go on."""
        done()

    def retire(self, endpoint: Endpoint, done: Callable[[], object]) -> None:
        """The loop takes no more requests for this endpoint: nor may you, on your own.  Then call ``done``.

        The endpoint stays, and may be opened again.  Others that share the strategy go on.
        """
        done()

    def cut(self) -> Sequence[Job]:
        """A deadline has passed: hurry what runs, and return the jobs that had not begun."""
        return ()

    def close(self, endpoint: Endpoint, done: Callable[[], object]) -> None:
        """This endpoint leaves.  After the last one, end all that the strategy owns.  Calls ``done`` when ended."""
        self.endpoints = tuple(e for e in self.endpoints if e is not endpoint)
        if self.endpoints:
            done()
            return
        ending = bool(self._dones)
        self._dones += (done,)
        if not ending:
            self.end(self._ended)

    def _ended(self) -> None:
        dones, self._dones = self._dones, ()
        if not self.endpoints:
            self.host = None
        for done in dones:
            done()

    def lead(self, loan: Loan) -> None:
        """You asked for the lead: have a thread of yours come and take it up."""

    def lead_is_back(self) -> None:
        """The loan is over.  What came of the borrower's turns and was not begun is yours to have run by others."""

    def abandon(self) -> None:
        """Forked child.  Forget the parent's host, endpoints, threads and children, and close your descriptors.

        May be called twice.  The strategy can be opened anew after it: a worker's inner one is.
        """
        self.host = None
        self.endpoints = ()
        self._dones = ()

    def end(self, done: Callable[[], object]) -> None:
        """No endpoint is left: end threads and children, then call ``done`` on the loop's thread."""
        done()

    def tell_room(self) -> None:
        """Any thread.  Tell every endpoint that there is room again."""
        host = self.host
        if host is not None:
            host.post(self._room)

    def _room(self) -> None:
        for endpoint in self.endpoints:
            endpoint.room()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
