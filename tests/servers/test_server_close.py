"""server_close() and the context manager: what belongs to the server ends, and nothing else waits."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from handlers import PARK, StreamRequestHandler, TurnHandler
from reactor import TCPServer
from strategies import ForkPerRequest, Prefork, ThreadPool
from tests.answers import Upper, held_by
from tests.clients import ask, connected, hear, say
from tests.hold import Hold
from tests.kinds import KINDS, make
from tests.serving import DEADLINE, Serving


def is_refused(address: Any) -> bool:
    try:
        socket.create_connection(address, timeout=DEADLINE).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_unused(kind: type[TCPServer], tmp_path: Path):
    server = make(kind, tmp_path)
    server.server_close()
    assert server.fileno() == -1
    server.server_close()


@pytest.mark.parametrize("kind", KINDS)
def test_context_manager(kind: type[TCPServer], tmp_path: Path):
    with make(kind, tmp_path) as server:
        assert isinstance(server, kind)
        assert ask(server, b"abc", server.handle_request) == b"ABC"
    assert server.fileno() == -1


def test_context_manager_on_an_exception():
    with pytest.raises(ZeroDivisionError), TCPServer(("127.0.0.1", 0), Upper) as server:
        raise ZeroDivisionError
    assert server.fileno() == -1


@pytest.mark.parametrize("strategy", [None, ThreadPool(2, min_threads=2)])
def test_while_serving_from_another_thread(strategy: ThreadPool | None):
    server = TCPServer(("127.0.0.1", 0), Upper, strategy=strategy)
    with Serving(server) as serving:
        assert ask(server, b"abc") == b"ABC"
        server.server_close()
        assert is_refused(server.server_address)
        assert serving.ended() is None


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
@pytest.mark.parametrize("strategy", [Prefork(2), Prefork(1, ThreadPool(2)), ForkPerRequest()])
def test_while_serving_with_processes(strategy: Prefork):
    server = TCPServer(("127.0.0.1", 0), Upper, strategy=strategy)
    with Serving(server) as serving:
        assert ask(server, b"abc") == b"ABC"
        server.server_close()
        assert is_refused(server.server_address)
        assert serving.ended() is None


@pytest.mark.parametrize("strategy", [None, ThreadPool(2)])
def test_from_a_handler(strategy: ThreadPool | None):
    class Closes(StreamRequestHandler):
        def handle(self):
            self.server.server_close()
            self.wfile.write(b"closed")

    server = TCPServer(("127.0.0.1", 0), Closes, strategy=strategy)
    with Serving(server) as serving:
        with connected(server) as client:
            say(client, b"")
            assert hear(client) == b"closed"
        assert serving.ended() is None
        assert is_refused(server.server_address)


def test_from_a_handler_of_handle_request():
    class Closes(StreamRequestHandler):
        def handle(self):
            self.server.server_close()
            self.wfile.write(b"closed")

    server = TCPServer(("127.0.0.1", 0), Closes)
    assert ask(server, b"", server.handle_request) == b"closed"
    assert server.fileno() == -1
    server.server_close()


def test_twice_at_once():
    server = TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool(1))
    with Serving(server) as serving:
        assert ask(server, b"abc") == b"ABC"
        both = [threading.Thread(target=server.server_close) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        assert serving.ended() is None


def test_waits_for_running_handlers():
    hold = Hold()
    server = TCPServer(("127.0.0.1", 0), held_by(hold), strategy=ThreadPool(2))
    with hold, Serving(server), connected(server) as client:
        say(client, b"abc")
        hold.wait_entered()
        closing = threading.Thread(target=server.server_close)
        closing.start()
        closing.join(0.05)
        assert closing.is_alive()
        assert is_refused(server.server_address)  # it takes no more, meanwhile
        hold.release()
        closing.join(DEADLINE)
        assert not closing.is_alive()
        assert hear(client) == b"ABC"


@pytest.mark.logs(r"cutting 1 requests")
@pytest.mark.parametrize("serving", [True, False])
def test_close_timeout_cuts_a_thread(serving: bool):
    # The handler waits for a client that says nothing: its socket is shut under it, and it comes back.
    entered = threading.Event()
    heard = []

    class Waits(StreamRequestHandler):
        def handle(self):
            entered.set()
            heard.append(self.rfile.read())

    server = TCPServer(("127.0.0.1", 0), Waits, strategy=ThreadPool(2))
    server.close_timeout = 0.05
    with connected(server) as client:
        if serving:
            with Serving(server):
                assert entered.wait(DEADLINE)
                server.server_close()
        else:
            server.handle_request()
            assert entered.wait(DEADLINE)
            server.server_close()
        assert heard == [b""]
        assert hear(client) == b""


@pytest.mark.logs(r"cutting 1 requests", r"was killed by signal 15")
def test_close_timeout_cuts_a_child():
    class Waits(StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"here")
            self.rfile.read()

    server = TCPServer(("127.0.0.1", 0), Waits, strategy=ForkPerRequest())
    server.close_timeout = 0.05
    with connected(server) as client:
        server.handle_request()
        assert client.recv(4) == b"here"
        server.server_close()
        assert hear(client) == b""


def test_ends_parked_connections():
    finished = threading.Event()

    class Parks(TurnHandler):
        def handle(self):
            self.wfile.write(self.rfile.readline().upper())
            return PARK

        def finish(self):
            super().finish()
            finished.set()

    server = TCPServer(("127.0.0.1", 0), Parks, strategy=ThreadPool(2))
    with Serving(server), connected(server) as client:
        client.sendall(b"abc\n")
        assert client.recv(10) == b"ABC\n"
        server.server_close()
        assert finished.is_set()
        assert hear(client) == b""


def test_server_is_of_no_reactor_afterwards():
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        assert ask(server, b"abc", server.handle_request) == b"ABC"
        reactor = server.in_reactor
        server.server_close()
        assert server.in_reactor is None
        assert reactor.servers == ()
