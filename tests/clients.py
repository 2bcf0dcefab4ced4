"""Clients: one socket against one server, of whatever kind; every wait has a deadline."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from tests.serving import DEADLINE


@contextlib.contextmanager
def connected(server: Any) -> Iterator[socket.socket]:
    """A socket that is connected to the server; for datagrams, one that has a name, so that an answer finds it."""
    kind, family = server.socket.type, server.socket.family
    own = None
    with socket.socket(family, kind) as client:
        client.settimeout(DEADLINE)
        if family == socket.AF_UNIX and kind == socket.SOCK_DGRAM:
            own = f"{server.server_address}.{client.fileno()}"
            client.bind(own)
        try:
            client.connect(server.server_address)
            yield client
        finally:
            if own is not None:
                os.unlink(own)


def say(client: socket.socket, message: bytes) -> None:
    """Send all there is to say.  With nothing to say, a handler that does not read may have answered and gone."""
    if client.type == socket.SOCK_DGRAM:
        client.sendall(message)
        return
    if message:  # once the peer has gone, a Unix socket refuses to send even nothing
        client.sendall(message)
    with contextlib.suppress(OSError):  # some systems call it unconnected then
        client.shutdown(socket.SHUT_WR)


def hear(client: socket.socket) -> bytes:
    """A stream to its end, or one packet."""
    if client.type == socket.SOCK_DGRAM:
        return client.recv(65536)
    heard = bytearray()
    while piece := client.recv(65536):
        heard += piece
    return bytes(heard)


def ask(server: Any, message: bytes, meanwhile: Callable[[], object] | None = None) -> bytes:
    """One request and its answer; ``meanwhile`` is called between the two (``server.handle_request``, say)."""
    with connected(server) as client:
        say(client, message)
        if meanwhile is not None:
            meanwhile()
        return hear(client)
