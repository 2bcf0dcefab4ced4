"""Prefork: N processes made beforehand, each with a loop of its own round the same listening sockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from strategies.contract import Endpoint, Host, Job, Strategy
from strategies.inline import Inline
from strategies.supervisor import Supervisor

MARGIN = 2.0  # seconds that a worker has beyond its own deadline, to cut what is left, before it is killed


class Prefork(Strategy):
    """``workers`` processes, each of which accepts for itself and runs its jobs by the ``inner`` strategy.

    workers       how many processes
    inner         Inline() or a ThreadPool: how a worker runs what it accepted
    stop_timeout  seconds a worker has to finish what it is at when told to stop; then it is killed

    The parent accepts nothing: it replaces workers that died, and stops them.  Driven by ``handle_request()`` from
    somebody else's loop, where no process is made beforehand, a Prefork server is served by ``inner``, in this process.
    Raises ValueError for no workers, TypeError for an ``inner`` that makes processes itself.
    """

    forks = True

    def __init__(self, workers: int, inner: Strategy | None = None, stop_timeout: float = 10.0) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers!r}: at least 1 worker is needed")
        if not stop_timeout >= 0:
            raise ValueError(f"stop_timeout={stop_timeout!r}: the seconds to finish are 0 or more")
        if inner is None:
            inner = Inline()
        if not isinstance(inner, Strategy) or inner.forks:
            raise TypeError(f"inner={inner!r}: a worker runs its jobs by Inline() or a ThreadPool")
        self.workers = workers
        self.inner = inner
        self.stop_timeout = stop_timeout
        self._supervisor: Supervisor | None = None
        self._stopping: Supervisor | None = None

    @property
    def pids(self) -> frozenset[int]:
        """The live workers."""
        return frozenset(self._supervisor.children.pids if self._supervisor else ())

    def open(self, host: Host, endpoints: Sequence[Endpoint]) -> None:
        if self._supervisor is not None:
            raise RuntimeError(f"the workers of {self!r} are running already; add its servers before the loop runs")
        self.join_host(host, endpoints)
        self._supervisor = Supervisor(host, self.workers, self._work, self.stop_timeout + MARGIN)
        self._supervisor.start()

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
        if supervisor is None:
            done()
        else:
            self._stopping = supervisor
            supervisor.stop(done)

    def cut(self) -> Sequence[Job]:
        if self._stopping is not None:
            self._stopping.cut()
        return ()

    def end(self, done: Callable[[], object]) -> None:
        self.halt(done)

    def __repr__(self) -> str:
        return f"Prefork({self.workers}, {self.inner!r})"
