"""How much is measured, and where."""

from dataclasses import dataclass

from benchmarks.cores import Cores


@dataclass(frozen=True)
class Plan:
    """Bounds of a run: every loop of the benchmarks ends by one of these."""

    rounds: int
    seconds: float  # of load per sample
    warm_s: float
    idle_s: float
    shutdowns: int  # per sample
    budget_s: float  # no further sample begins after this many seconds
    cores: Cores
    limit: int = 300_000  # requests per sample, whatever the time: bounds the memory of the load generator
    foreign: float = 0.10  # a sample disturbed by more than this share is repeated
    retries: int = 2
