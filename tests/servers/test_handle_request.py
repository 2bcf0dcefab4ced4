"""handle_request(): one request, for programs that have a loop of their own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import threading
import time
from pathlib import Path

import pytest

from handlers import PARK, TurnHandler
from reactor import Reactor, TCPServer, UDPServer, UsageError
from reactor.listener import REST
from reactor.server import PrivateReactor
from strategies import ForkPerRequest, Inline, Prefork, Strategy, ThreadPerRequest, ThreadPool
from tests.answers import Upper, UpperPacket, Whereabouts, held_by, here
from tests.clients import ask, connected, hear, say
from tests.hold import Hold
from tests.kinds import KINDS, make
from tests.serving import DEADLINE, Serving


class Patient(TCPServer):
    """Counts its time-outs."""

    timed_out = 0

    def handle_timeout(self) -> None:
        self.timed_out += 1


@pytest.mark.parametrize("kind", KINDS)
def test_timeout(kind: type[TCPServer], tmp_path: Path):
    times_out = []

    class Timed(kind):  # type: ignore[misc,valid-type]
        timeout = 0.05

        def handle_timeout(self):
            times_out.append(time.monotonic())

    with make(Timed, tmp_path) as server:
        began = time.monotonic()
        server.handle_request()
        assert len(times_out) == 1
        assert 0.05 <= times_out[0] - began < DEADLINE
        assert ask(server, b"abc", server.handle_request) == b"ABC"
        assert len(times_out) == 1


def test_timeout_of_zero_only_looks():
    with Patient(("127.0.0.1", 0), Upper) as server:
        server.timeout = 0
        server.handle_request()
        assert server.timed_out == 1
        assert ask(server, b"abc", server.handle_request) == b"ABC"


@pytest.mark.parametrize(("of_socket", "of_server"), [(0.01, None), (0.01, 60), (60, 0.01)])
def test_the_shorter_of_two_timeouts(of_socket: float, of_server: float | None):
    with Patient(("127.0.0.1", 0), Upper) as server:
        server.socket.settimeout(of_socket)
        server.timeout = of_server
        server.handle_request()
        assert server.timed_out == 1


def test_waits_for_ever_without_a_timeout():
    with Patient(("127.0.0.1", 0), Upper) as server:
        handling = threading.Thread(target=server.handle_request)
        handling.start()
        handling.join(0.05)
        assert handling.is_alive()
        assert ask(server, b"abc") == b"ABC"
        handling.join(DEADLINE)
        assert server.timed_out == 0


def test_handle_timeout_does_nothing():
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        assert server.handle_timeout() is None
        server.timeout = 0
        assert server.handle_request() is None


@pytest.mark.parametrize(
    "make_strategy", [Inline, lambda: ThreadPool(2), ThreadPerRequest, ForkPerRequest, lambda: Prefork(2)]
)
def test_with_every_strategy(make_strategy: type[Strategy]):
    strategy = make_strategy()
    with TCPServer(("127.0.0.1", 0), Whereabouts, strategy=strategy) as server:
        where = [ask(server, b"", server.handle_request) for _ in range(3)]
        in_here = isinstance(strategy, Inline | Prefork)  # Prefork's processes are made by serve_forever() alone
        assert (set(where) == {here()}) == in_here


@pytest.mark.parametrize("make_strategy", [Inline, lambda: ThreadPool(2), ForkPerRequest])
def test_all_turns_of_a_turn_handler(make_strategy: type[Strategy]):
    # No loop turns in which the connection could wait, so who runs it waits.

    class Lines(TurnHandler):
        def handle(self):
            self.wfile.write(self.rfile.readline().upper())
            return PARK

    with TCPServer(("127.0.0.1", 0), Lines, strategy=make_strategy()) as server, connected(server) as client:
        client.sendall(b"one\n")
        if isinstance(server.strategy, Inline):
            say(client, b"two\n")
            server.handle_request()
            assert hear(client) == b"ONE\nTWO\n"
        else:
            server.handle_request()
            assert client.recv(10) == b"ONE\n"
            say(client, b"two\n")
            assert hear(client) == b"TWO\n"


def test_by_several_threads_at_once():
    # Each call takes one request; who finds that another was quicker waits for the next.
    count = 4
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        threads = [threading.Thread(target=server.handle_request) for _ in range(count)]
        for thread in threads:
            thread.start()
        assert [ask(server, b"abc") for _ in range(count)] == [b"ABC"] * count
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


@pytest.mark.parametrize("make_strategy", [Inline, lambda: ThreadPool(2)])
def test_by_several_threads_one_request_each(make_strategy: type[Strategy]):
    # The kernel wakes all of them for one client; all but one must go back to waiting, within their time-out.
    server = Patient(("127.0.0.1", 0), Upper, strategy=make_strategy())
    with server:
        server.timeout = 0.3
        threads = [threading.Thread(target=server.handle_request) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert ask(server, b"abc") == b"ABC"
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        assert server.timed_out == 3


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
def test_by_several_threads_with_a_child_each():
    # The race: a child's sentinel is watched by the thread that forked it, while another turns the loop by the way.
    rounds, threads = 5, 4
    with TCPServer(("127.0.0.1", 0), Upper, strategy=ForkPerRequest()) as server:
        for _ in range(rounds):
            callers = [threading.Thread(target=server.handle_request) for _ in range(threads)]
            for caller in callers:
                caller.start()
            assert [ask(server, b"abc") for _ in callers] == [b"ABC"] * threads
            for caller in callers:
                caller.join(DEADLINE)
                assert not caller.is_alive()


def test_a_strategy_is_asked_under_the_lead():
    # What it does to the loop (a watch, a timer) meets no other thread's turn.
    leading = []

    class Asked(Strategy):
        def submit(self, job):
            leading.append(server.at_endpoint.loop.leads())
            return job

    with TCPServer(("127.0.0.1", 0), Upper, strategy=Asked()) as server:
        assert ask(server, b"abc", server.handle_request) == b"ABC"
    assert leading == [True]


def test_server_close_waits_for_one_that_runs_in_another_thread():
    with Hold() as hold:
        server = TCPServer(("127.0.0.1", 0), held_by(hold))
        with connected(server) as client:
            serving = threading.Thread(target=server.handle_request)
            serving.start()
            hold.wait_entered()
            closing = threading.Thread(target=server.server_close)
            closing.start()
            closing.join(0.05)
            assert closing.is_alive(), "a request still runs"
            hold.release()
            say(client, b"abc")
            assert hear(client) == b"ABC"
            closing.join(DEADLINE)
            assert not closing.is_alive()
            serving.join(DEADLINE)


@pytest.mark.logs("cannot accept")
def test_out_of_descriptors_it_rests(caplog: pytest.LogCaptureFixture):
    tries = []

    class Exhausted(TCPServer):
        def get_request(self):
            tries.append(1)
            raise OSError(errno.EMFILE, "Too many open files")

    with Exhausted(("127.0.0.1", 0), Upper) as server, connected(server):
        began = time.monotonic()
        for _ in range(3):  # a loop that finds the socket readable comes back at once
            server.handle_request()
        assert time.monotonic() - began >= 3 * REST
        assert len(tries) == 3
    assert len([record for record in caplog.records if "cannot accept" in record.message]) == 1


@pytest.mark.parametrize("queue", [0, 1])
def test_by_more_threads_than_there_is_room(queue: int):
    # No request is lost to a strategy that is full, and nobody spins while it waits.
    strategy = ThreadPool(1, queue=queue)
    with TCPServer(("127.0.0.1", 0), Upper, strategy=strategy) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(4)]
        threads = [threading.Thread(target=server.handle_request) for _ in clients]
        began = time.process_time()
        for thread in threads:
            thread.start()
        threads[0].join(0.3)
        assert time.process_time() - began < 0.15
        for client in clients:
            say(client, b"abc")
        assert [hear(client) for client in clients] == [b"ABC"] * 4
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


def test_first_used_by_several_threads_at_once(monkeypatch: pytest.MonkeyPatch):
    # The race: two threads find that the server has no loop yet, and make it one each.
    makers = threading.Barrier(2)

    class Slow(PrivateReactor):
        def __init__(self) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                makers.wait(0.1)
            super().__init__()

    monkeypatch.setattr("reactor.server.PrivateReactor", Slow)
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        threads = [threading.Thread(target=server.handle_request) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert [ask(server, b"abc") for _ in threads] == [b"ABC"] * 2
        for thread in threads:
            thread.join(DEADLINE)
        assert makers.broken  # nobody else came


def test_not_beside_serve_forever():
    with TCPServer(("127.0.0.1", 0), Upper) as server, Serving(server):
        with pytest.raises(UsageError, match="served by another thread"):
            server.handle_request()
        assert ask(server, b"abc") == b"ABC"


def test_select_round_several(tmp_path: Path):
    servers = [
        make(kind, tmp_path, strategy=strategy)
        for kind, strategy in zip(KINDS, [ThreadPool(1), None, ForkPerRequest(), None], strict=True)
    ]

    def handle_the_ready() -> None:
        for server in select.select(servers, [], [], DEADLINE)[0]:
            server.handle_request()

    # Children first: at the time there are no threads.
    for server in reversed(servers):
        assert ask(server, b"abc", handle_the_ready) == b"ABC"
    for server in servers:
        server.server_close()


def test_asyncio():
    async def ask_both() -> list[bytes]:
        loop = asyncio.get_running_loop()
        for server in servers:
            loop.add_reader(server.fileno(), server.handle_request)
        try:
            return await asyncio.gather(
                *(loop.run_in_executor(None, ask, server, b"abc") for server in servers * 3)
            )
        finally:
            for server in servers:
                loop.remove_reader(server.fileno())

    servers = [
        TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool(2)),
        UDPServer(("127.0.0.1", 0), UpperPacket),
    ]
    assert asyncio.run(ask_both()) == [b"ABC"] * 6
    for server in servers:
        server.server_close()


def test_in_a_reactor_that_does_not_run():
    with Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool(1)))
        assert ask(server, b"abc", server.handle_request) == b"ABC"


def test_a_client_that_came_and_went():
    # Not the server's affair: nothing is raised, nothing printed.
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        with connected(server):
            pass
        server.handle_request()


def test_children_are_reaped_beside():
    with TCPServer(("127.0.0.1", 0), Upper, strategy=ForkPerRequest(max_children=1)) as server:
        # With one child at most, the second call has to reap the first's before it can go on.
        assert [ask(server, b"abc", server.handle_request) for _ in range(3)] == [b"ABC"] * 3
