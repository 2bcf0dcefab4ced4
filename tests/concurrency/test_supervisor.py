"""Supervisor: N workers alive, on a clock that only the test moves."""

from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from strategies import children, supervisor
from strategies.supervisor import Supervisor
from tests.contract.fakes import FakeHost, Gate
from tests.leaks import open_descriptors
from tests.serving import DEADLINE


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    with FakeHost() as host:
        monkeypatch.setattr(children, "time", host.time)
        monkeypatch.setattr(supervisor, "time", host.time)
        yield host


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


def stays(lifeline: int) -> None:
    """A worker that ends when it is told to, or its master is gone."""
    select.select([lifeline], [], [], DEADLINE)


def dies(lifeline: int) -> None:
    os._exit(3)


class Supervised:
    """Leaving it stops the workers."""

    def __init__(self, host: FakeHost, count: int, body: Callable[[int], object]) -> None:
        self.host = host
        self.before = open_descriptors()
        self.supervisor = Supervisor(host, count, body, stop_timeout=5.0)
        self.supervisor.start()

    @property
    def pids(self) -> set[int]:
        return set(self.supervisor.children.pids)

    def until_gone(self, *pids: int) -> None:
        self.host.until(lambda: not self.pids & set(pids), "the end of workers")

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, *exc: object) -> None:
        told: list[None] = []
        self.supervisor.stop(lambda: told.append(None))
        self.host.until(lambda: told, "the end of all workers")
        assert len(told) == 1
        assert not self.pids
        assert not self.host.watched
        assert open_descriptors() == self.before


def test_as_many_as_asked_for(host: FakeHost):
    with Supervised(host, 3, stays) as supervised:
        assert len(supervised.pids) == 3


@pytest.mark.logs(r"^worker \d+ was killed by signal 9 after 60.0 s; replacing it$")
def test_a_killed_worker_is_replaced_at_once(host: FakeHost):
    with Supervised(host, 2, stays) as supervised:
        host.advance(60)
        victim, other = sorted(supervised.pids)
        os.kill(victim, signal.SIGKILL)
        supervised.until_gone(victim)
        assert len(supervised.pids) == 2
        assert other in supervised.pids
        assert not host.due


def test_a_worker_that_ends_well_is_replaced_without_a_word(host: FakeHost, gate: Gate):
    with Supervised(host, 1, lambda lifeline: gate()) as supervised:
        host.advance(60)
        (pid,) = supervised.pids
        gate.release()
        supervised.until_gone(pid)
        assert len(supervised.pids) == 1
        gate.wait_came(2)


@pytest.mark.logs(r"worker \d+ exited with 3 after 0\.0 s")
def test_those_that_die_at_once_come_back_ever_more_slowly(host: FakeHost):
    with Supervised(host, 1, dies) as supervised:
        waits = []
        for _ in range(9):
            host.until(lambda: not supervised.pids, "its death")
            (wait,) = host.due
            waits.append(round(wait, 3))
            host.advance(wait - 0.001 if wait else 0)
            assert len(supervised.pids) == (0 if wait else 1)
            host.advance(0.001)
            assert len(supervised.pids) == 1 or not wait
        host.until(lambda: not supervised.pids, "its death")
    assert waits == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]


@pytest.mark.logs(r"worker \d+ (exited with 3|was killed)")
def test_who_lived_starts_afresh(host: FakeHost):
    bodies: list[Callable[[int], object]] = [stays]
    with Supervised(host, 1, lambda lifeline: bodies[0](lifeline)) as supervised:
        bodies[0] = dies

        def kill_and_see() -> float:
            for pid in supervised.pids:
                os.kill(pid, signal.SIGKILL)
            host.until(lambda: not supervised.pids, "its death")
            return host.due[0]

        assert kill_and_see() == pytest.approx(0)
        host.advance(0)
        host.until(lambda: not supervised.pids, "its death")
        assert host.due[0] == pytest.approx(0.1)
        bodies[0] = stays
        host.advance(0.1)
        host.advance(60)
        (pid,) = supervised.pids
        os.kill(pid, signal.SIGKILL)
        supervised.until_gone(pid)
        assert len(supervised.pids) == 1  # it had lived: at once
        assert kill_and_see() == pytest.approx(0)


