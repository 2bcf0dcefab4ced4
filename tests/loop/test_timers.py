"""Timers: order, cancelling, and what lies in the heap."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from reactor.loop import Loop
from reactor.timers import TIDY, Timers


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_due_timers_come_in_the_order_of_their_deadlines_then_of_their_setting() -> None:
    timers, called = Timers(), []
    for when, name in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (1.0, "a2"), (9.0, "never")):
        timers.add(when, called.append, name)
    for timer in timers.expire(3.0):
        timer()
    assert called == ["a", "a2", "b", "c"]
    assert len(timers) == 1
    assert timers.next_deadline() == 9.0


def test_a_timer_cancelled_by_one_that_is_due_with_it_is_not_called_and_the_count_stays_right() -> None:
    timers, called = Timers(), []
    timers.add(1.0, lambda: second.cancel())
    second = timers.add(1.0, called.append, "cancelled")
    timers.add(5.0, called.append, "later")
    for timer in timers.expire(1.0):
        timer()
    assert called == []
    assert len(timers) == 1


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    for _ in range(50):
        timers.add(1e9, print)
    for _ in range(100_000):
        timers.add(1e9, print).cancel()
    assert len(timers) == 50
    assert len(timers.entries) <= 2 * 50 + TIDY + 1


class Model(RuleBasedStateMachine):
    """Timers against a plain list."""

    timers = Bundle("timers")

    def __init__(self) -> None:
        super().__init__()
        self.real = Timers()
        self.waiting: list[tuple[float, int]] = []
        self.due: list[tuple[int, Any]] = []
        self.called: list[int] = []
        self.made = 0

    @rule(target=timers, when=st.integers(0, 9))
    def add(self, when: int) -> tuple[int, Any]:
        number, self.made = self.made, self.made + 1
        self.waiting.append((float(when), number))
        return number, self.real.add(float(when), self.called.append, number)

    @rule(timer=timers)
    def cancel(self, timer: tuple[int, Any]) -> None:
        number, real = timer
        real.cancel()
        self.waiting = [entry for entry in self.waiting if entry[1] != number]
        self.due = [entry for entry in self.due if entry[0] != number]

    @rule(now=st.integers(0, 9))
    def expire(self, now: int) -> None:
        due = sorted(entry for entry in self.waiting if entry[0] <= now)
        found = self.real.expire(float(now))
        assert len(found) == len(due)
        self.due += [(number, real) for (_, number), real in zip(due, found, strict=True)]
        self.waiting = [entry for entry in self.waiting if entry not in due]

    @precondition(lambda self: self.due)
    @rule()
    def call_one(self) -> None:
        number, real = self.due.pop(0)
        real()
        real()  # the second time it does nothing
        assert self.called.pop() == number
        assert self.called == []

    @invariant()
    def counts(self) -> None:
        assert len(self.real) == len(self.waiting)
        assert self.real.next_deadline() == (min(self.waiting)[0] if self.waiting else None)


TestModel = Model.TestCase


def test_the_loop_calls_what_is_due_by_its_own_clock() -> None:
    clock, called = Clock(), []
    loop = Loop(clock)
    loop.call_at(101.0, called.append, "one")
    undo = loop.call_at(101.0, called.append, "cancelled")
    loop.call_at(102.0, called.append, "two")
    undo()
    with loop.led():
        loop.turn(0)
        assert called == []
        clock.now = 101.0
        loop.turn()
        assert called == ["one"]
        clock.now = 200.0
        loop.turn()
    assert called == ["one", "two"]
    loop.close()


def test_a_timer_set_by_a_timer_waits_for_the_next_turn() -> None:
    """Else one that sets itself anew would keep the loop from everything else."""
    clock, called = Clock(), []
    loop = Loop(clock)

    def again() -> None:
        called.append(loop.turns)
        loop.call_at(clock.now, again)

    loop.call_at(clock.now, again)
    with loop.led():
        loop.turn()
        loop.turn()
    assert called == [1, 2]
    loop.close()
