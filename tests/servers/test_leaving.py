"""SystemExit and KeyboardInterrupt from handlers: inline they end the server, on a thread or in a child only that."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from handlers import StreamRequestHandler
from reactor import Reactor, TCPServer
from strategies import ForkingMixIn, ForkPerRequest, Prefork, ThreadingMixIn, ThreadPool
from tests.answers import Upper, raising
from tests.clients import ask, connected, hear
from tests.serving import Serving

LEAVING = [SystemExit(3), KeyboardInterrupt("mine")]


class Leaves(StreamRequestHandler):
    """Says its word, then raises what the client names; without a name it answers."""

    def handle(self) -> None:
        word = self.rfile.read()
        self.wfile.write(b"said")
        if word == b"exit":
            raise SystemExit(3)
        if word == b"interrupt":
            raise KeyboardInterrupt


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type[BaseException]]]:
    """What threading.excepthook is told, which pytest would fail the test for otherwise."""
    told: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda what: told.append(what.exc_type))
    return told


@pytest.mark.parametrize("error", LEAVING)
def test_inline_ends_serve_forever(error: BaseException):
    with TCPServer(("127.0.0.1", 0), raising(error)) as server, Serving(server) as serving, connected(server) as client:
        assert serving.ended() is error
        assert hear(client) == b""  # the request was closed first


@pytest.mark.parametrize("error", LEAVING)
def test_inline_ends_handle_request(error: BaseException):
    with TCPServer(("127.0.0.1", 0), raising(error)) as server, connected(server) as client:
        with pytest.raises(type(error)):
            server.handle_request()
        assert hear(client) == b""


def test_inline_ends_a_whole_reactor():
    with Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Leaves))
        other = reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        with Serving(reactor) as serving:
            assert ask(server, b"exit") == b"said"
            assert isinstance(serving.ended(), SystemExit)
        with Serving(reactor):  # and may go on
            assert ask(other, b"abc") == b"ABC"


def test_it_serves_again_afterwards():
    with TCPServer(("127.0.0.1", 0), Leaves) as server:
        with Serving(server) as serving:
            assert ask(server, b"exit") == b"said"
            assert isinstance(serving.ended(), SystemExit)
        with Serving(server):
            assert ask(server, b"") == b"said"


@pytest.mark.logs(r"was ended by SystemExit", r"was ended by KeyboardInterrupt")
def test_pool_thread():
    with TCPServer(("127.0.0.1", 0), Leaves, strategy=ThreadPool(1)) as server, Serving(server):
        assert ask(server, b"exit") == b"said"
        assert ask(server, b"interrupt") == b"said"
        assert ask(server, b"") == b"said"


@pytest.mark.logs(r"was ended by SystemExit", r"was ended by KeyboardInterrupt", required=False)
def test_thread_of_its_own(hooked: list[type[BaseException]], logs: list[object]):
    class Threading(ThreadingMixIn, TCPServer):
        pass

    with Threading(("127.0.0.1", 0), Leaves) as server:
        with Serving(server):
            assert ask(server, b"exit") == b"said"
            assert ask(server, b"interrupt") == b"said"
            assert ask(server, b"") == b"said"
        server.server_close()
        # Both are reported, one way or the other.
        assert len([kind for kind in hooked if kind is not SystemExit]) + len(logs) == 2


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
@pytest.mark.parametrize("kind", [TCPServer, type("Forking", (ForkingMixIn, TCPServer), {})])
def test_child(kind: type[TCPServer], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    # A child's log is its own: let it say on standard error what it says.
    monkeypatch.setattr(logging.getLogger("strategies"), "handlers", [logging.StreamHandler()])
    strategy = ForkPerRequest() if kind is TCPServer else None
    with kind(("127.0.0.1", 0), Leaves, strategy=strategy) as server:
        with Serving(server):
            assert ask(server, b"exit") == b"said"
            assert ask(server, b"interrupt") == b"said"
            assert ask(server, b"") == b"said"
        server.server_close()
    reported = capfd.readouterr().err
    assert "SystemExit" in reported
    assert "KeyboardInterrupt" in reported


@pytest.mark.logs(r"worker \d+ exited with")
@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
def test_prefork_worker_is_replaced():
    with TCPServer(("127.0.0.1", 0), Leaves, strategy=Prefork(1)) as server, Serving(server):
        assert ask(server, b"exit") == b"said"
        assert ask(server, b"") == b"said"  # by the next worker
