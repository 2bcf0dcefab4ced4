"""A run: rounds of every workload and subject, interleaved, within a budget of time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.child import Failed
from benchmarks.measures import MEASURES
from benchmarks.plan import Plan
from benchmarks.sample import Sample
from benchmarks.workload import Workload

GIVE_UP = 2  # a subject that failed this often in one workload is not started again


@dataclass
class Run:
    """What came of it so far. `failures` holds one line per failed sample."""

    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    rounds: int = 0  # complete ones


def pairs(works: list[Workload], subjects: list[str]) -> Iterator[tuple[Workload, str]]:
    """The samples of one round, in order: the subjects of a workload follow each other, A B C."""
    for work in works:
        for subject in subjects:
            if subject in work.subjects:
                yield work, subject


def measure(
    run: Run,
    works: list[Workload],
    subjects: list[str],
    plan: Plan,
    step: Callable[[Workload, str, int], None],
) -> None:
    """Fill `run` in place, so that what there is survives an interrupt; `step` is told before each sample.

    Rounds are the outer loop: a drift of the machine meets every subject alike, and a run that ends by its
    budget has fewer rounds of everything instead of nothing of the last workload. Ratios are paired by round,
    so an incomplete round does no harm.
    """
    began = time.monotonic()
    failed: dict[tuple[str, str], int] = {}
    for number in range(plan.rounds):
        for work, subject in pairs(works, subjects):
            if time.monotonic() - began > plan.budget_s:
                return
            step(work, subject, number)
            if failed.get((work.name, subject), 0) >= GIVE_UP:
                continue
            try:
                run.samples.append(MEASURES[work.measure](work, subject, number, plan))
            except Failed as failure:
                failed[work.name, subject] = failed.get((work.name, subject), 0) + 1
                run.failures.append(f"{work.name} {subject}: {failure}")
        run.rounds += 1
