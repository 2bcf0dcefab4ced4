"""Subclasses that override hooks, and hooks that raise: each request is closed exactly once."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from handlers import BaseRequestHandler
from reactor import TCPServer
from strategies import Inline, Strategy, ThreadPool
from tests.answers import Upper, raising
from tests.clients import ask, connected, hear, say
from tests.kinds import DATAGRAMS, KINDS, make
from tests.serving import DEADLINE, Serving

STRATEGIES: list[Any] = [Inline, lambda: ThreadPool(2)]


class Counting(TCPServer):
    """Counts what is closed, and how often; keeps what ``handle_error()`` was told."""

    def __init__(self, handler: Any = Upper, strategy: Strategy | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler, strategy=strategy)
        self.closed: dict[Any, int] = {}
        self.errors: list[BaseException | None] = []

    def shutdown_request(self, request: Any) -> None:
        self.closed[request] = self.closed.get(request, 0) + 1
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.errors.append(sys.exc_info()[1])


@pytest.mark.parametrize("make_strategy", STRATEGIES)
def test_a_request_is_closed_once(make_strategy: Any):
    with Counting(strategy=make_strategy()) as server:
        with Serving(server):
            assert [ask(server, b"abc") for _ in range(3)] == [b"ABC"] * 3
        server.server_close()
        assert list(server.closed.values()) == [1, 1, 1]
        assert server.errors == []


@pytest.mark.parametrize("make_strategy", STRATEGIES)
def test_handler_raises(make_strategy: Any):
    with Counting(raising(ZeroDivisionError("mine")), make_strategy()) as server:
        with Serving(server), connected(server) as client:
            assert hear(client) == b""
        server.server_close()
        assert list(server.closed.values()) == [1]
        assert [str(error) for error in server.errors] == ["mine"]  # sys.exc_info() holds it


def test_get_request():
    class Dressed(TCPServer):
        def get_request(self):
            request, client_address = super().get_request()
            return request, ("dressed", *client_address)

    class Dress(BaseRequestHandler):
        def handle(self):
            self.request.sendall(self.client_address[0].encode())

    with Dressed(("127.0.0.1", 0), Dress) as server, Serving(server):
        assert server.socket.getblocking()  # not made non-blocking behind its back
        assert [ask(server, b"") for _ in range(3)] == [b"dressed"] * 3


def test_get_request_raises_for_one_client():
    # As a failing TLS handshake does: that client's affair.
    fails = [OSError("handshake"), ConnectionResetError()]

    class Picky(TCPServer):
        def get_request(self):
            request, client_address = super().get_request()
            if fails:
                request.close()
                raise fails.pop()
            return request, client_address

    with Picky(("127.0.0.1", 0), Upper) as server, Serving(server):
        for _ in range(2):
            with connected(server) as client:
                assert hear(client) == b""
        assert ask(server, b"abc") == b"ABC"


def test_verify_request_raises():
    class Unsure(Counting):
        def verify_request(self, request, client_address):
            if not self.errors:
                raise ZeroDivisionError("cannot tell")
            return True

    with Unsure() as server, Serving(server):
        with connected(server) as client:
            assert hear(client) == b""
        assert ask(server, b"abc") == b"ABC"
        assert [str(error) for error in server.errors] == ["cannot tell"]
    assert list(server.closed.values()) == [1, 1]


def test_process_request_round_super_sees_an_inline_request_done():
    steps = []

    class Round(Counting):
        def process_request(self, request, client_address):
            steps.append("before")
            super().process_request(request, client_address)
            steps.append(self.closed.get(request))
            steps.append(request.fileno())

    with Round() as server:
        assert ask(server, b"abc", server.handle_request) == b"ABC"
        with Serving(server):
            assert ask(server, b"abc") == b"ABC"
    assert steps == ["before", 1, -1] * 2


@pytest.mark.parametrize("make_strategy", STRATEGIES)
@pytest.mark.parametrize("served", [True, False])
def test_process_request_raises_before_super(make_strategy: Any, served: bool):
    class Fails(Counting):
        def process_request(self, request, client_address):
            raise ZeroDivisionError("before")

    with Fails(strategy=make_strategy()) as server:
        with connected(server) as client:
            if served:
                with Serving(server):
                    assert hear(client) == b""
            else:
                server.handle_request()
                assert hear(client) == b""
        assert [str(error) for error in server.errors] == ["before"]
        assert list(server.closed.values()) == [1]


@pytest.mark.parametrize("make_strategy", STRATEGIES)
@pytest.mark.parametrize("served", [True, False])
def test_process_request_raises_after_super(make_strategy: Any, served: bool):
    class Fails(Counting):
        def process_request(self, request, client_address):
            super().process_request(request, client_address)
            raise ZeroDivisionError("after")

    with Fails(strategy=make_strategy()) as server:
        if served:
            with Serving(server):
                assert ask(server, b"abc") == b"ABC"
        else:
            assert ask(server, b"abc", server.handle_request) == b"ABC"
        server.server_close()  # all threads are done
        assert [str(error) for error in server.errors] == ["after"]
        assert list(server.closed.values()) == [1]


@pytest.mark.parametrize("make_strategy", STRATEGIES)
def test_finish_request(make_strategy: Any):
    class Twice(Counting):
        def finish_request(self, request, client_address):
            request.sendall(b"first: ")
            return super().finish_request(request, client_address)

    with Twice(strategy=make_strategy()) as server, Serving(server):
        assert ask(server, b"abc") == b"first: ABC"


def test_finish_request_that_returns_anything():
    class Talkative(Counting):
        def finish_request(self, request, client_address):
            super().finish_request(request, client_address)
            return "an answer that nobody asked for"

    for strategy in Inline(), ThreadPool(1):
        with Talkative(strategy=strategy) as server, Serving(server):
            assert ask(server, b"abc") == b"ABC"
            server.shutdown()
            server.server_close()
            assert list(server.closed.values()) == [1]


def test_finish_request_without_a_handler_class():
    class Own(TCPServer):
        def finish_request(self, request, client_address):
            request.sendall(b"by myself")

    with Own(("127.0.0.1", 0), None) as server, Serving(server):
        assert ask(server, b"") == b"by myself"


class Unforgiving(Counting):
    """Lets what a handler raised through."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        super().handle_error(request, client_address)
        raise


