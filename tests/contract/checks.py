"""The checker of the strategies' contract: give it a way to make a strategy, and it holds the strategy to its rules.

    for check in CHECKS:
        check(lambda: MyStrategy(4))

Each check makes a fresh strategy, drives it by fakes, closes it, and raises AssertionError where a rule is broken.
``test_ours.py`` runs it over every strategy that there is, ``test_checker.py`` over broken ones.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator

import pytest

from strategies import Job, Saturated, Strategy
from tests.contract import fakes
from tests.contract.fakes import FakeEndpoint, FakeHost, FakeJob, Gate
from tests.leaks import open_descriptors

Make = Callable[[], Strategy]

MANY = 5  # jobs that are put to a strategy which is never full


class Told:
    """A ``done``: once, and on the loop's thread."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.times = 0
        self.elsewhere = False

    def __call__(self) -> None:
        self.times += 1
        self.elsewhere |= threading.get_ident() != self.host.thread
        self.host.post(lambda: None)  # who waits for this looks again

    def wait(self, what: str) -> None:
        self.host.until(lambda: self.times, f"{what} to call done")
        self.host.settle_down()
        assert self.times == 1, f"{what} called done twice"
        assert not self.elsewhere, f"{what} called done on another thread than the loop's"


class Bench:
    """One strategy between fakes."""

    def __init__(self, make: Make, host: FakeHost, gate: Gate, endpoints: int = 1) -> None:
        self.host = host
        self.gate = gate
        self.strategy = make()
        self.endpoints = [FakeEndpoint(host) for _ in range(endpoints)]
        self.jobs: list[FakeJob] = []
        self.given_back: list[Job] = []
        self.strategy.open(host, self.endpoints)
        self.runs = self.strategy.here()  # who takes jobs in this process
        if self.runs is not self.strategy:
            self.runs.open(host, self.endpoints)

    def submit(self) -> FakeJob:
        job = FakeJob(self.host, self.gate)
        job.submitting = True
        mine = self.runs.submit(job)
        job.submitting = False
        assert "inside" not in job.events, "submit() settled the job before it returned"
        self.jobs.append(job)
        if mine is not None:
            assert mine is job, "submit() gave back another job"
            self.given_back.append(mine)
        return job

    def fill(self) -> bool:
        """Submit until there is no more room, or MANY were taken; return whether it is full."""
        while len(self.jobs) < MANY:
            if not self.runs.has_room():
                return True
            self.submit()
        return not self.runs.has_room()

    def finish(self) -> None:
        """Let all jobs run to their ends."""
        self.gate.release_all()
        for job in self.given_back:
            job.run()
        self.given_back.clear()
        self.host.until(lambda: all(job.settled for job in self.jobs), "the end of all jobs")

    def close(self) -> None:
        """Close all endpoints; each is told once."""
        strategies = [self.strategy] if self.runs is self.strategy else [self.runs, self.strategy]
        for strategy in strategies:
            for endpoint in self.endpoints:
                self._close(strategy, endpoint)

    def _close(self, strategy: Strategy, endpoint: FakeEndpoint) -> None:
        told = Told(self.host)
        strategy.close(endpoint, told)
        told.wait("close()")


@contextlib.contextmanager
def bench(make: Make, endpoints: int = 1) -> Iterator[Bench]:
    with FakeHost() as host, Gate() as gate:
        yield Bench(make, host, gate, endpoints)


def check_jobs_run_once(make: Make) -> None:
    """Each job is run or left to a child once, settled once, and never before submit() returned."""
    with bench(make) as b:
        b.fill()
        b.finish()
        b.host.settle_down()
        for job in b.jobs:
            assert job.events in (["run", "settle"], ["leave", "settle"])
        b.close()


def check_full_says_so(make: Make) -> None:
    """submit() takes a job where has_room() said yes, and raises Saturated, taking nothing, where it said no."""
    with bench(make) as b:
        if b.fill():
            for _ in range(2):
                refused = FakeJob(b.host, b.gate)
                with pytest.raises(Saturated):
                    b.runs.submit(refused)
                assert not b.runs.has_room()
                assert not refused.events
        b.finish()
        b.close()


def check_room_is_told(make: Make) -> None:
    """has_room() False promises a room() to every endpoint, and there is room then."""
    with bench(make, endpoints=2) as b:
        for endpoint in b.endpoints:
            assert endpoint.rooms == 0
        if b.fill():
            for _ in b.jobs:
                b.gate.release()
            b.host.until(lambda: all(endpoint.rooms for endpoint in b.endpoints), "room()")
            assert b.runs.has_room(), "room() was called, and there is none"
            b.submit()
        b.finish()
        b.close()


