"""What a server costs while nobody talks to it."""

import socket
import time

from benchmarks import procfs
from benchmarks.child import Failed
from benchmarks.measures import server
from benchmarks.plan import Plan
from benchmarks.sample import Sample
from benchmarks.workload import Workload

SETTLE_S = 0.3  # the request's own thread may end in this time


def take(work: Workload, subject: str, number: int, plan: Plan) -> Sample:
    """Wake-ups per second, and CPU, over `plan.idle_s` seconds after one answered request."""
    child, port = server.start(work, subject, plan)
    with child:
        _ask(port, f"{work.name} {subject}")
        time.sleep(SETTLE_S)
        used, woken, began = procfs.cpu_s(child.pid), procfs.wakeups(child.pid), time.perf_counter()
        time.sleep(plan.idle_s)
        wall = time.perf_counter() - began
        return Sample(
            workload=work.name,
            subject=subject,
            round=number,
            cost=(procfs.wakeups(child.pid) - woken) / wall,
            done=1,
            wall_s=wall,
            server_cpu_s=procfs.cpu_s(child.pid) - used,
            resident_bytes=procfs.resident_bytes(child.pid),
        )


def _ask(port: int, name: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as sock:
        sock.sendall(b"hello\n")
        if sock.recv(64) != b"hello\n":
            raise Failed(f"{name}: wrong answer")
