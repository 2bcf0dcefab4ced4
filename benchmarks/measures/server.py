"""Starting a server that is to be measured."""

from benchmarks import cores
from benchmarks.child import Child
from benchmarks.plan import Plan
from benchmarks.workload import Workload

START_S = 10.0


def start(work: Workload, subject: str, plan: Plan) -> tuple[Child, int]:
    """A fresh process on a fresh port (the kernel's choice), listening; Failed if it does not."""
    child = Child("benchmarks.servers", [subject, work.mode, cores.text(plan.cores.server)])
    try:
        return child, int(child.read_line(START_S))
    except BaseException:
        child.end()
        raise
