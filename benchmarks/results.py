"""A run as JSON: every sample, and what it was measured on."""

import importlib.metadata
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import comparison
from benchmarks.plan import Plan
from benchmarks.run import Run
from benchmarks.workload import WORKLOADS

FOLDER = Path(__file__).resolve().parent / "results"


def versions() -> dict[str, str]:
    """Of the interpreter, the kernel and the peers that are installed."""
    found = {"python": platform.python_version(), "kernel": platform.release().partition("-")[0]}
    for name in ("uvloop", "gevent"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def document(run: Run, plan: Plan) -> dict[str, Any]:
    """Everything a later reader needs to judge the figures; no path or name of the machine."""
    return {
        "versions": versions(),
        "cpus": os.cpu_count(),
        "plan": asdict(plan),
        "rounds": run.rounds,
        "failures": run.failures,
        "workloads": {
            work.name: {
                "summary": work.summary,
                "unit": work.measure.value,
                "rows": [asdict(row) for row in comparison.rows(samples)],
            }
            for work in WORKLOADS.values()
            if (samples := [sample for sample in run.samples if sample.workload == work.name])
        },
        "samples": [asdict(sample) for sample in run.samples],
    }


def write(path: Path, run: Run, plan: Plan) -> None:
    """Write the run to `path`; OSError where that is not possible."""
    path.write_text(json.dumps(document(run, plan), indent=1) + "\n")