@pytest.mark.parametrize("kind", KINDS)
def test_handle_error_raises(kind: type[TCPServer], tmp_path: Path):
    calls = []

    class Raises(kind):  # type: ignore[misc,valid-type]
        def handle_error(self, request, client_address):
            calls.append(client_address)
            raise ZeroDivisionError("from handle_error")

    with make(Raises, tmp_path, raising(KeyError())) as server:
        with Serving(server) as serving, connected(server) as client:
            if kind in DATAGRAMS:  # a stream may have been closed by now
                client.send(b"abc")
            error = serving.ended()
            assert isinstance(error, ZeroDivisionError)
            assert isinstance(error.__context__, KeyError)
        with connected(server) as client:
            say(client, b"abc")
            with pytest.raises(ZeroDivisionError):
                server.handle_request()
    assert len(calls) == 2


def test_handle_error_with_a_bare_raise_inline():
    with Unforgiving(raising(ZeroDivisionError("mine"))) as server:
        with Serving(server) as serving, connected(server) as client:
            assert str(serving.ended()) == "mine"
            assert hear(client) == b""
        assert list(server.closed.values()) == [1]
        assert len(server.errors) == 1


@pytest.mark.logs(r"ended by ZeroDivisionError")
def test_handle_error_with_a_bare_raise_on_a_thread():
    with Unforgiving(raising(ZeroDivisionError("mine")), ThreadPool(1)) as server, Serving(server):
        for _ in range(2):  # the thread was replaced, and the service goes on
            with connected(server) as client:
                assert hear(client) == b""
    assert list(server.closed.values()) == [1, 1]


def test_handle_request():
    # Natively it is what serve_forever() calls, round super() or instead of it.
    threads = []

    class Own(TCPServer):
        def handle_request(self):
            threads.append(threading.current_thread().name)
            super().handle_request()

    with Own(("127.0.0.1", 0), Upper, strategy=ThreadPool(2)) as server, Serving(server):
        assert [ask(server, b"abc") for _ in range(3)] == [b"ABC"] * 3
    assert threads == ["Serving"] * 3


def test_handle_request_that_raises_ends_serve_forever():
    class Fails(TCPServer):
        def handle_request(self):
            raise ZeroDivisionError

    with Fails(("127.0.0.1", 0), Upper) as server, Serving(server) as serving, connected(server):
        assert isinstance(serving.ended(), ZeroDivisionError)


def test_a_request_that_the_subclass_keeps_is_left_alone():
    kept = []

    class Keeps(TCPServer):
        def process_request(self, request, client_address):
            kept.append(request)

    with Keeps(("127.0.0.1", 0), Upper) as server, connected(server) as client:
        with Serving(server):
            while not kept:
                let_turn(server)
        (request,) = kept
        with request:
            request.sendall(b"kept")
        assert hear(client) == b"kept"


def let_turn(server: TCPServer) -> None:
    """Let the loop turn once more."""
    turned = threading.Event()
    server.in_reactor.post(turned.set)
    assert turned.wait(DEADLINE)


def test_logger(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture):
    with TCPServer(("127.0.0.1", 0), raising(ZeroDivisionError("logged"))) as server, connected(server) as client:
        server.logger = logging.getLogger("tests.of.mine")
        server.handle_request()
        assert hear(client) == b""
    assert "ZeroDivisionError: logged" in caplog.text
    assert capsys.readouterr() == ("", "")