@pytest.mark.logs("no worker could be started: .*no process")
def test_no_process_to_be_had(host: FakeHost, monkeypatch: pytest.MonkeyPatch):
    fork = os.fork

    def refuse() -> int:
        raise OSError(errno.EAGAIN, "no process")

    monkeypatch.setattr(os, "fork", refuse)
    with Supervised(host, 1, stays) as supervised:
        host.advance(0)
        host.advance(supervisor.FIRST_BACK_OFF)
        assert not supervised.pids
        assert len(host.due) == 1
        monkeypatch.setattr(os, "fork", fork)
        host.advance(host.due[0])
        assert len(supervised.pids) == 1


@pytest.mark.logs(r"worker \d+ was waited for by somebody else")
def test_a_stolen_worker_is_replaced(host: FakeHost):
    with Supervised(host, 1, stays) as supervised:
        host.advance(60)
        (pid,) = supervised.pids
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        supervised.until_gone(pid)
        assert len(supervised.pids) == 1


@pytest.mark.logs(r"worker \d+ was killed by signal 1 after")
def test_a_hang_up_is_not_taken_for_a_theft(host: FakeHost):
    with Supervised(host, 1, stays) as supervised:
        host.advance(60)
        (pid,) = supervised.pids
        os.kill(pid, signal.SIGHUP)
        supervised.until_gone(pid)


def test_stopping_ends_what_was_to_be_started(host: FakeHost, logs: list[Any]):
    with Supervised(host, 1, dies) as supervised:
        host.until(lambda: not supervised.pids, "its death")
        assert host.due
    assert not host.due
    logs.clear()


@pytest.mark.logs("was killed before it had come to its end")
def test_a_worker_that_ignores_term_is_killed_at_the_deadline(host: FakeHost, gate: Gate):
    def stubborn(lifeline: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        gate()

    with Supervised(host, 2, stubborn) as supervised:
        gate.wait_came(2)
        told: list[None] = []
        supervised.supervisor.stop(lambda: told.append(None))
        host.advance(4.9)
        assert len(supervised.pids) == 2
        host.advance(0.2)
        host.until(lambda: told, "their deaths")
        assert len(told) == 1


@pytest.mark.logs("was killed before it had come to its end")
def test_cut_does_not_wait_for_the_deadline(host: FakeHost, gate: Gate):
    def stubborn(lifeline: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        gate()

    with Supervised(host, 1, stubborn) as supervised:
        gate.wait_came()
        told: list[None] = []
        supervised.supervisor.stop(lambda: told.append(None))
        supervised.supervisor.cut()
        host.until(lambda: told, "its death")


def test_the_lifeline_ends_with_its_master(host: FakeHost):
    """Whoever else was forked beside it has to let go of it: here a child that has."""
    reading, writing = os.pipe()

    def master() -> None:
        def tells(lifeline: int) -> None:
            os.write(writing, b"+")
            assert select.select([lifeline], [], [], DEADLINE)[0]
            os.write(writing, b"-")

        with FakeHost() as own:
            first = Supervisor(own, 1, tells, 5.0)
            second = Supervisor(own, 1, tells, 5.0)

            def alone(of: Supervisor, beside: Supervisor) -> Callable[[int], object]:
                def body(lifeline: int) -> None:
                    beside.abandon()
                    tells(lifeline)

                return body

            first._body, second._body = alone(first, second), alone(second, first)
            first.start()
            second.start()
            for _ in range(2):
                os.read(own_reading, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    own_reading = reading
    pid = os.fork()
    if pid == 0:
        try:
            master()
        finally:
            os._exit(70)
    os.close(writing)
    try:
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        told = b""
        while select.select([reading], [], [], DEADLINE)[0] and (piece := os.read(reading, 10)):
            told += piece
        assert told == b"--"
    finally:
        os.close(reading)
