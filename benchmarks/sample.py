"""One measurement of one server."""

from dataclasses import dataclass


@dataclass
class Sample:
    """`cost` is what is compared, lower is better, in the workload's unit; 0 is "not measured" elsewhere."""

    workload: str
    subject: str
    round: int
    cost: float
    done: int = 0
    errors: int = 0
    rate: float = 0.0  # requests per second of wall time
    p50_us: float = 0.0
    p99_us: float = 0.0
    wall_s: float = 0.0
    server_cpu_s: float = 0.0
    load_cpu_s: float = 0.0
    foreign: float = 0.0  # share (0 to 1) of the cores in use that went to neither server nor load
    resident_bytes: int = 0
