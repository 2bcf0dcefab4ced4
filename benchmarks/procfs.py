"""What the kernel says about processes and cores (Linux: /proc and the per-process CPU clocks).

A process that is gone while it is being read counts as 0; nothing here raises for it.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2  # <linux/posix-timers.h>: the scheduler's own nanosecond count


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _clock_s(pid: int) -> float:
    """CPU seconds of every thread of `pid`, living or ended, in nanosecond steps.

    clock_getcpuclockid(3) is not in the time module, but its result is plain arithmetic on the pid;
    /proc/PID/stat would give 10 ms steps, 2 % of a half-second sample.
    """
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def _reaped_s(pid: int) -> float:
    """CPU seconds of the children that `pid` has waited for (10 ms steps: the kernel gives nothing finer)."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) * _TICK_S if fields else 0.0


def family(pid: int) -> list[int]:
    """`pid` and its living descendants."""
    found, todo = [], [pid]
    while todo:
        current = todo.pop()
        found.append(current)
        for task in _tasks(current):
            todo.extend(map(int, _text(f"{task}/children").split()))
    return found


def _tasks(pid: int) -> list[str]:
    try:
        return [f"/proc/{pid}/task/{tid}" for tid in os.listdir(f"/proc/{pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_s(pid: int) -> float:
    """CPU seconds used so far by `pid`, its living descendants, and those already reaped."""
    return sum(_clock_s(p) + _reaped_s(p) for p in family(pid))


def wakeups(pid: int) -> int:
    """Voluntary context switches so far: how often a thread of the family went to sleep, so was woken."""
    total = 0
    for member in family(pid):
        for task in _tasks(member):
            for line in _text(f"{task}/status").splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    total += int(line.split()[1])
    return total


def resident_bytes(pid: int) -> int:
    """Resident memory of the family, in bytes; pages shared after a fork count once per process."""
    pages = (_text(f"/proc/{member}/statm").split() for member in family(pid))
    return sum(int(fields[1]) for fields in pages if fields) * os.sysconf("SC_PAGE_SIZE")


def busy_s(cores: Iterable[int]) -> float:
    """Seconds the cores were not idle, whoever used them; time stolen by the hypervisor is in it."""
    names = {f"cpu{core}" for core in cores}
    total = 0
    for line in _text("/proc/stat").splitlines():
        name, *fields = line.split()
        if name in names:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            total += user + nice + system + irq + softirq + steal
    return total * _TICK_S
