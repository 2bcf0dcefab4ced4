"""A TurnHandler has nothing to say until its client has: new connections wait in the selector, and hold nothing."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from typing import Any

import pytest

from handlers import CLOSE, PARK, TurnHandler
from reactor import TCPServer
from strategies import ForkPerRequest, Inline, Prefork, Strategy, ThreadPerRequest, ThreadPool
from tests.clients import connected, hear, say
from tests.serving import DEADLINE, Serving


class Lines(TurnHandler):
    """A line back for each line, until there is none."""

    def handle(self) -> Any:
        line = self.rfile.readline()
        if not line:
            return CLOSE
        self.wfile.write(line.upper())
        return PARK


class Greets(Lines):
    speaks_first = True

    def setup(self) -> None:
        super().setup()
        self.wfile.write(b"hello\n")


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
@pytest.mark.parametrize(
    "make",
    [Inline, lambda: ThreadPool(1), ThreadPerRequest, lambda: ForkPerRequest(1), lambda: Prefork(1)],
    ids=["inline", "threads", "thread per request", "fork per request", "prefork"],
)
def test_the_silent_hold_nobody_up(make: Any) -> None:
    server = TCPServer(("127.0.0.1", 0), Lines, strategy=make())
    with server, Serving(server), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(server)) for _ in range(5)]
        with connected(server) as client:
            say(client, b"here\n")
            assert hear(client) == b"HERE\n"
        say(silent[3], b"late\n")
        assert hear(silent[3]) == b"LATE\n"


def test_the_silent_have_no_handler_and_no_thread() -> None:
    pool = ThreadPool(2)
    made: list[Any] = []

    class Counted(Lines):
        def __init__(self, *args: Any) -> None:
            made.append(args)
            super().__init__(*args)

    server = TCPServer(("127.0.0.1", 0), Counted, strategy=pool)
    with server, Serving(server), connected(server), connected(server) as client:
        client.sendall(b"here\n")
        assert client.recv(10) == b"HERE\n"
        assert len(made) == 1
        assert len(threading.enumerate()) <= 3  # this one, the loop's, and the one that served


def test_idle_timeout_counts_before_the_first_word() -> None:
    ended = threading.Event()
    begun: list[Any] = []

    class Brief(Lines):
        idle_timeout = 0.02

        def setup(self) -> None:
            super().setup()
            begun.append(self)

    class Server(TCPServer):
        def shutdown_request(self, request: Any) -> None:
            super().shutdown_request(request)
            ended.set()

    with Server(("127.0.0.1", 0), Brief) as server, Serving(server), connected(server) as client:
        assert client.recv(10) == b""
        assert ended.wait(DEADLINE)
    assert begun == []


def test_a_drain_closes_the_silent() -> None:
    with TCPServer(("127.0.0.1", 0), Lines, strategy=ThreadPool(1)) as server, Serving(server) as serving:
        with connected(server) as client, connected(server) as other:
            other.sendall(b"x\n")
            assert other.recv(10) == b"X\n"  # so both were taken
            report = server.in_reactor.drain(DEADLINE)
            assert client.recv(10) == b""
            assert report.cut == ()
        assert serving.ended() is None


def test_the_end_of_a_silent_client_is_its_first_word() -> None:
    lives: list[str] = []

    class Told(Lines):
        def setup(self) -> None:
            super().setup()
            lives.append("setup")

        def finish(self) -> None:
            super().finish()
            lives.append("finish")

    with TCPServer(("127.0.0.1", 0), Told) as server, Serving(server), connected(server) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b""
    assert lives == ["setup", "finish"]


@pytest.mark.parametrize("strategy", [None, ThreadPool(1)], ids=["inline", "threads"])
def test_one_that_greets(strategy: Strategy | None) -> None:
    with TCPServer(("127.0.0.1", 0), Greets, strategy=strategy) as server, Serving(server), connected(server) as client:
        assert client.recv(10) == b"hello\n"
        client.sendall(b"you\n")
        assert client.recv(10) == b"YOU\n"


def test_a_factory_speaks_first_unless_it_says() -> None:
    make = functools.partial(Greets)
    with TCPServer(("127.0.0.1", 0), make) as server, Serving(server), connected(server) as client:
        assert client.recv(10) == b"hello\n"
