"""How far the run is: a bar on a terminal where rich is installed, a line per round elsewhere."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from benchmarks import optional
from benchmarks.workload import Workload

Step = Callable[[Workload, str, int], None]


@contextlib.contextmanager
def progress(samples: int, rounds: int) -> Iterator[Step]:
    """Yields what is to be called before each of `samples` samples; writes to standard error only."""
    rich = optional.load("rich.progress") if sys.stderr.isatty() else None
    if rich is None:
        yield _lines(rounds)
        return
    console = optional.load("rich.console").Console(stderr=True)
    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(elapsed_when_finished=True),
    )
    with rich.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=samples)
        begun = 0

        def step(work: Workload, subject: str, number: int) -> None:
            nonlocal begun
            bar.update(task, completed=begun, description=f"round {number + 1}/{rounds} {work.name} {subject}")
            begun += 1

        yield step


def _lines(rounds: int) -> Step:
    last = -1

    def step(work: Workload, subject: str, number: int) -> None:
        nonlocal last
        if number != last:
            last = number
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)

    return step
