"""The command line: `python -m benchmarks --help`."""

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from benchmarks import cores, plot, results, table
from benchmarks.plan import Plan
from benchmarks.progress import progress
from benchmarks.run import Run, measure, pairs
from benchmarks.subject import SUBJECTS
from benchmarks.workload import WORKLOADS, Workload

OURS = "ours"
QUICK_PEERS = ("stdlib", "raw", "uvloop")
_FULL = Plan(rounds=5, seconds=1.0, warm_s=0.2, idle_s=2.0, shutdowns=10, budget_s=1800, cores=cores.Cores((), (), ()))
_QUICK = replace(_FULL, rounds=3, seconds=0.4, warm_s=0.1, idle_s=1.0, shutdowns=4, budget_s=90)

EPILOG = """\
workloads:
{workloads}

servers:
{servers}

examples:
  python -m benchmarks                                   everything, five rounds
  python -m benchmarks --quick                           a first look, within two minutes
  python -m benchmarks conn udp --against stdlib,raw     two workloads, two peers
  python -m benchmarks threads --spread --rounds 9       threads on all cores, more rounds
  python -m benchmarks echo64 --json echo.json --no-plot
"""


class Bad(Exception):
    """What the user asked for cannot be done; the message is one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, exit status 2: the usage is one --help away."""
        self.exit(2, f"{self.prog}: {message}\n")


def _within(low: float, high: float, kind: Callable[[str], float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return number


def _parser() -> argparse.ArgumentParser:
    def lines(items: dict[str, str]) -> str:
        return "\n".join(f"  {name:16}{summary}" for name, summary in items.items())

    parser = _Parser(
        prog="python -m benchmarks",
        description="Measure this project against other socket servers on 127.0.0.1, in interleaved rounds.",
        epilog=EPILOG.format(
            workloads=lines({work.name: work.summary for work in WORKLOADS.values()}),
            servers=lines({subject.name: subject.summary for subject in SUBJECTS.values()}),
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="what to measure (default: all of them)")
    parser.add_argument("--rounds", type=_within(1, 100, int), metavar="N", help="rounds (default: 5, quick: 3)")
    parser.add_argument(
        "--secs",
        type=_within(0.05, 30, float),
        metavar="S",
        help="seconds of load per sample (default: 1, quick: 0.4)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer servers and rounds: ends within two minutes")
    parser.add_argument(
        "--against", metavar="NAMES", help="peers, separated by commas (default: all that are installed)"
    )
    parser.add_argument(
        "--spread",
        action="store_true",
        help="servers may use every core (default: server and client share one)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the samples go (default: results/latest.json)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="SVG or PNG (default: results/latest.svg)")
    parser.add_argument("--no-plot", action="store_true", help="no picture")
    return parser


def _works(names: list[str]) -> list[Workload]:
    for name in names:
        if name not in WORKLOADS:
            raise Bad(f"no workload {name!r}; there are {', '.join(WORKLOADS)}")
    return [WORKLOADS[name] for name in dict.fromkeys(names)] or list(WORKLOADS.values())


def _subjects(against: str | None, quick: bool) -> list[str]:
    peers = [name for name in SUBJECTS if name != OURS]
    if against is not None:
        asked = [name.strip() for name in against.split(",") if name.strip()]
        for name in asked:
            if name not in peers:
                raise Bad(f"no server {name!r} to measure against; there are {', '.join(peers)}")
        peers = list(dict.fromkeys(asked))
    elif quick:
        peers = list(QUICK_PEERS)
    chosen = [OURS, *peers]
    for name in chosen:
        if not SUBJECTS[name].installed:
            print(f"{name}: {SUBJECTS[name].needs} is not installed, left out", file=sys.stderr)
    return [name for name in chosen if SUBJECTS[name].installed]


def _plan(options: argparse.Namespace) -> Plan:
    plan = _QUICK if options.quick else _FULL
    place = cores.spread if options.spread else cores.together
    return replace(
        plan,
        rounds=int(options.rounds or plan.rounds),
        seconds=options.secs or plan.seconds,
        cores=place(cores.allowed()),
    )


def _writable(path: Path) -> Path:
    """`path`; said before minutes of work, not after."""
    if not path.parent.is_dir():
        raise Bad(f"{path}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise Bad(f"{path}: cannot be written")
    return path


def _picture(options: argparse.Namespace) -> Path | None:
    if options.no_plot:
        return None
    path = options.plot or results.FOLDER / "latest.svg"
    if path.suffix not in (".svg", ".png"):
        raise Bad(f"{path}: a plot is a .svg or a .png")
    return _writable(path)


def main(argv: list[str]) -> int:
    """Returns the exit status: 0, 1 when a server failed, 2 for bad input, 130 after Ctrl-C."""
    options = _parser().parse_args(argv)
    try:
        if sys.platform != "linux":
            raise Bad("needs Linux: it reads /proc and pins processes to cores")
        works = _works(options.workloads)
        subjects = _subjects(options.against, options.quick)
        plan = _plan(options)
        json_path = _writable(options.json or results.FOLDER / "latest.json")
        picture = _picture(options)
    except Bad as bad:
        print(f"python -m benchmarks: {bad}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that every server is ended on the way out
    cores.pin(cores.text(plan.cores.watcher))
    return _measure(works, subjects, plan, json_path, picture)


def _measure(works: list[Workload], subjects: list[str], plan: Plan, json_path: Path, picture: Path | None) -> int:
    run, status = Run(), 0
    todo = len(list(pairs(works, subjects))) * plan.rounds
    try:
        with progress(todo, plan.rounds) as step:
            measure(run, works, subjects, plan, step)
    except KeyboardInterrupt:
        status = 130
    table.show(run, works)
    for failure in run.failures:
        print(failure, file=sys.stderr)
    results.write(json_path, run, plan)
    print(f"samples: {json_path}")
    if picture and plot.draw(picture, run, works):
        print(f"plot: {picture}")
    return status or bool(run.failures)
