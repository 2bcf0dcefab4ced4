"""What a test must give back: descriptors, threads and children, counted before and after.

    before = Census.take()
    ...
    assert not before.leaks()

The fixture `leaks` in conftest.py does this round every test; a property test does it round each of its examples.

Two kinds get a grace, and both end by an event rather than by a sleep: a thread is joined (a worker that was told to
stop may still be on its way out), and a descriptor is looked for again after one garbage collection. A child gets
none: once a test's threads are gone, nobody is left who would reap it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

# Seconds, for all threads of one test together. Arbitrary: long for a loaded machine, short beside the test's timeout.
GRACE = 5.0

_FD_FOLDER = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"


@dataclass(frozen=True)
class Census:
    """What this process holds at one moment."""

    descriptors: frozenset[tuple[int, str]]
    threads: frozenset[threading.Thread]
    children: frozenset[int]

    @classmethod
    def take(cls) -> Census:
        return cls(open_descriptors(), frozenset(threading.enumerate()), children())

    def leaks(self, grace: float = GRACE) -> list[str]:
        """One line for each thing held now and not then. Waits up to `grace` seconds for threads on their way out."""
        deadline = time.monotonic() + grace
        for thread in set(threading.enumerate()) - self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        found = [f"thread {thread.name}" for thread in set(threading.enumerate()) - self.threads]
        found += [f"child {pid}: {describe_child(pid)}" for pid in children() - self.children]
        if open_descriptors() - self.descriptors:
            gc.collect()
            found += [f"descriptor {fd}: {what}" for fd, what in open_descriptors() - self.descriptors]
        return sorted(found)

    def end_children(self) -> None:
        """Kill and reap the children that came since, so that one test's leak is not the next one's."""
        for pid in children() - self.children:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def open_descriptors() -> frozenset[tuple[int, str]]:
    """Every open descriptor with what it stands for, so that a number closed and used again is told apart."""
    found = []
    for name in os.listdir(_FD_FOLDER):
        # The folder's own descriptor is in the listing, and closed by now.
        with contextlib.suppress(OSError):
            found.append((int(name), describe_descriptor(int(name))))
    return frozenset(found)


def describe_descriptor(fd: int) -> str:
    """`socket:[12345]`, `pipe:[..]`, a path; elsewhere than on Linux the device and inode. OSError: it is closed."""
    if sys.platform == "linux":
        return os.readlink(f"{_FD_FOLDER}/{fd}")
    status = os.fstat(fd)
    return f"mode {status.st_mode:o} device {status.st_dev} inode {status.st_ino}"


def children() -> frozenset[int]:
    """The pids of this process's children, those not reaped yet included."""
    tasks = Path("/proc/self/task")
    if tasks.is_dir():
        pids: list[str] = []
        for task in tasks.iterdir():
            with contextlib.suppress(OSError):  # the thread ended meanwhile
                pids += (task / "children").read_text().split()
        return frozenset(map(int, pids))
    table = subprocess.run(["ps", "-axo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    rows = [row.split(None, 2) for row in table.splitlines()]
    return frozenset(int(pid) for pid, parent, what in rows if int(parent) == os.getpid() and what != "ps")


def describe_child(pid: int) -> str:
    """Its state and command line, as far as the system tells."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "unknown"
    return "ended, not reaped" if state == "Z" else f"state {state}, {command}"
