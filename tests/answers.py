"""Answers: the handlers that most tests serve with."""

from __future__ import annotations

import os
import threading
from typing import Any

from handlers import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler
from tests.hold import Hold


class Upper(StreamRequestHandler):
    """All that the client says, in upper case, once it has said it."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


class UpperPacket(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


class Whereabouts(StreamRequestHandler):
    """The process and the thread in which the handler runs."""

    def handle(self) -> None:
        self.wfile.write(f"{os.getpid()} {threading.current_thread().name}".encode())


class WhereaboutsOfPacket(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(f"{os.getpid()} {threading.current_thread().name}".encode())


def here() -> bytes:
    """What Whereabouts says when it runs where the caller does."""
    return f"{os.getpid()} {threading.current_thread().name}".encode()


def held_by(hold: Hold) -> type[BaseRequestHandler]:
    """A stream handler that stops at ``hold``, and then answers as Upper does."""

    class Held(Upper):
        def handle(self) -> None:
            hold()
            super().handle()

    return Held


def raising(error: BaseException) -> type[BaseRequestHandler]:
    """A handler that raises."""

    class Raising(BaseRequestHandler):
        def handle(self) -> Any:
            raise error

    return Raising
