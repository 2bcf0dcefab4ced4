"""Prefork behind real servers: who serves, who replaces whom, and how it all ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers import BaseRequestHandler, StreamRequestHandler
from reactor import Reactor, TCPServer
from reactor.signals import on_signals
from strategies import ForkPerRequest, Inline, Prefork, ThreadPool
from tests.answers import Upper, Whereabouts, WhereaboutsOfPacket
from tests.clients import ask, connected, hear, say
from tests.contract.fakes import Gate
from tests.kinds import DATAGRAMS, KINDS, make
from tests.serving import DEADLINE, Serving

pytestmark = [
    pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning"),  # Serving's thread is beside the main one
]

LOOPBACK = ("127.0.0.1", 0)

linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        os.sched_yield()


def pid_of(server: Any) -> int:
    with connected(server) as client:
        if client.type == socket.SOCK_DGRAM:
            say(client, b"")
        return int(hear(client).split()[0])


@contextlib.contextmanager
def served(handler: Any, strategy: Prefork) -> Iterator[TCPServer]:
    with TCPServer(LOOPBACK, handler, strategy=strategy) as server, Serving(server):
        yield server


def held_at(gate: Gate) -> type[BaseRequestHandler]:
    class Held(StreamRequestHandler):
        def handle(self) -> None:
            gate()
            self.wfile.write(f"{os.getpid()}".encode())

    return Held


@pytest.mark.parametrize("kind", KINDS)
def test_workers_serve_and_the_parent_does_not(kind: type[TCPServer], tmp_path: Path):
    handler = WhereaboutsOfPacket if kind in DATAGRAMS else Whereabouts
    strategy = Prefork(2)
    with make(kind, tmp_path, handler, strategy=strategy) as server, Serving(server):
        workers = strategy.pids
        assert len(workers) == 2
        assert {pid_of(server) for _ in range(10)} <= workers
        assert strategy.pids == workers
    assert not strategy.pids


def test_all_workers_serve():
    with Gate() as gate:
        strategy = Prefork(3)
        with served(held_at(gate), strategy) as server, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connected(server)) for _ in range(3)]
            gate.wait_came(3)
            gate.release_all()
            assert {int(hear(client)) for client in clients} == strategy.pids


def test_a_worker_with_threads():
    with Gate() as gate:
        strategy = Prefork(1, ThreadPool(2))
        with served(held_at(gate), strategy) as server, connected(server) as first, connected(server) as second:
            gate.wait_came(2)
            gate.release_all()
            assert {int(hear(first)), int(hear(second))} == strategy.pids


@pytest.mark.logs(r"worker \d+ was killed by signal 9")
def test_a_killed_worker_is_replaced():
    strategy = Prefork(2)
    with served(Whereabouts, strategy) as server:
        before = strategy.pids
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in strategy.pids and len(strategy.pids) == 2)
        assert len(strategy.pids & before) == 1
        assert pid_of(server) in strategy.pids


@pytest.mark.logs(r"worker \d+ exited with 3")
def test_a_handler_that_exits_ends_its_worker_and_the_service_goes_on():
    class Exits(StreamRequestHandler):
        def handle(self) -> None:
            if self.rfile.read() == b"exit":
                raise SystemExit(3)
            self.wfile.write(str(os.getpid()).encode())

    strategy = Prefork(1)
    with served(Exits, strategy) as server:
        before = int(ask(server, b""))
        assert ask(server, b"exit") == b""
        after = int(ask(server, b""))
        assert after != before
        assert strategy.pids == {after}


def test_a_worker_drains_before_it_ends():
    with Gate() as gate:
        strategy = Prefork(1)
        server = TCPServer(LOOPBACK, held_at(gate), strategy=strategy)
        with Reactor() as reactor:
            reactor.add(server)
            with Serving(reactor) as serving, connected(server) as client:
                gate.wait_came()
                (worker,) = strategy.pids
                reactor.post(lambda: reactor.drain(DEADLINE))
                gate.release_all()
                assert int(hear(client)) == worker
                assert serving.ended() is None
        assert serving.report.cut == ()
        assert not strategy.pids


@pytest.mark.logs("was killed before it had come to its end")
def test_a_drain_kills_who_does_not_end_in_time():
    with Gate() as gate:
        strategy = Prefork(2, stop_timeout=DEADLINE)
        with Reactor() as reactor:
            server = reactor.add(TCPServer(LOOPBACK, held_at(gate), strategy=strategy))
            with Serving(reactor) as serving, connected(server) as client:
                gate.wait_came()
                reactor.post(lambda: reactor.drain(0.05))
                assert hear(client) == b""
                assert serving.ended() is None
        assert not strategy.pids


@pytest.mark.logs("was killed before it had come to its end")
def test_a_worker_that_ignores_term_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("strategies.prefork.MARGIN", 0.05)
    with Gate() as gate:

        class Stubborn(BaseRequestHandler):
            def handle(self) -> None:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                gate()

        strategy = Prefork(1, stop_timeout=0)
        with TCPServer(LOOPBACK, Stubborn, strategy=strategy) as server, connected(server) as client:
            with Serving(server):
                gate.wait_came()
            assert hear(client) == b""
            assert not strategy.pids


def test_stop_during_a_drain_leaves_no_worker():
    """halt() during a halt said at once that it was over."""
    with Gate() as gate:
        strategy = Prefork(1, stop_timeout=0.2)
        with Reactor() as reactor:
            server = reactor.add(TCPServer(LOOPBACK, held_at(gate), strategy=strategy))
            with Serving(reactor) as serving, connected(server):
                gate.wait_came()
                reactor.post(lambda: (reactor.drain(DEADLINE), reactor.stop()))
                gate.release_all()
                assert serving.ended() is None
            assert not strategy.pids


@pytest.mark.parametrize("inner", [Inline, lambda: ThreadPool(2)], ids=["Inline", "ThreadPool"])
@pytest.mark.parametrize("how", ["shutdown", "server_close"])
def test_a_handler_that_ends_its_server_ends_its_worker_alone(how: str, inner: Callable[[], Any]):
    """As in the child of a forking server of the classic: the parent's is another server."""

    class Ends(StreamRequestHandler):
        def handle(self) -> None:
            if self.rfile.read() == b"end":
                getattr(self.server, how)()
            self.wfile.write(str(os.getpid()).encode())

    strategy = Prefork(1, inner())
    with served(Ends, strategy) as server:
        before = int(ask(server, b"end"))  # it is answered
        until(lambda: not _alive(before))
        after = int(ask(server, b""))
        assert after != before
        assert strategy.pids == {after}


