"""ThreadPool's counters against a model, under any order of jobs that come, end, die and are cut.

The threads are real; each job stops at a gate of its own, so the machine decides which of them goes on, and looks at
the pool when every thread stands still.
"""

from __future__ import annotations

import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from strategies import Saturated, ThreadPool
from tests.contract.fakes import FakeEndpoint, FakeHost, FakeJob
from tests.serving import DEADLINE

pytestmark = pytest.mark.logs(r"was ended by SystemExit", required=False)


class Stopped(FakeJob):
    """A job that stops when it has begun."""

    def __init__(self, host: FakeHost, dies: bool) -> None:
        super().__init__(host, self.stop)
        self.began = threading.Event()
        self.go = threading.Event()
        self.dies = dies

    def stop(self) -> None:
        self.began.set()
        assert self.go.wait(DEADLINE)
        if self.dies:
            raise SystemExit


class Machine(RuleBasedStateMachine):
    @initialize(
        max_threads=st.integers(1, 3), share=st.integers(0, 3), queue=st.integers(0, 3)
    )
    def open(self, max_threads: int, share: int, queue: int) -> None:
        self.host = FakeHost()
        self.pool = ThreadPool(max_threads, min(share, max_threads), queue)
        self.endpoint = FakeEndpoint(self.host)
        self.pool.open(self.host, [self.endpoint])
        self.running: list[Stopped] = []
        self.waiting: list[Stopped] = []
        self.owed = False
        self.rooms = 0

    # -- what happens

    @rule(dies=st.booleans())
    def submit(self, dies: bool) -> None:
        job = Stopped(self.host, dies)
        free = len(self.running) + len(self.waiting) < self.pool.max_threads + self.pool.queue
        try:
            self.pool.submit(job)
        except Saturated:
            assert not free
            self.owed = True
        else:
            assert free
            self.waiting.append(job)
            self.settle_down()

    @rule()
    def ask(self) -> None:
        free = len(self.running) + len(self.waiting) < self.pool.max_threads + self.pool.queue
        assert self.pool.has_room() is free
        self.owed = self.owed or not free

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 2))
    def end_one(self, which: int) -> None:
        job = self.running.pop(which % len(self.running))
        job.go.set()
        self.host.until(lambda: job.settled, "the job")
        self.settle_down()

    @precondition(lambda self: len(self.running) > 1)
    @rule()
    def end_all_that_run(self) -> None:
        ending, self.running = self.running, []
        for job in ending:
            job.go.set()
        self.host.until(lambda: all(job.settled for job in ending), "the jobs")
        self.settle_down()

    @rule()
    def cut(self) -> None:
        unbegun = self.pool.cut()
        assert unbegun == self.waiting
        for job in unbegun:
            job.close()
        self.waiting = []
        self.settle_down()

    def settle_down(self) -> None:
        """Until every thread that can run a job has one, and stands in it."""
        pool, running, waiting = self.pool, self.running, self.waiting
        while waiting and len(running) < pool.max_threads:
            job = waiting.pop(0)  # in the order they came
            assert job.began.wait(DEADLINE), "a job waits, and a thread is free"
            running.append(job)

        def still() -> bool:
            with pool._lock:
                return pool._idle == len(pool._threads) - len(running) and pool._waiting == len(waiting)

        self.host.until(lambda: still() or self.host.post(lambda: None), "the threads to stand still")
        self.host.settle_down()

    # -- what always holds

    @invariant()
    def no_more_threads_than_allowed(self) -> None:
        if hasattr(self, "pool"):
            alive = len(self.pool._threads)
            assert max(self.pool.min_threads, len(self.running)) <= alive <= self.pool.max_threads

    @invariant()
    def nothing_begins_before_its_turn(self) -> None:
        if hasattr(self, "pool"):
            assert not any(job.began.is_set() for job in self.waiting)
            assert len(self.waiting) == 0 or len(self.running) == self.pool.max_threads

    @invariant()
    def a_promised_room_is_told(self) -> None:
        if not hasattr(self, "pool"):
            return
        half_empty = len(self.waiting) <= self.pool.queue // 2
        place = len(self.running) + len(self.waiting) < self.pool.max_threads + self.pool.queue
        if self.owed and half_empty and place:
            self.host.until(lambda: self.endpoint.rooms > self.rooms, "room()")
        self.host.settle_down()
        if self.endpoint.rooms > self.rooms:
            assert self.owed
            self.owed, self.rooms = False, self.endpoint.rooms

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        told: list[None] = []
        self.pool.close(self.endpoint, lambda: told.append(None))
        jobs = self.running + self.waiting
        for job in jobs:
            job.go.set()
        self.host.until(lambda: told, "the end")
        assert all(job.settled for job in jobs)
        with self.host:
            pass


TestThreadPool = Machine.TestCase
TestThreadPool.settings = settings(max_examples=40, stateful_step_count=25)
