"""Prefork: N processes made beforehand, each with a loop of its own round the same listening sockets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from strategies.arguments import count, seconds
from strategies.contract import Endpoint, Host, Job, Strategy
from strategies.inline import Inline
from strategies.supervisor import Supervisor

MARGIN = 4.0  # seconds that a worker has beyond its own deadline, to cut what is left, before it is killed

MOST = 1 << 22  # processes that Linux can tell apart


class Prefork(Strategy):
    """``workers`` processes, each of which accepts for itself and runs its jobs by the ``inner`` strategy.

    workers       how many processes
    inner         Inline() or a ThreadPool: how a worker runs what it accepted
    stop_timeout  seconds a worker has to finish what it is at when told to stop; ``math.inf``: it is never killed

    The parent accepts nothing: it replaces workers that died, and stops them.  A worker whose parent was killed
    finishes what it is at and ends, ``stop_timeout`` seconds later at the latest (see ``strategies.supervisor``).

    A handler has its worker's copy of the server: ``shutdown()`` and ``server_close()`` end that worker, once it has
    answered, and the parent makes another.  To end the service, a handler signals the parent (``os.getppid()``).

    Driven by ``handle_request()`` from somebody else's loop, where no process is made beforehand, a Prefork server is
    served by ``inner``, in this process.
    Raises ValueError for no workers, or more than a system can have, TypeError for an ``inner`` that makes processes
    itself, and for what is no number.
    """

    forks = True

    def __init__(self, workers: int, inner: Strategy | None = None, stop_timeout: float = 10.0) -> None:
        if inner is None:
            inner = Inline()
        if not isinstance(inner, Strategy) or inner.forks:
            raise TypeError(f"inner={inner!r}: a worker runs its jobs by Inline() or a ThreadPool")
        self.workers = count("workers", workers, 1, f"choose from 1 to {MOST}, which are all made at once", MOST)
        self.inner = inner
        self.stop_timeout = seconds("stop_timeout", stop_timeout, "the seconds to finish are 0 or more", zero=True)
        self._supervisor: Supervisor | None = None
        self._stopping: set[Supervisor] = set()
        self._on_stopped: list[Callable[[], object]] = []

    @property
    def pids(self) -> frozenset[int]:
        """The live workers."""
        return frozenset(self._supervisor.children.pids if self._supervisor else ())

    def open(self, host: Host, endpoints: Sequence[Endpoint]) -> None:
        self.join_host(host, endpoints)
        self._change_workers(host)

    def _change_workers(self, host: Host) -> None:
        """Workers for the endpoints as they are now; after that those from before are stopped, so there is no gap."""
        before, self._supervisor = self._supervisor, None
        if before is not None:
            self._stopping.add(before)  # already: the new workers are to let go of its lifelines
        try:
            if self.endpoints:
                self._supervisor = Supervisor(host, self.workers, self._work, self.stop_timeout + MARGIN)
                self._supervisor.start()
        finally:
            if before is not None:
                self._stop(before)

    def _work(self, lifeline: int) -> None:
        """Forked child."""
        first, *beside = self.endpoints
        first.accept_alone(self.inner, beside, lifeline, self.stop_timeout)

    def submit(self, job: Job) -> Job | None:
        raise RuntimeError(f"{self!r} takes no jobs in the parent: its workers accept for themselves")

    def here(self) -> Strategy:
        return self.inner

    def halt(self, done: Callable[[], object]) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            self._stop(supervisor)
        self._when_stopped(done)

    def _stop(self, supervisor: Supervisor) -> None:
        self._stopping.add(supervisor)
        supervisor.stop(functools.partial(self._stopped, supervisor))

    def _stopped(self, supervisor: Supervisor) -> None:
        self._stopping.discard(supervisor)
        if not self._stopping:
            waiting, self._on_stopped = self._on_stopped, []
            for done in waiting:
                done()

    def _when_stopped(self, done: Callable[[], object]) -> None:
        if self._stopping:
            self._on_stopped.append(done)
        else:
            done()

    def retire(self, endpoint: Endpoint, done: Callable[[], object]) -> None:
        self.endpoints = tuple(e for e in self.endpoints if e is not endpoint)
        if self._supervisor is not None and self.host is not None:
            self._change_workers(self.host)
        self._when_stopped(done)

    def close(self, endpoint: Endpoint, done: Callable[[], object]) -> None:
        if self._supervisor is not None and endpoint in self.endpoints and len(self.endpoints) > 1:
            self.retire(endpoint, done)  # workers have a copy of its socket
        else:
            super().close(endpoint, done)

    def cut(self) -> Sequence[Job]:
        for supervisor in self._stopping:
            supervisor.cut()
        return self.inner.cut()

    def abandon(self) -> None:
        super().abandon()
        for supervisor in (self._supervisor, *self._stopping):
            if supervisor is not None:
                supervisor.abandon()
        self._supervisor = None
        self._stopping = set()
        self._on_stopped = []

    def end(self, done: Callable[[], object]) -> None:
        self.halt(done)

    def __repr__(self) -> str:
        return f"Prefork({self.workers}, {self.inner!r})"
