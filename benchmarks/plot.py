"""The picture: how many times cheaper than the standard library each server is, per workload."""

from pathlib import Path
from typing import Any

from benchmarks import comparison, optional
from benchmarks.comparison import Row
from benchmarks.run import Run
from benchmarks.subject import SUBJECTS
from benchmarks.workload import Measure, Workload

_COLOURS = {
    "ours": "#c2410c",
    "raw": "#374151",
    "asyncio": "#60a5fa",
    "uvloop": "#2563eb",
    "gevent": "#10b981",
}
_MARKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
_BAR = 0.8  # of the distance between two bars


def draw(path: Path, run: Run, works: list[Workload]) -> bool:
    """Write an SVG or PNG, by the suffix of `path`; False when there is nothing to draw or no matplotlib."""
    matplotlib = optional.load("matplotlib")
    bars = _bars(run, works)
    if matplotlib is None or not bars:
        return False
    matplotlib.use("Agg")
    # the same figures give the same file, so that a committed plot changes only when they do
    matplotlib.rcParams["svg.hashsalt"] = "benchmarks"
    matplotlib.rcParams["svg.fonttype"] = "none"
    figure, axes = optional.load("matplotlib.pyplot").subplots(
        figsize=(8, 1.8 + 0.2 * sum(len(rows) + 1 for _, rows in bars)), layout="constrained"
    )
    _fill(axes, bars)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return True


def _bars(run: Run, works: list[Workload]) -> list[tuple[Workload, list[Row]]]:
    found = []
    for work in works:
        if work.measure is not Measure.LOAD:
            continue
        rows = comparison.rows([sample for sample in run.samples if sample.workload == work.name])
        if rows := [row for row in rows if row.over_stdlib is not None and row.subject != "stdlib"]:
            found.append((work, rows))
    return found


def _fill(axes: Any, bars: list[tuple[Workload, list[Row]]]) -> None:
    place, ticks, named = 0.0, [], set()
    for work, rows in bars:
        ticks.append((place + (len(rows) - 1) / 2, work.name))
        for row in rows:
            ratio = row.over_stdlib or 1.0
            label = None if row.subject in named else f"{row.subject}: {SUBJECTS[row.subject].summary}"
            named.add(row.subject)
            # from 1, not from the edge: on a logarithmic axis only the distance from 1 has a length to compare
            axes.barh(place, ratio - 1, left=1, height=_BAR, color=_COLOURS[row.subject], label=label)
            side = "right" if ratio < 1 else "left"
            axes.text(ratio, place, f" {ratio:.2f} ", va="center", ha=side, fontsize=8)
            place += 1
        place += 1
    axes.margins(x=0.12)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    marks = [mark for mark in _MARKS if low <= mark <= high]
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_yticks([where for where, _ in ticks], [name for _, name in ticks])
    axes.invert_yaxis()
    axes.set_xlabel("times cheaper than the standard library (server CPU per request, logarithmic)")
    axes.figure.legend(fontsize=8, loc="outside lower center", frameon=False, ncols=1)
    axes.spines[["top", "right"]].set_visible(False)
