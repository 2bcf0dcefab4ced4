"""The two walks of docs/architecture.md, traced: on one leg, no module is entered again while it is on the stack.

A leg is what one thread or child does from one wake-up to the next: a callback of the loop, a job on a worker, a child
from its fork to its end.  Between legs a request travels by post, by the selector or by fork.

Room and module are the same here, with three exceptions that stand below each other by design and call each other's
helpers freely: a class and the class it extends (job, connection, packet; base, stream, turn), and the contract whose
methods every strategy inherits.  The loop itself is where a leg begins, so it is no room; nor are the helpers that are
called and return without calling on (timers, mailbox, latch, lifecycle, errors).
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from handlers import PARK, DatagramRequestHandler, TurnHandler
from reactor import Reactor, TCPServer, UDPServer
from strategies import ForkPerRequest, ThreadPool
from tests.clients import connected
from tests.serving import DEADLINE, Serving

SAME_ROOM = {
    "reactor.job": "reactor.connection",
    "reactor.packet": "reactor.connection",
    "handlers.base": "handlers",
    "handlers.stream": "handlers",
    "handlers.turn": "handlers",
    "handlers.datagram": "handlers",
}
NO_ROOM = {
    *("reactor.loop", "reactor.timers", "reactor.mailbox", "reactor.latch", "reactor.lifecycle", "reactor.errors"),
    *("reactor.host", "strategies.contract"),
}
#: Where a leg begins: in what a turn calls, in a worker, in a child, and in the child's leaving all behind.
BEGINNINGS = {
    ("reactor.loop", "turn"),
    ("strategies.threads", "_work"),
    ("strategies.children", "_child"),
    ("reactor.host", "abandon"),
}


def room(frame: FrameType) -> str | None:
    module = frame.f_globals.get("__name__", "")
    if module.partition(".")[0] not in ("reactor", "strategies", "handlers") or module in NO_ROOM:
        return None
    return SAME_ROOM.get(module, module)


class Walk:
    """Profiles every thread that starts while it is on, this one too; children inherit it."""

    def __init__(self) -> None:
        self.legs: set[tuple[str, ...]] = set()
        self.again: set[str] = set()
        self.reading, self.writing = os.pipe()

    def __enter__(self) -> Walk:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or (entered := room(frame)) is None:
            return
        stack = [entered]
        above = frame.f_back
        while above is not None:
            if (above.f_globals.get("__name__"), above.f_code.co_name) in BEGINNINGS:
                break
            if (behind := room(above)) is not None and behind != stack[-1]:
                stack.append(behind)
            above = above.f_back
        else:
            return  # building up, and taking down: no leg
        stack.reverse()
        leg = tuple(name.rpartition(".")[2] for name in stack)
        self.legs.add(leg)
        if len(set(stack)) < len(stack):
            self.again.add(" > ".join(leg))
            os.write(self.writing, (" > ".join(leg) + "\n").encode())  # a child has no other way to tell

    def close(self) -> set[str]:
        """The legs on which a room was entered again, in this process and in its children."""
        os.close(self.writing)
        with os.fdopen(self.reading) as told:
            return self.again | set(told.read().split("\n")) - {""}

    def has(self, *rooms: str) -> bool:
        """Whether some leg passes these, one directly after the other."""
        return any(rooms == leg[at : at + len(rooms)] for leg in self.legs for at in range(len(leg)))


@pytest.fixture
def walk() -> Iterator[Walk]:
    walk = Walk()
    yield walk
    assert walk.close() == set(), "a room was entered again while it was on the stack"


class Echo(TurnHandler):
    def handle(self) -> Any:
        line = self.rfile.readline()
        self.wfile.write(line)
        return PARK if line else None


class EchoPacket(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read())


def test_a_connection_on_a_pool_kept_alive_and_drained(walk: Walk) -> None:
    """Walk (a)."""
    with walk, Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Echo, strategy=ThreadPool(2)))
        with Serving(reactor), connected(server) as client:
            for _ in range(3):
                client.sendall(b"again\n")
                assert client.recv(100) == b"again\n"
            assert reactor.drain(DEADLINE).cut == ()  # type: ignore[union-attr]
            assert client.recv(100) == b""
    assert walk.has("listener", "taking", "server", "requests", "parking"), walk.legs
    assert walk.has("connection", "server", "handlers"), walk.legs
    assert walk.has("connection", "requests"), "handed on"
    assert walk.has("requests", "parking"), walk.legs
    assert walk.has("parking", "requests", "threads"), walk.legs


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
def test_a_packet_in_a_child_of_its_own(walk: Walk) -> None:
    """Walk (b)."""
    with walk:
        server = UDPServer(("127.0.0.1", 0), EchoPacket, strategy=ForkPerRequest())
        with server, Serving(server), connected(server) as client:
            client.send(b"ping")
            assert client.recv(100) == b"ping"
    assert walk.has("listener", "taking", "server", "requests", "forking", "children"), walk.legs
    assert walk.has("forking", "connection"), "the parent's copy is left"
    assert walk.has("children", "forking", "requests"), "reaped, and settled"


def test_a_walk_that_comes_back_is_seen(walk: Walk) -> None:
    """The tracer itself: a handler that calls its own server's hooks enters the server again."""

    class Reentrant(TurnHandler):
        speaks_first = True

        def handle(self) -> Any:
            self.server.verify_request(self.request, self.client_address)

    with walk:
        server = TCPServer(("127.0.0.1", 0), Reentrant)
        with server, Serving(server), socket.create_connection(server.server_address) as client:
            assert client.recv(10) == b""
    found, walk.again = walk.again, set()
    os.read(walk.reading, 65536)
    assert any(leg.endswith("server > handlers > server") or "server" in leg for leg in found)
    assert found
