"""ForkPerRequest behind real servers: what a child has and has not, and what the parent does meanwhile."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handlers import PARK, BaseRequestHandler, StreamRequestHandler, TurnHandler
from reactor import Reactor, TCPServer, UDPServer
from strategies import ForkPerRequest, ThreadPool, forking, shortage
from tests.answers import Upper, UpperPacket, Whereabouts
from tests.clients import ask, connected, hear, say
from tests.contract.fakes import FakeEndpoint, FakeHost, FakeJob, Gate
from tests.leaks import open_descriptors
from tests.serving import DEADLINE, Serving

pytestmark = [
    pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning"),  # Serving's thread is beside the main one
]

LOOPBACK = ("127.0.0.1", 0)

linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")


def on_loop(server: Any, call: Callable[[], Any]) -> Any:
    """What the call returns on the loop's thread."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    server.in_reactor.post(lambda: answers.put(call()))
    return answers.get(timeout=DEADLINE)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        os.sched_yield()


def held_at(gate: Gate) -> type[BaseRequestHandler]:
    class Held(Upper):
        def handle(self) -> None:
            gate()
            super().handle()

    return Held


class Descriptors(StreamRequestHandler):
    """What the child has open, beside the standard streams."""

    def handle(self) -> None:
        held = sorted((fd, what) for fd, what in open_descriptors() if fd > 2)
        self.wfile.write(json.dumps([held, self.request.fileno()]).encode())