def test_a_handler_ends_the_service_by_a_signal_to_the_parent():
    class Ends(BaseRequestHandler):
        def handle(self) -> None:
            os.kill(os.getppid(), signal.SIGUSR1)
            self.request.sendall(b"done")

    strategy = Prefork(1)
    with TCPServer(LOOPBACK, Ends, strategy=strategy) as server:
        with connected(server) as client, on_signals(server.shutdown, signal.SIGUSR1):
            server.serve_forever()
            assert hear(client) == b"done"
        assert not strategy.pids


def test_serving_twice():
    strategy = Prefork(2)
    with TCPServer(LOOPBACK, Whereabouts, strategy=strategy) as server:
        seen = []
        for _ in range(2):
            with Serving(server):
                seen.append(strategy.pids)
                assert pid_of(server) in strategy.pids
            assert not strategy.pids
        assert len(seen[0] | seen[1]) == 4


def test_handle_request_is_served_by_the_inner_strategy():
    """And the workers that come after it are none the worse for it."""
    for inner in (Inline(), ThreadPool(1, min_threads=1)):
        strategy = Prefork(1, inner)
        with TCPServer(LOOPBACK, Whereabouts, strategy=strategy) as server:
            assert int(ask(server, b"", server.handle_request).split()[0]) == os.getpid()
            assert not strategy.pids
            with Serving(server):
                assert pid_of(server) in strategy.pids


def blocks_term(then: Callable[[], object]) -> type[BaseRequestHandler]:
    """A handler whose worker does not hear TERM any more."""

    class Deaf(BaseRequestHandler):
        def handle(self) -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            self.request.sendall(str(os.getpid()).encode())
            then()

    return Deaf


def test_a_worker_that_does_not_hear_term_is_not_waited_for():
    """It drains all the same: its lifeline is closed, too.  The stop waited the whole ``stop_timeout``."""
    strategy = Prefork(2, stop_timeout=10 * DEADLINE)  # Serving waits for DEADLINE
    with TCPServer(LOOPBACK, blocks_term(lambda: None), strategy=strategy) as server, Serving(server):
        assert pid_of(server) in strategy.pids
    assert not strategy.pids