def check_saturated_promises_room(make: Make) -> None:
    """Raising Saturated promises a room() to every endpoint, too, to those who did not ask before."""
    with bench(make, endpoints=2) as b:
        full = False
        while len(b.jobs) < MANY and not full:
            try:
                b.submit()
            except Saturated:
                full = True
        if full:
            b.gate.release_all()
            b.host.until(lambda: all(endpoint.rooms for endpoint in b.endpoints), "room()")
        b.finish()
        b.close()


def check_room_after_a_cut(make: Make) -> None:
    """Jobs that cut() gives back, or ends, make room as any others do, and it is told of."""
    with bench(make, endpoints=2) as b:
        if b.fill():
            b.gate.wait_came(len(b.jobs) // 2)  # those that began have, and what they make room by is told of
            before = [endpoint.rooms for endpoint in b.endpoints]
            unbegun = b.runs.cut()
            for job in unbegun:
                job.close()
            if unbegun and b.runs.has_room():
                told = lambda: [e.rooms > rooms for e, rooms in zip(b.endpoints, before, strict=True)]  # noqa: E731
                b.host.until(lambda: all(told()), "room()")
        b.finish()
        b.close()


def check_room_again_and_again(make: Make) -> None:
    """Each time that it is full there is a room() afterwards."""
    with bench(make) as b:
        for _ in range(3):
            before = b.endpoints[0].rooms
            if not b.fill():
                break
            b.gate.release(len(b.jobs))
            b.host.until(lambda: all(job.settled for job in b.jobs), "the jobs' ends")
            b.host.until(lambda: b.endpoints[0].rooms > before, "room()")  # noqa: B023
            b.jobs.clear()
        b.finish()
        b.close()


def check_cut_returns_what_never_began(make: Make) -> None:
    """cut() returns jobs that never began, each once; they are never run after it."""
    with bench(make) as b:
        b.fill()
        unbegun = list(b.runs.cut())
        assert not b.runs.cut()
        assert not any("run" in job.events or "leave" in job.events for job in unbegun)
        # Those that are not returned have begun, or will: all that still can stand at the gate, which is shut.
        began = [job for job in b.jobs if job not in (*unbegun, *b.given_back) and "leave" not in job.events]
        b.gate.wait_came(len(began))
        for job in unbegun:
            job.close()
        b.finish()
        assert all(job.events == ["close", "settle"] for job in unbegun)
        b.close()


def check_close_waits_for_what_runs(make: Make) -> None:
    """done is called once, when nothing runs any more; not before."""
    with bench(make) as b:
        if b.runs.waits_on_close:
            job = b.submit()
            if b.given_back:
                b.finish()
            told = Told(b.host)
            b.runs.close(b.endpoints[0], told)
            if not job.settled:
                b.host.settle_down()
                assert not told.times
            b.finish()
            told.wait("close()")
        b.finish()
        b.close()


def check_each_close_is_told(make: Make) -> None:
    """All endpoints leave while it is at work, and the last of them is closed by two: each close has its own done."""
    with bench(make, endpoints=2) as b:
        b.fill()
        if b.given_back:
            b.finish()
        first, second = b.endpoints
        tolds = [Told(b.host) for _ in range(3)]
        for endpoint, told in zip((first, second, second), tolds, strict=True):
            b.runs.close(endpoint, told)
        b.finish()
        for told in tolds:
            told.wait("close()")
        assert b.runs.host is None
        assert not b.runs.endpoints
        b.close()


def check_close_during_halt(make: Make) -> None:
    """Whoever asks while an ending is under way is told too."""
    with bench(make) as b:
        halted, closed = Told(b.host), Told(b.host)
        b.strategy.halt(halted)
        b.strategy.close(b.endpoints[0], closed)
        halted.wait("halt()")
        closed.wait("close()")
        b.finish()
        b.close()


def check_a_job_that_ends_its_thread(make: Make) -> None:
    """What run() raises ends the thread or child that ran it, not the strategy."""
    with bench(make) as b:

        def leave() -> None:
            raise SystemExit

        job = FakeJob(b.host, leave)
        mine = b.runs.submit(job)
        if mine is not None:
            with pytest.raises(SystemExit):
                mine.run()
        b.host.until(lambda: job.settled, "the job that ends its thread")
        for _ in range(3):
            b.host.until(lambda: b.runs.has_room() or b.host.post(lambda: None), "room for another")
            b.submit()
            b.finish()
        b.close()


def check_reopening(make: Make) -> None:
    """A strategy that was closed can be opened again, by another host, too."""
    with bench(make) as b:
        b.fill()
        b.finish()
        b.close()
        strategy, runs = b.strategy, b.runs
        with bench(lambda: strategy) as again:
            assert again.runs is runs
            again.fill()
            again.finish()
            again.close()


def check_open_again_while_open(make: Make) -> None:
    """A loop that rested and turns again opens it again, with the same endpoints."""
    with bench(make) as b:
        told = Told(b.host)
        b.strategy.halt(told)
        told.wait("halt()")
        b.strategy.open(b.host, b.endpoints)
        assert b.strategy.endpoints == tuple(b.endpoints)
        b.fill()
        b.finish()
        b.close()
        assert told.times == 1


def check_halt_during_halt(make: Make) -> None:
    """Two who wait for a rest are both told, once each."""
    with bench(make) as b:
        tolds = Told(b.host), Told(b.host)
        for told in tolds:
            b.strategy.halt(told)
        for told in tolds:
            told.wait("halt()")
        b.finish()
        b.close()


def check_sharing(make: Make) -> None:
    """Two endpoints share it; one leaves, or stops, and it goes on for the other."""
    with bench(make, endpoints=2) as b:
        first, second = b.endpoints
        told = Told(b.host)
        b.strategy.retire(first, told)
        told.wait("retire()")
        b._close(b.strategy, first)
        assert b.strategy.endpoints == (second,)
        b.fill()
        b.finish()
        b.close()
        assert b.strategy.host is None
        assert told.times == 1


def check_second_host_is_refused(make: Make) -> None:
    """One strategy cannot serve two loops; the refusal harms neither."""
    with bench(make) as b:
        with FakeHost() as other:
            stranger = FakeEndpoint(other)
            with pytest.raises(RuntimeError, match="another reactor"):
                b.strategy.open(other, [stranger])
            assert stranger.accepting == 0
            told: list[None] = []
            b.strategy.close(stranger, lambda: told.append(None))
            assert len(told) == 1
        assert b.strategy.host is b.host
        b.fill()
        b.finish()
        b.close()


def check_abandon(make: Make) -> None:
    """What abandon() is for, forked children, would hide what it does: here it is called where it can be seen."""
    strategy = make()
    strategy.abandon()
    strategy.abandon()
    with bench(lambda: strategy) as b:
        b.fill()
        b.finish()
        b.close()
    strategy.abandon()
    assert strategy.host is None
    assert strategy.endpoints == ()


def check_abandon_in_a_child(make: Make) -> None:
    """In a child that was forked beside it while it is busy: it holds nothing open, and can be used anew."""
    before = open_descriptors()
    with bench(make, endpoints=2) as b:
        b.fill()
        if b.given_back:
            b.finish()
        child = _in_a_child(lambda: _abandoned(b, before))
        b.finish()
        b.close()
    assert child == 0, "see above what went wrong in the child"


def _abandoned(b: Bench, before: frozenset[tuple[int, str]]) -> None:
    """Forked child."""
    for strategy in dict.fromkeys((b.strategy, b.runs)):
        strategy.abandon()
        strategy.abandon()
        assert strategy.host is None
        assert strategy.endpoints == ()
    for fd in b.host.watched:  # what the host does, in abandon()
        with contextlib.suppress(OSError):
            os.close(fd)
    held = {*b.gate._came, *b.gate._go, b.host._reading, b.host._writing}
    left = [what for what in open_descriptors() - before if what[0] not in held]
    assert not left, f"held open in a child: {left}"
    with bench(lambda: b.runs) as again:  # as a worker's inner one is
        again.submit()
        again.finish()
        again.close()


def _in_a_child(body: Callable[[], object]) -> int:
    """Run it in a forked child, for a while at most; returns how the child ended, as ``waitstatus_to_exitcode()``."""
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # beside threads, which is what this is about
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 2 * fakes.DEADLINE)
            body()
            code = 0
        except BaseException:  # noqa: BLE001  # nothing returns into the parent's frames
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


CHECKS = [check for name, check in sorted(globals().items()) if name.startswith("check_")]
