"""Meter: whether a thread is at work, or waits for something.

At work is who computes, and who would but for want of a processor: the kernel counts both, see proc(5) on schedstat.
Where it does not tell, the processor's time alone has to do, and a thread that is crowded out looks idle.
"""

from __future__ import annotations

import os
import time
from _thread import get_ident


class Meter:
    """One thread's.  ``begin()`` is for that thread, the rest for another; ``close()`` gives the descriptor back."""

    def __init__(self) -> None:
        self._file = -1
        self._clock: int | None = None
        self._looked = 0.0
        self._worked = 0.0

    def begin(self) -> None:
        """It is the calling thread that is measured."""
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # no such system, or no descriptor left
            if hasattr(time, "pthread_getcpuclockid"):
                self._clock = time.pthread_getcpuclockid(get_ident())

    def share(self) -> float:
        """How much of the time since the last call the thread was at work, from 0 to 1; 1 where nobody tells."""
        before, self._looked = self._looked, time.monotonic()
        earlier = self._worked
        try:
            if self._file >= 0:
                computed, crowded_out = os.pread(self._file, 80, 0).split()[:2]
                self._worked = (int(computed) + int(crowded_out)) / 1e9
            elif self._clock is not None:
                self._worked = time.clock_gettime(self._clock)
            else:
                return 1.0
        except (OSError, ValueError):  # the thread has ended
            return 0.0
        return (self._worked - earlier) / (self._looked - before)

    def close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