def test_a_worker_that_does_not_hear_term_is_replaced_by_those_for_one_server_more():
    """The new ones are forked beside the old one's lifeline, and must not hold a copy of it."""
    strategy = Prefork(1, stop_timeout=10 * DEADLINE)
    with Reactor() as reactor:
        first = reactor.add(TCPServer(LOOPBACK, blocks_term(lambda: None), strategy=strategy))
        with TCPServer(LOOPBACK, Whereabouts, strategy=strategy) as second, Serving(reactor):
            before = pid_of(first)
            reactor.post(reactor.add, second)
            assert pid_of(second) != before
            until(lambda: not _alive(before))


# -- several servers


def test_shared_by_two_servers():
    strategy = Prefork(2)
    with Reactor() as reactor:
        first = reactor.add(TCPServer(LOOPBACK, Whereabouts, strategy=strategy))
        second = reactor.add(TCPServer(LOOPBACK, Whereabouts, strategy=strategy))
        with Serving(reactor):
            assert len(strategy.pids) == 2
            seen = {pid_of(server) for server in (first, second) for _ in range(5)}
            assert seen <= strategy.pids


@pytest.mark.parametrize("how", ["shutdown", "server_close"])
def test_one_of_two_that_share_it_leaves(how: str):
    """The workers have copies of its socket: they would serve it for ever."""
    strategy = Prefork(2)
    with Reactor() as reactor:
        leaver = reactor.add(TCPServer(LOOPBACK, Whereabouts, strategy=strategy))
        stayer = reactor.add(TCPServer(LOOPBACK, Whereabouts, strategy=strategy))
        with Serving(reactor):
            before = strategy.pids
            assert pid_of(leaver) in before
            address = leaver.server_address
            getattr(leaver, how)()
            until(lambda: not any(_alive(pid) for pid in before))
            assert len(strategy.pids) == 2
            assert pid_of(stayer) in strategy.pids
            if how == "server_close":
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(address, DEADLINE)
            else:
                with connected(leaver) as client:  # the kernel lets it in, and nobody serves it
                    say(client, b"")
                    assert not select.select([client], [], [], 0.05)[0]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_shutdown_of_the_only_preforked_one():
    strategy = Prefork(1)
    with Reactor() as reactor:
        leaver = reactor.add(TCPServer(LOOPBACK, Whereabouts, strategy=strategy))
        stayer = reactor.add(TCPServer(LOOPBACK, Upper))
        with Serving(reactor):
            (worker,) = strategy.pids
            leaver.shutdown()
            until(lambda: not _alive(worker))
            assert not strategy.pids
            assert ask(stayer, b"abc") == b"ABC"


def test_one_more_is_added_while_it_runs():
    strategy = Prefork(2)
    with Reactor() as reactor:
        first = reactor.add(TCPServer(LOOPBACK, Whereabouts, strategy=strategy))
        with TCPServer(LOOPBACK, Whereabouts, strategy=strategy) as second, Serving(reactor):
            before = strategy.pids
            reactor.post(reactor.add, second)
            assert pid_of(second) not in before
            until(lambda: not any(_alive(pid) for pid in before))
            assert {pid_of(first), pid_of(second)} <= strategy.pids


class Descriptors(StreamRequestHandler):
    """The inodes that this process has open."""

    def handle(self) -> None:
        found = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/self/fd/{name}"))
        self.wfile.write(json.dumps(found).encode())


@linux
def test_a_worker_has_its_own_servers_and_nothing_else():
    """Not the other servers' sockets, the parent's selector and mailbox, nor another Prefork's lifeline."""
    first, second = Prefork(1), Prefork(1)
    with Reactor() as reactor:
        a = reactor.add(TCPServer(LOOPBACK, Descriptors, strategy=first))
        b = reactor.add(TCPServer(LOOPBACK, Descriptors, strategy=second))
        c = reactor.add(TCPServer(LOOPBACK, Upper))
        d = reactor.add(TCPServer(LOOPBACK, Upper, strategy=ForkPerRequest()))
        with Serving(reactor):

            def what(fd: int) -> str:
                return os.readlink(f"/proc/self/fd/{fd}")

            mailbox = {what(reactor._loop._mailbox.reading)}
            # The ends of a pipe have one name: the writing one is the parent's, the reading one the worker's.
            lifelines = {s: what(*s._supervisor._lifelines.values()) for s in (first, second)}
            sockets = {server: what(server.fileno()) for server in (a, b, c, d)}
            for server, strategy in ((a, first), (b, second)):
                held = json.loads(ask(server, b""))
                foreign = {*mailbox, *lifelines.values(), *sockets.values()} - {sockets[server], lifelines[strategy]}
                assert not foreign & set(held)
                assert held.count(lifelines[strategy]) == 1  # the reading end
                assert held.count("anon_inode:[eventpoll]") == 1  # its own
                assert "anon_inode:[pidfd]" not in held


