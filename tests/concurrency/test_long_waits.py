"""Times that are longer than anybody waits: they work, and end by something else."""

from __future__ import annotations

import math
import threading

import pytest

from reactor import TCPServer
from strategies import Prefork, ThreadPool
from tests.answers import Whereabouts
from tests.clients import ask
from tests.contract.fakes import FakeEndpoint, FakeHost, FakeJob
from tests.serving import Serving

pytestmark = [
    pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning"),  # Serving's thread is beside the main one
]

MONTH = 30 * 24 * 3600.0
LONG = [MONTH, 1e10, 1e300, math.inf]  # a lock's longest timeout is between the first two


@pytest.mark.parametrize("idle_timeout", LONG)
def test_an_idle_thread_stays(idle_timeout: float):
    with FakeHost() as host:
        pool, endpoint = ThreadPool(2, idle_timeout=idle_timeout), FakeEndpoint(host)
        pool.open(host, [endpoint])
        names: list[str] = []
        for _ in range(3):
            job = FakeJob(host, lambda: names.append(threading.current_thread().name))
            pool.submit(job)
            host.until(lambda: (job.settled and pool._idle == 1) or host.post(lambda: None))  # noqa: B023
        assert len(set(names)) == 1
        told: list[None] = []
        pool.close(endpoint, lambda: told.append(None))
        host.until(lambda: told, "the end")


@pytest.mark.parametrize("stop_timeout", LONG)
def test_workers_that_may_take_their_time_end_at_once(stop_timeout: float):
    strategy = Prefork(2, ThreadPool(2, idle_timeout=stop_timeout), stop_timeout=stop_timeout)
    with TCPServer(("127.0.0.1", 0), Whereabouts, strategy=strategy) as server, Serving(server):
        assert int(ask(server, b"").split()[0]) in strategy.pids
    assert not strategy.pids
