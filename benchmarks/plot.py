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
        figsize=(8, 0.9 + 0.24 * sum(len(rows) + 1 for _, rows in bars)), layout="constrained"
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
            assert row.over_stdlib is not None
            label = None if row.subject in named else f"{row.subject}: {SUBJECTS[row.subject].summary}"
            named.add(row.subject)
            axes.barh(place, row.over_stdlib, height=_BAR, color=_COLOURS[row.subject], label=label)
            axes.text(row.over_stdlib, place, f" {row.over_stdlib:.2f}", va="center", fontsize=8)
            place += 1
        place += 1
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks([where for where, _ in ticks], [name for _, name in ticks])
    axes.invert_yaxis()
    axes.set_xlabel("times cheaper than the standard library (server CPU per request, logarithmic)")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False, ncols=1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
