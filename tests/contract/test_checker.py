"""The checker catches what it is there for: each of these strategies breaks one rule."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from strategies import Host, Inline, Job, Saturated, Strategy, ThreadPool
from tests.contract import checks, fakes


class SettlesInside(Strategy):
    def submit(self, job: Job) -> None:
        job.close()


class RunsTwice(Inline):
    def submit(self, job: Job) -> Job:
        self.host.post(job.close)
        return job


class TakesWhenFull(ThreadPool):
    def submit(self, job: Job) -> None:
        try:
            super().submit(job)
        except Saturated:
            job.close()


class LosesRoom(ThreadPool):
    def tell_room(self) -> None:
        pass


class TellsOne(ThreadPool):
    def _room(self) -> None:
        self.endpoints[0].room()


class PromisesByHasRoomAlone(ThreadPool):
    def submit(self, job: Job) -> None:
        promised = self._promised
        try:
            super().submit(job)
        except Saturated:
            self._promised = promised
            raise


class CutsWhatRuns(ThreadPool):
    def submit(self, job: Job) -> None:
        super().submit(job)
        self.last = job

    def cut(self) -> Sequence[Job]:
        super().cut()
        return (self.last,)


class HidesWhatNeverBegan(ThreadPool):
    def cut(self) -> Sequence[Job]:
        return ()


class CutsInSilence(ThreadPool):
    def cut(self) -> Sequence[Job]:
        jobs = self._jobs.take_all()
        self._waiting -= len(jobs)
        return jobs


class TellsTheLast(ThreadPool):
    def close(self, endpoint: Any, done: Callable[[], object]) -> None:
        super().close(endpoint, done)
        self._dones = self._dones[-1:]


class ClosesNothingWhileItHalts(Inline):
    halting = False

    def halt(self, done: Callable[[], object]) -> None:
        def halted() -> None:
            self.halting = False
            done()

        self.halting = True
        self.host.post(halted)

    def end(self, done: Callable[[], object]) -> None:
        if not self.halting:
            done()


class DoneElsewhere(Inline):
    def end(self, done: Callable[[], object]) -> None:
        threading.Thread(target=done).start()


class DiesWithItsThread(ThreadPool):
    def _leave(self, me: threading.Thread) -> None:
        pass


class HoldsADescriptor(Inline):
    def open(self, host: Host, endpoints: Sequence[Any]) -> None:
        super().open(host, endpoints)
        self.held = os.open(os.devnull, os.O_RDONLY)

    def end(self, done: Callable[[], object]) -> None:
        os.close(self.held)
        done()


class KeepsItsParentsThreads(ThreadPool):
    def abandon(self) -> None:
        Strategy.abandon(self)


class DoneTwice(Inline):
    def end(self, done: Callable[[], object]) -> None:
        super().end(done)
        self.host = None

    def close(self, endpoint: Any, done: Callable[[], object]) -> None:
        super().close(endpoint, done)
        done()


class DoneTooSoon(ThreadPool):
    def end(self, done: Callable[[], object]) -> None:
        super().end(lambda: None)
        done()


class NeverDone(Inline):
    def end(self, done: Callable[[], object]) -> None:
        pass


class OnlyOnce(Inline):
    def end(self, done: Callable[[], object]) -> None:
        self.used = True
        done()

    def open(self, host: Host, endpoints: Sequence[Any]) -> None:
        assert not getattr(self, "used", False)
        super().open(host, endpoints)


class EverybodysServant(Inline):
    def join_host(self, host: Host, endpoints: Sequence[Any]) -> None:
        self.host = host
        self.endpoints += tuple(endpoints)


class HaltsForOne(Inline):
    def halt(self, done: Callable[[], object]) -> None:
        if not getattr(self, "halted", False):
            self.halted = True
            done()


@pytest.mark.logs("^ThreadPool-1 was ended by SystemExit", required=False)
@pytest.mark.parametrize(
    ("make", "check"),
    [
        (SettlesInside, checks.check_jobs_run_once),
        (RunsTwice, checks.check_jobs_run_once),
        (lambda: TakesWhenFull(1, queue=0), checks.check_full_says_so),
        (lambda: LosesRoom(1, queue=0), checks.check_room_is_told),
        (lambda: TellsOne(1, queue=0), checks.check_room_is_told),
        (lambda: PromisesByHasRoomAlone(1, queue=0), checks.check_saturated_promises_room),
        (lambda: LosesRoom(1, queue=0), checks.check_room_again_and_again),
        (lambda: CutsWhatRuns(1, queue=0), checks.check_cut_returns_what_never_began),
        (lambda: TellsOne(1, queue=0), checks.check_saturated_promises_room),
        (lambda: HidesWhatNeverBegan(1, queue=1), checks.check_cut_returns_what_never_began),
        (lambda: CutsInSilence(1, queue=1), checks.check_room_after_a_cut),
        (lambda: TellsTheLast(1), checks.check_each_close_is_told),
        (ClosesNothingWhileItHalts, checks.check_close_during_halt),
        (DoneElsewhere, checks.check_sharing),
        (lambda: DiesWithItsThread(1, queue=0), checks.check_a_job_that_ends_its_thread),
        (HoldsADescriptor, checks.check_abandon_in_a_child),
        (lambda: KeepsItsParentsThreads(1, queue=0), checks.check_abandon_in_a_child),
        (DoneTwice, checks.check_sharing),
        (lambda: DoneTooSoon(1), checks.check_close_waits_for_what_runs),
        (NeverDone, checks.check_close_waits_for_what_runs),
        (OnlyOnce, checks.check_reopening),
        (EverybodysServant, checks.check_second_host_is_refused),
        (HaltsForOne, checks.check_halt_during_halt),
    ],
    ids=lambda value: getattr(value, "__name__", "").replace("<lambda>", "ThreadPool"),
)
def test_catches(make: Any, check: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fakes, "DEADLINE", 0.05)  # what never comes is waited for in vain, and not for long
    made: list[Any] = []
    leave_gate = fakes.Gate.__exit__

    def end_threads(gate: fakes.Gate, *exc: object) -> None:
        gate.release_all()
        for strategy in made:
            for thread in tuple(getattr(strategy, "_threads", ())):
                strategy._jobs.close()
                thread.join()
        leave_gate(gate, *exc)

    monkeypatch.setattr(fakes.Gate, "__exit__", end_threads)

    def remembered() -> Strategy:
        made.append(make())
        return made[-1]

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(remembered)
