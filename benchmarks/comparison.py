"""Medians over rounds, and ratios paired by round: what a machine does to one round it does to both sides."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.sample import Sample


@dataclass(frozen=True)
class Row:
    """One subject in one workload. Ratios are costs divided, above 1 is better for the one named first."""

    subject: str
    cost: float
    lowest: float
    highest: float
    over_stdlib: float | None  # the standard library's cost / this one's
    ours_over: float | None  # this one's cost / ours
    rate: float
    p50_us: float
    p99_us: float
    foreign: float
    errors: int
    done: int


def paired(samples: list[Sample], reference: list[Sample]) -> float | None:
    """Median over the common rounds of reference cost / cost; None where there is no such round."""
    by_round = {sample.round: sample.cost for sample in reference}
    ratios = [by_round[s.round] / s.cost for s in samples if s.round in by_round and s.cost]
    return statistics.median(ratios) if ratios else None


def rows(samples: list[Sample]) -> list[Row]:
    """The rows of one workload, in the order its subjects first appeared."""
    by_subject: dict[str, list[Sample]] = {}
    for sample in samples:
        by_subject.setdefault(sample.subject, []).append(sample)
    stdlib, ours = by_subject.get("stdlib", []), by_subject.get("ours", [])
    return [_row(subject, mine, stdlib, ours) for subject, mine in by_subject.items()]


def _row(subject: str, mine: list[Sample], stdlib: list[Sample], ours: list[Sample]) -> Row:
    def median(of: Callable[[Sample], float]) -> float:
        return statistics.median(map(of, mine))

    return Row(
        subject=subject,
        cost=median(lambda s: s.cost),
        lowest=min(s.cost for s in mine),
        highest=max(s.cost for s in mine),
        over_stdlib=paired(mine, stdlib),
        ours_over=paired(ours, mine),
        rate=median(lambda s: s.rate),
        p50_us=median(lambda s: s.p50_us),
        p99_us=median(lambda s: s.p99_us),
        foreign=median(lambda s: s.foreign),
        errors=sum(s.errors for s in mine),
        done=sum(s.done for s in mine),
    )
