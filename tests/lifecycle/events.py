"""What happens to each connection, told by a pipe that every thread and every forked child writes into."""

from __future__ import annotations

import os
import select
import time
from collections import defaultdict

from tests.serving import DEADLINE


class Events:
    """One letter an event, one string a connection, which is known by its client's port.

    A line is shorter than PIPE_BUF, so writers do not mix, and the pipe is larger than any test here fills.
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._cut = b""
        self._seen: dict[int, str] = defaultdict(str)

    def tell(self, port: int, event: str) -> None:
        """Any thread, any child."""
        os.write(self._writing, b"%d %s\n" % (port, event.encode()))

    def of(self, port: int) -> str:
        """What has happened to this connection so far."""
        self._read()
        return self._seen[port]

    def wait(self, port: int, event: str) -> str:
        """Wait for one that ends in ``event``; return all of them."""
        deadline = time.monotonic() + DEADLINE
        while event not in self.of(port):
            left = deadline - time.monotonic()
            assert left > 0, f"connection {port} has come to {self._seen[port]!r} only, and {event!r} is missing"
            select.select([self._reading], [], [], left)
        return self._seen[port]

    def _read(self) -> None:
        try:
            while piece := os.read(self._reading, 1 << 16):
                *lines, self._cut = (self._cut + piece).split(b"\n")
                for line in lines:
                    port, _, event = line.partition(b" ")
                    self._seen[int(port)] += event.decode()
        except BlockingIOError:
            pass

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)
