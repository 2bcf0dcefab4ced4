"""The system has no thread or process to give: it is told once, and asked again by and by, not ever more often."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from strategies import ForkPerRequest, Saturated, Strategy, ThreadPerRequest, ThreadPool, shortage
from tests.contract.fakes import FakeEndpoint, FakeHost, FakeJob

pytestmark = pytest.mark.logs(r"none to be had; ")

LONGER = 2 * shortage.RETRY  # it has been asked again by then


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    with FakeHost() as host:
        monkeypatch.setattr(shortage, "time", host.time)
        yield host


class Short:
    """A system without threads and processes; counts how often it is asked for one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.monkeypatch = monkeypatch.context()
        patch = self.monkeypatch.__enter__()
        patch.setattr(os, "fork", self.fork)
        patch.setattr(threading.Thread, "start", self.start)

    def fork(self) -> int:
        self.asked += 1
        raise OSError(errno.EAGAIN, "none to be had")

    def start(self) -> None:
        self.asked += 1
        raise RuntimeError("none to be had")

    def over(self) -> None:
        self.monkeypatch.__exit__(None, None, None)


class Persistent(FakeEndpoint):
    """As a server with a client waiting: told of room, it comes at once."""

    def __init__(self, host: FakeHost, strategy: Strategy) -> None:
        super().__init__(host)
        self.strategy = strategy
        self.job: FakeJob | None = None

    def room(self) -> None:
        super().room()
        self.come()

    def come(self) -> None:
        if self.job is None and self.strategy.has_room():
            job = FakeJob(self.host)
            try:
                self.strategy.submit(job)
            except Saturated:
                return
            self.job = job


STRATEGIES = [ForkPerRequest, ThreadPerRequest, ThreadPool]


@pytest.mark.parametrize("make", STRATEGIES)
def test_two_that_share_it_do_not_ask_ever_more_often(
    make: Callable[[], Any], host: FakeHost, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
):
    """Each refusal set a timer, and each timer told both of room: twice as many each time."""
    strategy = make()
    endpoints = [Persistent(host, strategy) for _ in range(2)]
    system = Short(monkeypatch)
    try:
        strategy.open(host, endpoints)
        for endpoint in endpoints:
            endpoint.come()
        for _ in range(6):
            host.settle_down()
            assert len(host.due) == 1
            before = system.asked
            host.advance(LONGER)
            host.settle_down()
            assert 1 <= system.asked - before <= len(endpoints)
    finally:
        system.over()
    host.advance(LONGER)
    host.settle_down()
    host.until(lambda: all(endpoint.job and endpoint.job.settled for endpoint in endpoints), "both jobs")
    assert len(logs) == 1
    told: list[None] = []
    for endpoint in endpoints:
        strategy.close(endpoint, lambda: told.append(None))
    host.until(lambda: len(told) == 2, "the end")


@pytest.mark.parametrize("make", STRATEGIES)
def test_it_asks_for_its_next_host_too(make: Callable[[], Any], host: FakeHost, monkeypatch: pytest.MonkeyPatch):
    """Closed while it waits to ask, and opened by another: whose clock never runs for the first."""
    strategy = make()
    system = Short(monkeypatch)
    try:
        strategy.open(host, [first := Persistent(host, strategy)])
        first.come()
        host.settle_down()
        told: list[None] = []
        strategy.close(first, lambda: told.append(None))
        host.until(lambda: told, "the end")
        with FakeHost(host.now) as other:
            strategy.open(other, [second := Persistent(other, strategy)])
            second.come()
            other.settle_down()
            assert len(other.due) == 1
            system.over()
            other.advance(LONGER)
            other.settle_down()
            other.until(lambda: second.job and second.job.settled, "the job")
            strategy.close(second, lambda: told.append(None))
            other.until(lambda: len(told) == 2, "the end")
    finally:
        system.over()
