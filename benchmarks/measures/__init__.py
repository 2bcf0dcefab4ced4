"""How a sample is taken: one file per Measure."""

from collections.abc import Callable

from benchmarks.measures import idle, load, shutdown
from benchmarks.plan import Plan
from benchmarks.sample import Sample
from benchmarks.workload import Measure, Workload

MEASURES: dict[Measure, Callable[[Workload, str, int, Plan], Sample]] = {
    Measure.LOAD: load.take,
    Measure.SHUTDOWN: shutdown.take,
    Measure.IDLE: idle.take,
}
