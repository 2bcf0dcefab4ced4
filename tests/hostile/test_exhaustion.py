"""Descriptors and buffers that run out, listeners that are closed: one line, a rest, and on."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from reactor import TCPServer
from reactor.listener import FAILURES, REST, Listener, Pause
from reactor.loop import Loop
from tests.answers import Upper
from tests.clients import ask
from tests.serving import DEADLINE, Serving

PROGRAM = r"""
import os, resource, socket, sys, threading, time
from reactor.server import attach
from handlers import TurnHandler, PARK
from reactor import TCPServer
from strategies import Inline, ThreadPool
import logging
logging.basicConfig(stream=sys.stdout, format="LOG %(message)s")

class Echo(TurnHandler):
    def handle(self):
        said = self.request.recv(10)
        if said:
            self.request.sendall(said)
        return PARK if said else None

class Server(TCPServer):
    request_queue_size = 128

server = Server(("127.0.0.1", 0), Echo, strategy=ThreadPool(1) if sys.argv[1] == "threads" else Inline())
kept = [socket.socket() for _ in range(60)]
resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
thread = threading.Thread(target=server.serve_forever)
thread.start()
for client in kept:
    client.connect(server.server_address)
    client.sendall(b"x")
# The server runs out now, with clients in the kernel's queue.
deadline = time.monotonic() + 10
while len(attach(server).requests.live) < 25 and time.monotonic() < deadline:
    time.sleep(0.01)
cpu = time.process_time()
time.sleep(0.5)
print("CPU", time.process_time() - cpu)
for client in kept[:30]:
    client.settimeout(5)
    if len(client.recv(10)) != 1:
        print("LOST")
    client.close()
for client in kept[30:]:
    client.settimeout(5)
    print("ANSWER", client.recv(10))
    client.close()
server.shutdown()
thread.join()
server.server_close()
"""


@pytest.mark.parametrize("strategy", ["inline", "threads"])
def test_out_of_descriptors_it_says_so_once_rests_and_goes_on_when_one_is_free(strategy: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, strategy], capture_output=True, text=True, timeout=40, cwd=os.getcwd(),
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    logged = [line for line in lines if line.startswith("LOG")]
    assert len(logged) == 1, logged
    assert re.match(r"LOG cannot accept: .*Too many open files.*; resting", logged[0])
    assert [line for line in lines if line.startswith("ANSWER")] == ["ANSWER b'x'"] * 30
    assert "LOST" not in lines
    (cpu,) = (float(line.split()[1]) for line in lines if line.startswith("CPU"))
    assert cpu < 0.15, "0.5 s of rest are near no work"


class Source:
    """A server for a listener, whose every take ends as the test says."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.write(self.writing, b"x")
        self.outcomes: list[int] = []
        self.takes = 0
        self.open = True

    def fileno(self) -> int:
        return self.reading if self.open else -1

    def take(self) -> OSError | None:
        self.takes += 1
        code = self.outcomes.pop(0) if self.outcomes else errno.EAGAIN
        return OSError(code, os.strerror(code)) if code else None

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


class Bench:
    """A listener in a loop with a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.loop = Loop(lambda: self.now)
        self.source = Source()
        self.gone = 0
        self.listener = Listener(self.loop, self.left)
        assert self.listener.start(self.source, self.source.take, None, 16)

    def left(self) -> None:
        self.gone += 1

    def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        with self.loop.led():
            self.loop.turn(0)

    def close(self) -> None:
        self.listener.stop()
        self.loop.close()
        self.source.close()


@pytest.fixture
def bench() -> Any:
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.logs("cannot accept")
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_every_kind_of_exhaustion_rests_and_is_logged_once(bench: Bench, logs: list[Any], code: int) -> None:
    bench.source.outcomes = [code] * 20
    bench.turn()
    assert (bench.source.takes, bench.listener.listening) == (1, False)
    bench.turn()
    assert bench.source.takes == 1, "at rest"
    for tries in range(2, 21):
        bench.turn(REST)
        bench.turn()
        assert bench.source.takes == tries
    bench.turn(REST)
    bench.turn()
    assert bench.listener.listening, "it goes on when that has passed"
    assert len(logs) == 1


def test_connections_that_were_aborted_are_passed_over_within_the_batch(bench: Bench) -> None:
    bench.source.outcomes = [errno.ECONNABORTED] * 50 + [0] * 3
    while bench.source.outcomes:
        bench.turn()
        assert bench.listener.listening
    assert bench.loop.turns < 20, "a batch goes on after one of them"


@pytest.mark.logs("cannot accept")
def test_a_storm_without_end_rests_too(bench: Bench) -> None:
    bench.source.outcomes = [errno.ECONNABORTED] * 10 * FAILURES
    while bench.listener.listening:
        bench.turn()
    assert bench.source.takes <= FAILURES + 16
    bench.source.outcomes = []
    bench.turn(REST)
    bench.turn()
    assert bench.listener.listening


def test_a_closed_listener_is_told_once_and_never_asked_again(bench: Bench) -> None:
    bench.source.outcomes = [errno.EBADF] * 100
    bench.source.open = False
    bench.turn()
    bench.turn()
    assert (bench.gone, bench.source.takes, bench.listener.listening) == (1, 1, False)


def test_a_pause_for_two_reasons_ends_with_the_last(bench: Bench) -> None:
    bench.listener.pause(Pause.SATURATED)
    bench.listener.pause(Pause.RESOURCES)
    bench.listener.resume(Pause.SATURATED)
    assert not bench.listener.listening
    bench.listener.resume(Pause.RESOURCES)
    assert bench.listener.listening
    bench.listener.stop()
    bench.listener.resume(Pause.RESOURCES)
    assert not bench.listener.listening, "stopped is stopped"


def test_a_server_whose_socket_is_closed_under_it_ends_and_does_not_spin() -> None:
    server = TCPServer(("127.0.0.1", 0), Upper)
    with server, Serving(server) as serving:
        assert ask(server, b"x") == b"X"
        reactor = server.in_reactor
        assert reactor is not None
        closed = threading.Event()

        def close() -> None:
            server.socket.shutdown(2)  # what listens no more is readable for ever, and accept() fails
            closed.set()

        reactor.post(close)
        assert closed.wait(DEADLINE)
        before = time.process_time()
        assert serving.ended() is None
        assert time.process_time() - before < 1
