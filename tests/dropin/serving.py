"""Serving with either module: what the original has to be told, and by whom, to end without waiting for its poll."""

from __future__ import annotations

import contextlib
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from tests.serving import DEADLINE

POLL = 0.01  # seconds: the original looks for a shutdown() so often
NEVER = 3600.0  # seconds: what ends before has not waited for a poll


class Thread(threading.Thread):
    """``serve_forever()`` on a thread; ``error`` is what it raised."""

    def __init__(self, server: Any, poll_interval: float = POLL) -> None:
        super().__init__(name="serving")
        self.server = server
        self.poll_interval = poll_interval
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.server.serve_forever(self.poll_interval)
        except BaseException as error:  # noqa: BLE001  # told to the test's thread
            self.error = error

    def ended(self) -> BaseException | None:
        """Wait until it has ended by itself; return what it raised."""
        self.join(DEADLINE)
        assert not self.is_alive(), "still serving"
        error, self.error = self.error, None
        return error


@contextlib.contextmanager
def serving(server: Any, poll_interval: float = POLL) -> Iterator[Thread]:
    """The server is served inside the block, and closed after it."""
    thread = Thread(server, poll_interval)
    thread.start()
    try:
        yield thread
    finally:
        if thread.is_alive():
            server.shutdown()
        thread.join(DEADLINE)
        server.server_close()
        assert not thread.is_alive(), "still serving"
    if thread.error is not None:
        raise thread.error


@contextlib.contextmanager
def serving_beside_fork(server: Any) -> Iterator[Any]:
    """As ``serving()``; the warning of a fork beside threads is not what is looked at here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "forking beside", RuntimeWarning)
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        with serving(server):
            yield server


def ask(server: Any, message: bytes = b"hello") -> bytes:
    """One request to a stream server, and the answer to its end."""
    with connect(server) as client:
        return say(client, message)


def connect(server: Any) -> socket.socket:
    address = server.server_address
    client = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    client.settimeout(DEADLINE)
    try:
        client.connect(address)
    except BaseException:
        client.close()
        raise
    return client


def say(client: socket.socket, message: bytes = b"hello") -> bytes:
    with contextlib.suppress(OSError):  # a server that has closed already
        client.sendall(message)
        client.shutdown(socket.SHUT_WR)
    return hear(client)


def hear(client: socket.socket) -> bytes:
    heard = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            heard += piece
    return bytes(heard)
