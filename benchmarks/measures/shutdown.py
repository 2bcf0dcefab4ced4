"""How long `server.shutdown()` takes when another thread calls it."""

import json
import statistics
import time

from benchmarks.child import Child
from benchmarks.plan import Plan
from benchmarks.sample import Sample
from benchmarks.shutdown_latency import POLL_S, STUCK_S
from benchmarks.workload import Workload


def take(work: Workload, subject: str, number: int, plan: Plan) -> Sample:
    """The median of `plan.shutdowns` calls, in ms."""
    began = time.perf_counter()
    with Child("benchmarks.shutdown_latency", [subject, work.mode, str(plan.shutdowns)]) as child:
        times_ms: list[float] = json.loads(child.read_line(plan.shutdowns * 2 * POLL_S + STUCK_S))
    return Sample(
        workload=work.name,
        subject=subject,
        round=number,
        cost=statistics.median(times_ms),
        done=len(times_ms),
        wall_s=time.perf_counter() - began,
    )
