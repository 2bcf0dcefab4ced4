"""ThreadPerRequest, and what becomes of threads when the program ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from handlers import BaseRequestHandler
from reactor import TCPServer
from strategies import Saturated, ThreadPerRequest, shortage
from tests.answers import Upper, Whereabouts, held_by
from tests.clients import ask, connected, hear, say
from tests.contract.fakes import FakeEndpoint, FakeHost, FakeJob
from tests.hold import Hold
from tests.serving import DEADLINE, Serving

LOOPBACK = ("127.0.0.1", 0)


def test_a_thread_of_its_own_for_each_request():
    with TCPServer(LOOPBACK, Whereabouts, strategy=ThreadPerRequest()) as server, Serving(server):
        names = {ask(server, b"").split()[1] for _ in range(3)}
        assert len(names) == 3
        assert threading.current_thread().name.encode() not in names


def test_max_threads_pauses_the_listener():
    strategy = ThreadPerRequest(1)
    with (
        Hold() as hold,
        TCPServer(LOOPBACK, held_by(hold), strategy=strategy) as server,
        Serving(server),
        connected(server) as first,
        connected(server) as second,
    ):
        say(first, b"one")
        say(second, b"two")
        hold.wait_entered()
        assert len(strategy.threads) == 1
        hold.release()
        assert (hear(first), hear(second)) == (b"ONE", b"TWO")


@pytest.mark.logs("can't start new thread; going on with 0 threads")
def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch, logs: list[Any]):
    with FakeHost() as host:
        monkeypatch.setattr(shortage, "time", host.time)
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        strategy, endpoint = ThreadPerRequest(), FakeEndpoint(host)
        strategy.open(host, [endpoint])
        for count in range(1, 4):
            with pytest.raises(Saturated):
                strategy.submit(FakeJob(host))
            assert not strategy.threads
            host.settle_down()
            assert host.due == [pytest.approx(shortage.RETRY)]
            host.advance(shortage.RETRY)
            host.settle_down()
            assert endpoint.rooms == count
        monkeypatch.setattr(threading.Thread, "start", start)
        job = FakeJob(host)
        strategy.submit(job)
        host.until(lambda: job.settled, "the job")
        told: list[None] = []
        strategy.close(endpoint, lambda: told.append(None))
        host.until(lambda: told, "the end")
    assert len(logs) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.logs(r"^ThreadPerRequest-1 was ended by SystemExit\(4\)")
def test_a_handler_that_exits_ends_its_thread_alone():
    class Exits(BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(10) == b"exit":
                raise SystemExit(4)
            self.request.sendall(b"here")

    with TCPServer(LOOPBACK, Exits, strategy=ThreadPerRequest()) as server, Serving(server):
        assert ask(server, b"exit") == b""
        assert ask(server, b"stay") == b"here"


def test_closing_waits_for_threads():
    with Hold() as hold:
        server = TCPServer(LOOPBACK, held_by(hold), strategy=ThreadPerRequest())
        with connected(server) as client:
            with Serving(server):
                say(client, b"abc")
                hold.wait_entered()
            closing = threading.Thread(target=server.server_close)
            closing.start()
            assert closing.is_alive()
            hold.release()
            closing.join(DEADLINE)
            assert not server.strategy.threads
            assert hear(client) == b"ABC"


def test_closing_does_not_wait_for_daemons():
    """And the strategy can be used anew, while they still run."""
    strategy = ThreadPerRequest(daemon=True)
    with Hold() as hold:
        server = TCPServer(LOOPBACK, held_by(hold), strategy=strategy)
        with connected(server) as client:
            with Serving(server):
                say(client, b"abc")
                hold.wait_entered()
            server.server_close()
            assert len(strategy.threads) == 1
            with TCPServer(LOOPBACK, Upper, strategy=strategy) as another, Serving(another):
                assert ask(another, b"new") == b"NEW"
            hold.release()
            assert hear(client) == b"ABC"


def test_handle_request_without_a_loop():
    with TCPServer(LOOPBACK, Whereabouts, strategy=ThreadPerRequest()) as server:
        assert ask(server, b"", server.handle_request).split()[1].startswith(b"ThreadPerRequest-")


def test_an_impossible_number():
    with pytest.raises(ValueError, match=r"^max_threads=0"):
        ThreadPerRequest(0)


# -- at the end of the program

PROGRAM = """
import os, socket, sys, threading
from reactor import TCPServer
from strategies import ThreadPool, ThreadPerRequest
from handlers import BaseRequestHandler

began, goes_on = threading.Event(), threading.Event()

class Held(BaseRequestHandler):
    def handle(self):
        began.set()
        if not goes_on.wait(60):
            os._exit(99)
        print("handled", flush=True)

server = TCPServer(("127.0.0.1", 0), Held, strategy={strategy})
client = socket.create_connection(server.server_address)
server.handle_request()
began.wait()
{then}
print("end", flush=True)
"""


@pytest.mark.parametrize("strategy", ["ThreadPool(2, min_threads=2)", "ThreadPerRequest(daemon=True)"])
def test_daemon_threads_do_not_hold_up_the_end(strategy: str):
    """A program that closes nothing, with a thread in a handler that does not return."""
    assert _run(strategy, "pass") == "end\n"


def test_other_threads_are_waited_for():
    assert _run("ThreadPerRequest()", "threading.Timer(0.01, goes_on.set).start()") == "end\nhandled\n"


@pytest.mark.parametrize("strategy", ["ThreadPool(2, min_threads=2)", "ThreadPerRequest()"])
def test_a_program_that_closes_waits(strategy: str):
    assert _run(strategy, "goes_on.set(); server.server_close()") == "handled\nend\n"


def _run(strategy: str, then: str) -> str:
    command = [sys.executable, "-c", PROGRAM.format(strategy=strategy, then=then)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done
    assert done.stderr == ""
    return done.stdout
