"""Reactor: several servers of all kinds in one loop, each with a strategy of its own."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handlers import PARK, StreamRequestHandler, TurnHandler
from reactor import DrainReport, Reactor, TCPServer, UDPServer, UnixDatagramServer, UnixStreamServer, UsageError
from reactor.poller import EpollPoller, Poller, SelectorPoller
from strategies import ForkPerRequest, Inline, Prefork, Strategy, ThreadPool
from tests.answers import Upper, Whereabouts, held_by
from tests.clients import ask, connected, hear, say
from tests.hold import Hold
from tests.kinds import KINDS, make
from tests.serving import DEADLINE, Serving


def on_loop(reactor: Reactor, callback: Callable[[], object]) -> Any:
    """Have the loop call it, and wait for what it returns."""
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    reactor.post(lambda: answers.put(callback()))
    return answers.get(timeout=DEADLINE)


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
def test_all_kinds_each_with_its_own_strategy(tmp_path: Path):
    with Reactor() as reactor:
        servers = [
            reactor.add(make(TCPServer, tmp_path, strategy=ThreadPool(2))),
            reactor.add(make(UDPServer, tmp_path, strategy=Inline())),
            reactor.add(make(UnixStreamServer, tmp_path, strategy=ForkPerRequest())),
            reactor.add(make(UnixDatagramServer, tmp_path, strategy=ThreadPool(1))),
            reactor.add(make(TCPServer, tmp_path, strategy=Prefork(2))),
        ]
        assert reactor.servers == tuple(servers)
        with Serving(reactor):
            for _ in range(3):
                assert [ask(server, b"abc") for server in servers] == [b"ABC"] * 5
    assert [server.fileno() for server in servers] == [-1] * 5


def test_one_strategy_for_several(tmp_path: Path):
    pool = ThreadPool(2, min_threads=1)
    with Reactor() as reactor:
        servers = [reactor.add(make(kind, tmp_path, strategy=pool)) for kind in KINDS]
        with Serving(reactor):
            assert [ask(server, b"abc") for server in servers] == [b"ABC"] * 4
            servers[0].server_close()
            assert [ask(server, b"abc") for server in servers[1:]] == [b"ABC"] * 3
    assert pool.host is None


def test_processes_are_made_before_threads():
    # The thread pool was added first; a fork beside its threads would warn, and warnings are errors here.
    with Reactor() as reactor:
        reactor.add(TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool(2, min_threads=2)))
        reactor.add(TCPServer(("127.0.0.1", 0), Upper, strategy=Prefork(2)))
        reactor.post(reactor.stop)
        reactor.run()


def test_add_while_running():
    with Reactor() as reactor:
        reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        with Serving(reactor):
            later = TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool(1))
            on_loop(reactor, lambda: reactor.add(later))
            assert ask(later, b"abc") == b"ABC"


def test_add_from_another_thread_while_running():
    with Reactor() as reactor, TCPServer(("127.0.0.1", 0), Upper) as later:
        reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        with Serving(reactor):
            with pytest.raises(UsageError, match="another thread"):
                reactor.add(later)
            assert len(reactor.servers) == 1


def test_add_that_fails_leaves_nothing():
    pool = ThreadPool(1)
    with Reactor() as other, Reactor() as reactor:
        held = other.add(TCPServer(("127.0.0.1", 0), Upper, strategy=pool))
        assert ask(held, b"abc", held.handle_request) == b"ABC"  # now the pool is of that reactor
        first = reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        refused = TCPServer(("127.0.0.1", 0), Upper, strategy=pool)
        with Serving(reactor):

            def attempt() -> str:
                with pytest.raises(RuntimeError, match="another reactor"):
                    reactor.add(refused)
                return "refused"

            assert on_loop(reactor, attempt) == "refused"
            assert reactor.servers == (first,)
            assert ask(first, b"abc") == b"ABC"
        with refused:
            refused.strategy = ThreadPool(1)
            assert ask(refused, b"abc", refused.handle_request) == b"ABC"


def test_a_server_closed_inside_the_loop_is_a_server_of_it_no_more():
    class Closes(Upper):
        def handle(self) -> None:
            self.server.server_close()

    with Reactor() as reactor:
        closing = reactor.add(TCPServer(("127.0.0.1", 0), Closes))
        staying = reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        with Serving(reactor):
            with connected(closing) as client:
                assert hear(client) == b""
            assert ask(staying, b"abc") == b"ABC"  # another turn
            assert on_loop(reactor, lambda: reactor.servers) == (staying,)


def test_close_goes_on_when_a_server_raises():
    class Raises(TCPServer):
        def server_close(self) -> None:
            super().server_close()
            raise OSError("no")

    reactor = Reactor()
    first = reactor.add(Raises(("127.0.0.1", 0), Upper))
    second = reactor.add(TCPServer(("127.0.0.1", 0), Upper))
    with pytest.raises(OSError, match="no"):
        reactor.close()
    assert (first.fileno(), second.fileno()) == (-1, -1)
    with pytest.raises(UsageError, match="closed"):
        reactor.run()


@pytest.mark.parametrize("poller", [EpollPoller, SelectorPoller])
def test_a_second_watch_is_refused(poller: type[Poller], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("reactor.loop.best_poller", poller)
    reading, writing = os.pipe()
    heard: list[str] = []
    with Reactor() as reactor:
        try:
            undo = reactor.watch(reading, lambda: (heard.append("first"), reactor.stop()))
            with pytest.raises(UsageError, match="watched already"):
                reactor.watch(reading, lambda: heard.append("second"))
            os.write(writing, b"x")
            reactor.run()
            assert heard == ["first"]
            undo()
            again = reactor.watch(reading, lambda: (heard.append("again"), reactor.stop()))
            reactor.run()
            assert heard == ["first", "again"]
            again()
        finally:
            os.close(reading)
            os.close(writing)


@pytest.mark.parametrize("poller", [EpollPoller, SelectorPoller])
def test_a_number_that_came_back_is_watched_anew(poller: type[Poller], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("reactor.loop.best_poller", poller)
    with Reactor() as reactor:
        reading, writing = os.pipe()
        reactor.watch(reading, lambda: None)
        os.close(reading)  # without a word
        os.close(writing)
        again, writing = os.pipe()
        assert again == reading
        try:
            undo = reactor.watch(again, reactor.stop)
            os.write(writing, b"x")
            reactor.run()
            undo()
        finally:
            os.close(again)
            os.close(writing)


@pytest.mark.parametrize("value", [float("inf"), 1e9])
def test_waits_may_be_as_long_as_one_likes(value: float):
    class Patient(TurnHandler):
        idle_timeout = value

        def handle(self) -> Any:
            line = self.rfile.readline()
            self.wfile.write(line)
            return PARK if line else None

    with Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Patient, strategy=ThreadPool(1)))
        server.close_timeout = value
        undo = reactor.call_later(value, print)
        with Serving(reactor), connected(server) as client:
            client.sendall(b"one\n")
            assert client.recv(10) == b"one\n"
            assert not reactor.wait(0)
            report = reactor.drain(value)
            assert report.cut == ()
            assert reactor.wait(value)
        undo()


@pytest.mark.parametrize("call", ["later", "run", "drain"])
def test_not_a_number_is_refused(call: str):
    nan = float("nan")
    with Reactor() as reactor, pytest.raises(UsageError, match="nan"):
        {"later": lambda: reactor.call_later(nan, print), "run": lambda: reactor.run(nan),
         "drain": lambda: reactor.drain(nan)}[call]()  # fmt: skip


@pytest.mark.logs("idle_timeout='soon'")
@pytest.mark.parametrize("strategy", [None, ThreadPool(1)], ids=["inline", "threads"])
def test_an_idle_timeout_that_is_none_ends_that_connection_alone(strategy: Any):
    class Odd(TurnHandler):
        speaks_first = True
        idle_timeout: Any = "soon"

        def handle(self) -> Any:
            self.rfile.readline()
            return PARK

    with TCPServer(("127.0.0.1", 0), Odd, strategy=strategy) as server, Serving(server):
        for _ in range(2):
            with connected(server) as client:
                client.sendall(b"line\n")
                assert hear(client) == b""


@pytest.mark.logs("drain: cut", "could not be closed")
def test_a_hook_that_raises_at_a_deadline_is_logged():
    class Raises(TCPServer):
        def shutdown_request(self, request: Any) -> None:
            super().shutdown_request(request)
            if threading.current_thread().name == "Serving":
                raise OSError("no")

    with Hold() as hold, Reactor() as reactor:
        server = reactor.add(Raises(("127.0.0.1", 0), held_by(hold), strategy=ThreadPool(1, queue=2)))
        with Serving(reactor), connected(server) as first, connected(server) as second:
            hold.wait_entered()
            while on_loop(reactor, lambda: len(server.at_endpoint.requests.live)) < 2:
                pass
            threading.Timer(0.02, hold.release).start()
            report = reactor.drain(0)
            assert len(report.cut) == 2
            assert hear(second) == b""
            assert first is not None


@pytest.mark.parametrize("returned", ["something else", None])
def test_a_strategy_that_breaks_its_contract_ends_no_server(returned: Any):
    # On the way of a connection that was parked there is no hook of the server's that would report it.
    told: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    class Broken(Strategy):
        def submit(self, job: Any) -> Any:
            if returned is None:
                raise ZeroDivisionError
            return returned

    class Echo(TurnHandler):
        def handle(self) -> Any:
            return None

    class Server(TCPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            told.put(sys.exc_info()[1])

    with Reactor() as reactor:
        broken = reactor.add(Server(("127.0.0.1", 0), Echo, strategy=Broken()))
        beside = reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        with Serving(reactor):
            for _ in range(2):
                assert ask(broken, b"abc") == b""
                assert isinstance(told.get(timeout=DEADLINE), (TypeError, ZeroDivisionError))
            assert ask(beside, b"abc") == b"ABC"
            assert on_loop(reactor, lambda: len(broken.at_endpoint.requests.live)) == 0


def test_a_server_is_of_one_reactor():
    with Reactor() as one, Reactor() as two:
        server = one.add(TCPServer(("127.0.0.1", 0), Upper))
        with pytest.raises(UsageError, match="belongs to one"):
            two.add(server)
        with pytest.raises(UsageError, match=r"call run\(\) of that one"):
            server.serve_forever()
        server.server_close()
        assert one.servers == ()


def test_a_strategy_is_of_one_reactor():
    pool = ThreadPool(1)
    with Reactor() as one, Reactor() as two:
        server = one.add(TCPServer(("127.0.0.1", 0), Upper, strategy=pool))
        assert ask(server, b"abc", server.handle_request) == b"ABC"
        other = two.add(TCPServer(("127.0.0.1", 0), Upper, strategy=pool))
        with pytest.raises(RuntimeError, match="another reactor"):
            other.handle_request()


def test_closed_reactor():
    reactor = Reactor()
    reactor.close()
    reactor.close()
    with TCPServer(("127.0.0.1", 0), Upper) as server, pytest.raises(UsageError, match="closed"):
        reactor.add(server)
    with pytest.raises(UsageError, match="closed"):
        reactor.run()
    reactor.stop()
    reactor.post(print)


def test_run_twice():
    with Reactor() as reactor, Serving(reactor):
        assert reactor.running
        with pytest.raises(UsageError, match="being turned already"):
            reactor.run()


def test_without_servers_it_runs_until_stop():
    with Reactor() as reactor:
        with Serving(reactor) as serving:
            serving.thread.join(0.02)
            assert reactor.running
        assert not reactor.running


# -- watch, call_later, post


def test_watch():
    reading, writing = os.pipe()
    seen = []

    def readable() -> None:
        seen.append(os.read(reading, 1))
        if seen[-1] == b"3":
            undo()
            reactor.stop()

    with Reactor() as reactor:
        undo = reactor.watch(reading, readable)
        os.write(writing, b"1234")
        reactor.run()
        assert seen == [b"1", b"2", b"3"]
        undo()  # a second time does nothing
    os.close(reading)
    os.close(writing)


@pytest.mark.logs(r"it is watched no more")
def test_a_watch_that_raises_is_dropped():
    reading, writing = os.pipe()
    with Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        reactor.watch(reading, lambda: 1 / 0)
        os.write(writing, b"1")
        with Serving(reactor):
            assert ask(server, b"abc") == b"ABC"
    os.close(reading)
    os.close(writing)


def test_call_later():
    order: list[str] = []
    with Reactor() as reactor:
        began = time.monotonic()
        reactor.call_later(0.02, order.append, "second")
        reactor.call_later(0.01, order.append, "first")
        undo = reactor.call_later(0, order.append, "never")
        reactor.call_later(0.03, reactor.stop)
        undo()
        reactor.run()
        assert order == ["first", "second"]
        assert 0.03 <= time.monotonic() - began < DEADLINE


@pytest.mark.logs(r"raised")
def test_what_posts_and_timers_raise_is_logged():
    with Reactor() as reactor:
        reactor.post(lambda: 1 / 0)
        reactor.call_later(0, lambda: 1 / 0)
        reactor.call_later(0, reactor.post, reactor.stop)
        reactor.run()


def test_post_from_many_threads():
    with Reactor() as reactor:
        posted: list[int] = []
        with Serving(reactor):
            threads = [
                threading.Thread(target=lambda n=n: [reactor.post(posted.append, n) for _ in range(200)])
                for n in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE)
            on_loop(reactor, lambda: None)
            assert sorted(posted) == [n for n in range(4) for _ in range(200)]


# -- stop, shutdown of one, retire


def test_stop_returns_at_once_and_run_follows():
    with Reactor() as reactor:
        reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        with Serving(reactor) as serving:
            began = time.perf_counter()
            reactor.stop()
            assert serving.ended() is None
            assert time.perf_counter() - began < 0.1


def test_stop_before_run():
    with Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        reactor.stop()
        reactor.run()
        with Serving(reactor):
            assert ask(server, b"abc") == b"ABC"


@pytest.mark.parametrize("strategy", [None, ThreadPool(1)])
def test_stop_from_a_handler(strategy: ThreadPool | None):
    class Stops(StreamRequestHandler):
        def handle(self):
            self.server.in_reactor.stop()
            self.wfile.write(b"stopped")

    with Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Stops, strategy=strategy))
        with Serving(reactor) as serving:
            assert ask(server, b"") == b"stopped"
            assert serving.ended() is None


def test_shutdown_of_one_leaves_the_others():
    with Reactor() as reactor:
        one, two = (reactor.add(TCPServer(("127.0.0.1", 0), Upper)) for _ in range(2))
        with Serving(reactor) as serving, connected(one) as client:
            say(client, b"later")
            assert hear(client) == b"LATER"
            one.shutdown()
            with connected(one) as waiting:  # its queue is still there
                say(waiting, b"abc")
                assert ask(two, b"abc") == b"ABC"
                waiting.setblocking(False)
                with pytest.raises(BlockingIOError):
                    waiting.recv(1)
            two.shutdown()  # the last one: the reactor has nobody left to serve
            assert serving.ended() is None


def test_close_of_the_last_ends_run():
    with Reactor() as reactor:
        one, two = (reactor.add(TCPServer(("127.0.0.1", 0), Upper)) for _ in range(2))
        with Serving(reactor) as serving:
            one.server_close()
            assert ask(two, b"abc") == b"ABC"
            two.server_close()
            assert serving.ended() is None
            assert reactor.servers == ()


def test_retire():
    with Reactor() as reactor:
        one, two = (reactor.add(TCPServer(("127.0.0.1", 0), Whereabouts, strategy=ThreadPool(1))) for _ in range(2))
        with Serving(reactor):
            assert ask(one, b"")
            reactor.retire(one)
            assert ask(two, b"")
            assert one in reactor.servers


# -- drain


def test_drain_of_an_idle_reactor():
    with Reactor() as reactor:
        reactor.add(TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool(2)))
        with Serving(reactor) as serving:
            assert reactor.drain(DEADLINE) == DrainReport(0)
            assert serving.ended() is None
            assert serving.report == DrainReport(0)


def test_drain_lets_what_runs_finish():
    with Hold() as hold, Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), held_by(hold), strategy=ThreadPool(2)))
        with Serving(reactor) as serving, connected(server) as client, connected(server) as late:
            say(client, b"abc")
            hold.wait_entered()
            reports: list[DrainReport | None] = []
            draining = threading.Thread(target=lambda: reports.append(reactor.drain(DEADLINE)))
            say(late, b"late")
            hold.wait_entered()
            draining.start()
            draining.join(0.03)
            assert draining.is_alive()
            hold.release()
            assert (hear(client), hear(late)) == (b"ABC", b"LATE")
            draining.join(DEADLINE)
            assert reports == [DrainReport(2)]
            assert serving.ended() is None


@pytest.mark.logs(r"drain: cut <Connection from .*RUNNING>")
def test_drain_cuts_at_its_deadline():
    class Waits(StreamRequestHandler):
        def handle(self):
            entered.set()
            self.rfile.read()

    entered = threading.Event()
    with Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Waits, strategy=ThreadPool(2)))
        with Serving(reactor) as serving, connected(server) as client:
            assert entered.wait(DEADLINE)
            report = reactor.drain(0.02)
            assert hear(client) == b""
            assert serving.ended() is None
            assert report is not None
            assert (report.finished, len(report.cut)) == (0, 1)
            assert str(client.getsockname()[1]) in report.cut[0]
            assert serving.report == report


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
@pytest.mark.logs(r"drain: cut", r"killed by signal 15")
def test_drain_cuts_a_child():
    class Waits(StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"here")
            self.rfile.read()

    with Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Waits, strategy=ForkPerRequest()))
        with Serving(reactor) as serving, connected(server) as client:
            assert client.recv(4) == b"here"
            report = reactor.drain(0.02)
            assert hear(client) == b""
            assert serving.ended() is None
            assert report is not None
            assert len(report.cut) == 1


@pytest.mark.parametrize("strategy", [None, ThreadPool(1)])
def test_drain_from_a_handler(strategy: ThreadPool | None):
    class Drains(StreamRequestHandler):
        def handle(self):
            assert self.server.in_reactor.drain(DEADLINE) is None
            self.wfile.write(b"drains")

    with Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Drains, strategy=strategy))
        with Serving(reactor) as serving:
            assert ask(server, b"") == b"drains"
            assert serving.ended() is None
            assert serving.report.cut == ()


def test_drain_of_a_reactor_that_does_not_run():
    with Reactor() as reactor:
        reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        assert reactor.drain() == DrainReport(0)
        with pytest.raises(UsageError, match="0 or more"):
            reactor.drain(-1)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda reactor: reactor.add(5), "5"),
        (lambda reactor: reactor.call_later("1", print), "delay='1'"),
        (lambda reactor: reactor.call_later(1, None), "callback=None"),
        (lambda reactor: reactor.post("print"), "callback='print'"),
        (lambda reactor: reactor.drain("x"), "timeout='x'"),
        (lambda reactor: reactor.watch(0, None), "callback=None"),
    ],
)
def test_what_is_no_argument_is_named(call: Callable[[Reactor], object], named: str):
    with Reactor() as reactor, pytest.raises(UsageError, match=named):
        call(reactor)


def test_a_file_on_disk_is_always_ready(tmp_path: Path):
    (tmp_path / "file").write_text("text")
    with Reactor() as reactor, open(tmp_path / "file") as file:
        if isinstance(reactor._loop.poller, EpollPoller):
            with pytest.raises(UsageError, match="always ready"):
                reactor.watch(file, print)
