"""A pair of connected sockets, each with a deadline for every wait."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from tests.serving import DEADLINE


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(DEADLINE)
        theirs.settimeout(DEADLINE)
        yield ours, theirs