# -- without their master


MASTER = """
import os, signal, sys
from reactor import Reactor, TCPServer
from strategies import Prefork, ThreadPool
from handlers import BaseRequestHandler

class Pid(BaseRequestHandler):
    def handle(self):
        self.request.sendall(str(os.getpid()).encode())

first, second = Prefork(2), Prefork(1, ThreadPool(2))
with Reactor() as reactor:
    servers = [reactor.add(TCPServer(("127.0.0.1", 0), Pid, strategy=s)) for s in (first, second)]
    reactor.post(lambda: print(*(s.server_address[1] for s in servers), *first.pids, *second.pids, flush=True))
    reactor.run()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_master(number: int):
    """However it ends; workers of two Preforks, each of which was forked beside the other's lifeline."""
    with subprocess.Popen([sys.executable, "-c", MASTER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as master:
        assert master.stdout is not None
        first, _, *workers = map(int, master.stdout.readline().split())
        try:
            assert len(workers) == 3
            with socket.create_connection(("127.0.0.1", first), DEADLINE) as client:
                assert int(client.recv(100)) in workers
            # Their standard output is ours to read to the end: that comes when the last of them has ended.
            os.kill(master.pid, number)
            master.wait(DEADLINE)
            assert select.select([master.stdout], [], [], DEADLINE)[0]
            assert master.stdout.read() == b""
        finally:
            if master.poll() is None:
                master.kill()
            for pid in filter(_is_ours, workers):
                os.kill(pid, signal.SIGKILL)


LAST_WORDS = """
import os, select
from reactor import Reactor, TCPServer
from strategies import Prefork, prefork
from handlers import BaseRequestHandler

class Waits(BaseRequestHandler):
    def handle(self):
        self.request.sendall(str(os.getpid()).encode())
        {wait}
        self.request.sendall(b"done")

prefork.MARGIN = 0
with Reactor() as reactor:
    server = reactor.add(TCPServer(("127.0.0.1", 0), Waits, strategy=Prefork(2, stop_timeout={timeout})))
    reactor.post(lambda: print(server.server_address[1], *server.strategy.pids, flush=True))
    reactor.run()
"""


@contextlib.contextmanager
def orphaned(wait: str, timeout: float) -> Iterator[tuple[socket.socket, Any]]:
    """A client whose handler is at work in a worker without a master, and the standard output of all workers."""
    program = LAST_WORDS.format(wait=wait, timeout=timeout)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as master:
        assert master.stdout is not None
        port, *workers = map(int, master.stdout.readline().split())
        try:
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
                assert int(client.recv(100)) in workers
                master.kill()
                master.wait(DEADLINE)
                yield client, master.stdout
        finally:
            if master.poll() is None:
                master.kill()
            for pid in filter(_is_ours, workers):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not promised")
@pytest.mark.parametrize(
    "wait",
    ["self.request.recv(1)", "select.select([], [], [])", "[None for _ in iter(int, 1)]"],
    ids=["waits for its client", "waits for nothing", "works"],
)
def test_a_busy_worker_does_not_outlive_its_master_by_more_than_stop_timeout(wait: str):
    """Its loop does not turn, and would see nothing: it kept the port for as long as the handler ran."""
    with orphaned(wait, 0.05) as (client, output):
        assert client.recv(100) == b""
        assert select.select([output], [], [], DEADLINE)[0]
        assert output.read() == b""


def test_a_busy_worker_without_a_master_finishes_its_request():
    with orphaned("self.request.recv(1)", DEADLINE) as (client, output):
        client.sendall(b"+")
        assert client.recv(100) == b"done"
        assert select.select([output], [], [], DEADLINE)[0]
        assert output.read() == b""


def _is_ours(pid: int) -> bool:
    """Whether the process is still the one that we started, as far as its command line tells."""
    try:
        return b"Prefork" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ((0,), ValueError, "^workers=0"),
        ((1, None, -1), ValueError, "^stop_timeout=-1"),
        ((1, ForkPerRequest()), TypeError, "^inner=ForkPerRequest"),
        ((1, Prefork(1)), TypeError, "^inner=Prefork"),
        ((1, "threads"), TypeError, "^inner='threads'"),
    ],
)
def test_impossible_arguments(arguments: Any, error: type[Exception], word: str):
    with pytest.raises(error, match=word):
        Prefork(*arguments)