@pytest.fixture(params=["pidfd", "pipe"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pipe":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    return request.param


def test_each_request_in_a_child_of_its_own(way: str):
    with TCPServer(LOOPBACK, Whereabouts, strategy=ForkPerRequest()) as server, Serving(server):
        pids = {int(ask(server, b"").split()[0]) for _ in range(3)}
        assert len(pids) == 3
        assert os.getpid() not in pids
        until(lambda: not server.strategy.children.pids)


def test_datagrams():
    with UDPServer(LOOPBACK, UpperPacket, strategy=ForkPerRequest()) as server, Serving(server):
        assert [ask(server, b"abc") for _ in range(3)] == [b"ABC"] * 3
        until(lambda: not server.at_endpoint.requests.live)


def test_max_children_pauses_and_the_loop_goes_on(way: str):
    with Gate() as gate, Reactor() as reactor:
        server = reactor.add(TCPServer(LOOPBACK, held_at(gate), strategy=ForkPerRequest(2)))
        other = reactor.add(TCPServer(LOOPBACK, Upper))
        with Serving(reactor), connected(server) as a, connected(server) as b, connected(server) as c:
            for client in (a, b, c):
                say(client, b"abc")
            gate.wait_came(2)
            until(lambda: not on_loop(server, lambda: server.at_endpoint._listener.listening))
            assert ask(other, b"meanwhile") == b"MEANWHILE"
            assert len(server.strategy.children) == 2
            gate.release()
            gate.wait_came()  # the third has got its child
            gate.release(2)
            assert [hear(client) for client in (a, b, c)] == [b"ABC"] * 3
            until(lambda: on_loop(server, lambda: server.at_endpoint._listener.listening))


@linux
def test_a_child_has_its_request_and_nothing_else(way: str):
    """Not the listeners, the selector, the mailbox, nor what parked, ran or was about to run beside it."""

    class Parks(TurnHandler):
        def handle(self) -> Any:
            return PARK if self.rfile.readline() else None

    outside = open_descriptors()
    with Gate() as gate, Reactor() as reactor:
        server = reactor.add(TCPServer(LOOPBACK, Descriptors, strategy=ForkPerRequest()))
        beside = reactor.add(TCPServer(LOOPBACK, held_at(gate), strategy=ForkPerRequest()))
        parking = reactor.add(TCPServer(LOOPBACK, Parks))
        threaded = reactor.add(TCPServer(LOOPBACK, held_at(gate), strategy=ThreadPool(1)))
        reactor.add(UDPServer(LOOPBACK, UpperPacket))
        with (
            Serving(reactor),
            connected(parking) as parked,
            connected(beside) as in_child,
            connected(threaded) as in_thread,
            connected(threaded) as queued,
        ):
            mine = open_descriptors() - outside
            parked.sendall(b"hello\n")
            for client in (in_child, in_thread, queued):
                say(client, b"abc")
            gate.wait_came(2)
            until(lambda: len(parking.at_endpoint.requests.parking) == 1)
            until(lambda: len(threaded.at_endpoint.requests.live) == 2)
            held, request = json.loads(ask(server, b""))
            # What the test itself holds, clients and gate, is the user's affair, as would be any open file.
            tests_own = {fd for fd, _ in mine if fd in {c.fileno() for c in (parked, in_child, in_thread, queued)}}
            tests_own |= {*gate._came, *gate._go}
            more = [(fd, what) for fd, what in held if (fd, what) not in outside and fd not in tests_own]
            ours = [entry for entry in more if entry[0] != request and entry[1] in _of_server(reactor)]
            assert ours == []
            extra = [entry for entry in more if entry[0] != request]
            # The client of ask(), the lifeline, and its own sentinel.
            assert len(extra) <= (2 if way == "pidfd" else 3), extra
            gate.release_all()
            assert [hear(client) for client in (in_child, in_thread, queued)] == [b"ABC"] * 3
            until(lambda: not beside.at_endpoint.requests.live)


def _of_server(reactor: Reactor) -> set[str]:
    loop = reactor._loop
    fds = [server.fileno() for server in reactor.servers]
    fds += [loop._mailbox.reading, loop._mailbox.writing]
    return {os.readlink(f"/proc/self/fd/{fd}") for fd in fds} | {"anon_inode:[eventpoll]", "anon_inode:[pidfd]"}


@pytest.mark.logs("killed by signal 9 while it served")
def test_the_client_sees_the_end_when_a_child_is_killed(logs: list[Any]):
    with Gate() as gate, TCPServer(LOOPBACK, held_at(gate), strategy=ForkPerRequest(1)) as server, Serving(server):
        with connected(server) as client:
            gate.wait_came()
            (pid,) = on_loop(server, lambda: tuple(server.strategy.children.pids))
            os.kill(pid, signal.SIGKILL)
            assert hear(client) == b""
        until(lambda: not server.at_endpoint.requests.live)
        gate.release_all()
        assert ask(server, b"next") == b"NEXT"
    assert [record.getMessage().split(" while")[0] for record in logs] == [f"child {pid} was killed by signal 9"]


def test_a_child_stolen_by_somebody_else_is_settled():
    with Gate() as gate, TCPServer(LOOPBACK, held_at(gate), strategy=ForkPerRequest(1)) as server, Serving(server):
        with connected(server) as client:
            gate.wait_came()
            (pid,) = on_loop(server, lambda: tuple(server.strategy.children.pids))

            def steal() -> tuple[int, int]:
                os.kill(pid, signal.SIGKILL)
                return os.waitpid(pid, 0)  # on the loop's thread, so that the loop cannot be quicker

            assert on_loop(server, steal) == (pid, signal.SIGKILL)
            assert hear(client) == b""
        until(lambda: not server.at_endpoint.requests.live)
        gate.release_all()
        assert ask(server, b"next") == b"NEXT"


def test_a_foreign_child_is_left_alone():
    command = [sys.executable, "-S", "-E", "-c", "raise SystemExit(5)"]
    with (
        TCPServer(LOOPBACK, Upper, strategy=ForkPerRequest()) as server,
        Serving(server),
        subprocess.Popen(command) as foreign,
    ):
        os.waitid(os.P_PID, foreign.pid, os.WEXITED | os.WNOWAIT)
        assert ask(server, b"abc") == b"ABC"
        until(lambda: not server.at_endpoint.requests.live)
        assert foreign.wait(DEADLINE) == 5


def test_a_handler_that_exits_ends_its_child_alone(tmp_path: Path):
    """It is told by the child, in its log."""
    told = logging.FileHandler(tmp_path / "log")
    logging.getLogger("strategies").addHandler(told)

    class Exits(BaseRequestHandler):
        def handle(self) -> None:
            raise SystemExit(3)

    with TCPServer(LOOPBACK, Exits, strategy=ForkPerRequest()) as server, Serving(server):
        assert ask(server, b"") == b""
        assert ask(server, b"") == b""
        until(lambda: not server.at_endpoint.requests.live)
    logging.getLogger("strategies").removeHandler(told)
    told.close()
    assert (tmp_path / "log").read_text().count("was ended by SystemExit(3)") == 2


def test_no_warnings_in_a_child(capfd: pytest.CaptureFixture[str]):
    """A child of a program that shows all warnings: nothing was left open, nothing unraisable."""

    class Collects(StreamRequestHandler):
        def handle(self) -> None:
            gc.collect()
            self.wfile.write(b"done")

    with TCPServer(LOOPBACK, Collects, strategy=ForkPerRequest()) as server, Serving(server):
        assert ask(server, b"") == b"done"
        until(lambda: not server.at_endpoint.requests.live)
    assert capfd.readouterr() == ("", "")


@pytest.mark.logs("no process; going on with 0 children")
def test_no_process_for_a_while(monkeypatch: pytest.MonkeyPatch, logs: list[Any]):
    monkeypatch.setattr(shortage, "RETRY", 0.01)
    refused: list[None] = []
    fork = os.fork

    def refuse() -> int:
        if len(refused) < 3:
            refused.append(None)
            raise OSError(errno.EAGAIN, "no process")
        return fork()

    monkeypatch.setattr(os, "fork", refuse)
    with TCPServer(LOOPBACK, Upper, strategy=ForkPerRequest()) as server, Serving(server):
        assert ask(server, b"abc") == b"ABC"
        assert ask(server, b"abc") == b"ABC"
        until(lambda: not server.at_endpoint.requests.live)
    assert len(logs) == 1
    assert len(refused) == 3


def test_an_error_that_will_not_pass_is_the_requests(capfd: pytest.CaptureFixture[str], monkeypatch: Any):
    def refuse() -> int:
        raise OSError(errno.ENOSYS, "no fork on this system")

    monkeypatch.setattr(os, "fork", refuse)
    with TCPServer(LOOPBACK, Upper, strategy=ForkPerRequest()) as server, Serving(server):
        assert ask(server, b"") == b""
        until(lambda: not server.at_endpoint.requests.live)
    assert "no fork on this system" in capfd.readouterr().out


@pytest.mark.logs("cutting 1 requests", "killed by signal 15")
def test_a_child_that_does_not_end_is_cut_at_close():
    with Gate() as gate:
        server = TCPServer(LOOPBACK, held_at(gate), strategy=ForkPerRequest())
        server.close_timeout = 0.05
        with connected(server) as client:
            with Serving(server):
                gate.wait_came()
            server.server_close()
            assert hear(client) == b""


def test_turns_in_a_child():
    """A whole conversation in one child, which is where there is no loop to park in."""

    class Line(TurnHandler):
        def handle(self) -> Any:
            line = self.rfile.readline()
            self.wfile.write(f"{os.getpid()} ".encode() + line)
            return PARK if line else None

    with TCPServer(LOOPBACK, Line, strategy=ForkPerRequest()) as server, Serving(server), connected(server) as client:
        pids = set()
        for word in (b"one\n", b"two\n"):
            client.sendall(word)
            pid, _, said = client.recv(100).partition(b" ")
            assert said == word
            pids.add(int(pid))
        assert len(pids) == 1
        assert os.getpid() not in pids
        client.shutdown(socket.SHUT_WR)
        hear(client)
        until(lambda: not server.at_endpoint.requests.live)


class SaysGoodbye(TurnHandler):
    idle_timeout = None

    def handle(self) -> Any:
        self.wfile.write(self.rfile.readline().upper())
        return PARK

    def finish(self) -> None:
        self.wfile.write(b"goodbye")
        super().finish()


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another child"])
def test_a_drain_does_not_wait_for_an_idle_child(beside: bool):
    """Its client sends nothing more: it held the drain until the deadline."""
    with Reactor() as reactor:
        server = reactor.add(TCPServer(LOOPBACK, SaysGoodbye, strategy=ForkPerRequest()))
        with Serving(reactor) as serving, connected(server) as client, contextlib.ExitStack() as stack:
            clients = [client]
            if beside:
                clients.append(stack.enter_context(connected(server)))
            for each in clients:
                each.sendall(b"hello\n")
                assert each.recv(100) == b"HELLO\n"
            reactor.post(lambda: reactor.drain(10 * DEADLINE))
            assert hear(client) == b"goodbye"
            assert serving.ended() is None
    assert serving.report == (1 + beside, ())


def test_a_drain_waits_for_a_child_at_work():
    with Gate() as gate, Reactor() as reactor:
        server = reactor.add(TCPServer(LOOPBACK, held_at(gate), strategy=ForkPerRequest()))
        with Serving(reactor) as serving, connected(server) as client:
            say(client, b"abc")
            gate.wait_came()
            reactor.post(lambda: reactor.drain(10 * DEADLINE))
            on_loop(server, lambda: None)
            gate.release()
            assert hear(client) == b"ABC"
            assert serving.ended() is None
    assert serving.report.cut == ()


def test_an_idle_child_ends_as_the_loop_rests():
    with TCPServer(LOOPBACK, SaysGoodbye, strategy=ForkPerRequest()) as server, connected(server) as client:
        with Serving(server):
            client.sendall(b"hello\n")
            assert client.recv(100) == b"HELLO\n"
        assert hear(client) == b"goodbye"
        with Serving(server), connected(server) as another:
            another.sendall(b"again\n")
            assert another.recv(100) == b"AGAIN\n"


def test_handle_request_without_a_loop():
    """Children are reaped by the way, and at the end."""
    with TCPServer(LOOPBACK, Whereabouts, strategy=ForkPerRequest(2)) as server:
        pids = {ask(server, b"", server.handle_request).split()[0] for _ in range(5)}
        assert len(pids) == 5
        assert len(server.strategy.children) <= 2


def test_handle_request_waits_for_a_place():
    with Gate() as gate, TCPServer(LOOPBACK, held_at(gate), strategy=ForkPerRequest(1)) as server:
        server.timeout = DEADLINE
        with connected(server) as first, connected(server) as second:
            say(first, b"one")
            say(second, b"two")
            server.handle_request()
            gate.wait_came()
            gate.release_all()
            server.handle_request()
            assert hear(first) == b"ONE"
            assert hear(second) == b"TWO"


def test_promises_room_when_refused():
    """To those who submit without asking, too."""
    with FakeHost() as host, Gate() as gate:
        strategy = ForkPerRequest(1)
        endpoint = FakeEndpoint(host)
        strategy.open(host, [endpoint])
        strategy.submit(FakeJob(host, gate))
        gate.release_all()
        with pytest.raises(forking.Saturated):
            strategy.submit(FakeJob(host))
        host.until(lambda: endpoint.rooms, "room()")
        strategy.close(endpoint, lambda: None)


def test_an_impossible_number():
    with pytest.raises(ValueError, match=r"^max_children=0"):
        ForkPerRequest(0)


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
def test_closing_one_of_two_servers_lets_its_idle_children_go():
    class Lines(TurnHandler):
        def handle(self) -> Any:
            line = self.rfile.readline()
            self.wfile.write(line)
            return PARK if line else None

    strategy = ForkPerRequest()
    with Reactor() as reactor:
        one, other = (reactor.add(TCPServer(("127.0.0.1", 0), Lines, strategy=strategy)) for _ in range(2))
        with Serving(reactor), connected(one) as client:
            client.sendall(b"here\n")
            assert client.recv(10) == b"here\n"
            began = time.monotonic()
            one.server_close()
            assert time.monotonic() - began < DEADLINE / 2, "it waited for its close_timeout"
            assert client.recv(10) == b""
            with connected(other) as another:
                another.sendall(b"on\n")
                assert another.recv(10) == b"on\n"
