"""What is measured: a table. A new workload is an entry here, and a mode in the runners if it needs one."""

import enum
from dataclasses import dataclass

EVERYBODY = ("ours", "stdlib", "raw", "asyncio", "uvloop", "gevent")


class Measure(enum.Enum):
    """How a sample is taken; one file each in benchmarks/measures."""

    LOAD = "us of server CPU per request"
    SHUTDOWN = "ms until shutdown() returned"
    IDLE = "wake-ups per second of an idle server"


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    `mode` is what the server must serve (README.md lists them), `kind` which load generator runs against it,
    with `concurrency` connections or sockets and messages of `size` bytes.
    """

    name: str
    summary: str
    mode: str
    measure: Measure = Measure.LOAD
    kind: str = "conn"
    concurrency: int = 64
    size: int = 64
    subjects: tuple[str, ...] = EVERYBODY


WORKLOADS = {
    work.name: work
    for work in (
        Workload("conn", "connect, send 64 B, read 64 B, close; 64 at a time", "once"),
        Workload("line", "the same, a line through rfile and wfile", "line"),
        Workload("echo64", "50 persistent connections, 64 B to and fro", "echo", kind="echo", concurrency=50),
        Workload(
            "echo64-threads",
            "the same on a pool of 8 threads / a thread each",
            "echo-threads",
            kind="echo",
            concurrency=50,
            subjects=("ours", "stdlib"),
        ),
        Workload("udp", "64 sockets, one datagram of 64 B in flight each", "udp", kind="udp"),
        Workload(
            "threads",
            "conn on a pool of 8 threads / a thread each",
            "threads",
            subjects=("ours", "stdlib", "raw"),
        ),
        Workload("fork", "conn, a forked child per request", "fork", subjects=("ours", "stdlib", "raw")),
        Workload(
            "shutdown",
            "from shutdown() on another thread to its return",
            "once",
            measure=Measure.SHUTDOWN,
            subjects=("ours", "stdlib"),
        ),
        Workload(
            "idle",
            "a server nobody talks to, after one request",
            "once",
            measure=Measure.IDLE,
            subjects=("ours", "stdlib"),
        ),
        Workload(
            "idle-threads",
            "the same on a thread pool / a thread each",
            "threads",
            measure=Measure.IDLE,
            subjects=("ours", "stdlib"),
        ),
    )
}
