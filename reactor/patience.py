"""Patience: waits that may be as long as one likes.  The system counts milliseconds in an int, some 24 days."""

from __future__ import annotations

import select
import time
from math import ceil

LONGEST = 24 * 3600.0  # seconds of one wait in the system; arbitrary, far below its limit


def wait_for(poll: select.poll, timeout: float | None) -> list[tuple[int, int]]:
    """Any thread.  What is ready of ``poll``, after at most ``timeout`` seconds (None or inf: as long as it takes).

    Never returns early with nothing, which would make a caller spin.
    """
    if timeout is None:
        return poll.poll()
    deadline = time.monotonic() + timeout
    while True:
        left = min(LONGEST, max(0.0, deadline - time.monotonic()))
        ready = poll.poll(ceil(left * 1000))
        if ready or time.monotonic() >= deadline:
            return ready
