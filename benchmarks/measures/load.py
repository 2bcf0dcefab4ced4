"""Server CPU per request under load: fresh server, fresh load generator, warm-up, then the measured run."""

import json
import time

from benchmarks import cores, procfs
from benchmarks.child import Child, Failed
from benchmarks.measures import server
from benchmarks.plan import Plan
from benchmarks.sample import Sample
from benchmarks.workload import Workload

ANSWER_S = 10.0  # beyond the run itself: drain, percentiles, a slow machine


def take(work: Workload, subject: str, number: int, plan: Plan) -> Sample:
    """One sample, the least disturbed of at most `plan.retries` + 1."""
    best = _once(work, subject, number, plan)
    for _ in range(plan.retries):
        if best.foreign <= plan.foreign:
            break
        best = min(best, _once(work, subject, number, plan), key=lambda sample: sample.foreign)
    return best


def _once(work: Workload, subject: str, number: int, plan: Plan) -> Sample:
    child, port = server.start(work, subject, plan)
    with child, _client(work, port, plan) as client:
        client.read_line(ANSWER_S)
        if not _run(client, plan.warm_s, plan.limit)["done"]:
            raise Failed(f"{work.name} {subject}: nothing was answered")
        used, busy, began = procfs.cpu_s(child.pid), procfs.busy_s(plan.cores.used), time.perf_counter()
        result = _run(client, plan.seconds, plan.limit)
        wall = time.perf_counter() - began
        used, busy = procfs.cpu_s(child.pid) - used, procfs.busy_s(plan.cores.used) - busy
        done = int(result["done"])
        if not done:
            raise Failed(f"{work.name} {subject}: nothing was answered")
        return Sample(
            workload=work.name,
            subject=subject,
            round=number,
            cost=1e6 * used / done,
            done=done,
            errors=int(result["errors"] + result["lost"]),
            rate=done / result["wall_s"],
            p50_us=result["p50_us"],
            p99_us=result["p99_us"],
            wall_s=wall,
            server_cpu_s=used,
            load_cpu_s=result["cpu_s"],
            foreign=max(0.0, busy - used - result["cpu_s"]) / (wall * len(plan.cores.used)),
            resident_bytes=procfs.resident_bytes(child.pid),
        )


def _client(work: Workload, port: int, plan: Plan) -> Child:
    arguments = [work.kind, str(port), str(work.concurrency), str(work.size), cores.text(plan.cores.load)]
    return Child("benchmarks.load", arguments)


def _run(client: Child, seconds: float, limit: int) -> dict[str, float]:
    client.tell(f"{seconds} {limit}")
    answer: dict[str, float] = json.loads(client.read_line(seconds + ANSWER_S))
    return answer
