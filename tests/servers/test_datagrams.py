"""Datagram: the bytes of a packet, and where they came in."""

from __future__ import annotations

import queue
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from handlers import PARK, BaseRequestHandler, TurnHandler
from reactor import Datagram, TCPServer, UDPServer, UnixDatagramServer, UsageError
from strategies import ForkPerRequest, ThreadPool
from tests.answers import UpperPacket
from tests.clients import ask, connected, hear
from tests.kinds import DATAGRAMS, make
from tests.serving import DEADLINE, Serving


class Kept(BaseRequestHandler):
    """Keeps the request on the server, and answers nothing."""

    def handle(self) -> None:
        self.server.kept = self.request


@pytest.mark.parametrize("kind", DATAGRAMS)
def test_attributes(kind: type[TCPServer], tmp_path: Path):
    with make(kind, tmp_path, Kept) as server, connected(server) as client:
        client.send(b"abc")
        server.handle_request()
        packet = server.kept
        assert isinstance(packet, Datagram)
        assert isinstance(packet, bytes)
        assert packet == b"abc"
        assert packet.socket is server.socket
        assert packet.local_address == server.server_address
        assert packet.truncated is False


@pytest.mark.parametrize("kind", DATAGRAMS)
@pytest.mark.parametrize(("size", "truncated"), [(9, False), (10, False), (11, True), (100, True)])
def test_truncation(kind: type[TCPServer], size: int, truncated: bool, tmp_path: Path):
    with make(kind, tmp_path, Kept) as server, connected(server) as client:
        server.max_packet_size = 10
        client.send(bytes(range(size)))
        client.send(b"next")
        server.handle_request()
        assert server.kept == bytes(range(min(size, 10)))
        assert server.kept.truncated is truncated
        server.handle_request()
        assert server.kept == b"next"  # the rest of the long one is gone, not the next request
        assert not server.kept.truncated


def test_empty_packet():
    with UDPServer(("127.0.0.1", 0), UpperPacket) as server, Serving(server):
        assert ask(server, b"") == b""


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
@pytest.mark.parametrize("make_strategy", [lambda: ThreadPool(2), ForkPerRequest])
@pytest.mark.parametrize("kind", DATAGRAMS)
def test_elsewhere(kind: type[TCPServer], make_strategy: Any, tmp_path: Path):
    with make(kind, tmp_path, strategy=make_strategy()) as server, Serving(server), connected(server) as client:
        messages = [b"%d" % number for number in range(10)]
        for message in messages:
            client.send(message)
        assert sorted(hear(client) for _ in messages) == messages


def test_a_client_without_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with make(UnixDatagramServer, tmp_path) as server:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
            nameless.settimeout(DEADLINE)
            nameless.sendto(b"abc", server.server_address)
        server.handle_request()
        assert "has no name" in capsys.readouterr().out
        assert ask(server, b"abc", server.handle_request) == b"ABC"


def test_a_client_that_has_gone():
    # The port unreachable that comes back is not the next client's affair.
    with UDPServer(("127.0.0.1", 0), UpperPacket) as server, Serving(server):
        for _ in range(3):
            with connected(server) as client:
                client.send(b"bye")
        assert ask(server, b"abc") == b"ABC"


def test_a_client_that_does_not_read_holds_nobody_up(tmp_path: Path):
    told: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    class Brief(UpperPacket):
        send_timeout = 0.02

        def finish(self) -> None:
            super().finish()
            told.put(None)

    class Server(UnixDatagramServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            told.put(sys.exc_info()[1])

    with Server(str(tmp_path / "s"), Brief) as server, Serving(server):
        with connected(server) as deaf:
            error = None
            while error is None:  # its own queue fills, and then the server's answers have nowhere to go
                deaf.send(b"abc")
                error = told.get(timeout=DEADLINE)
            assert isinstance(error, TimeoutError)
            assert "does not read" in str(error)
        # Where the queue is long, it was the server's own send buffer that was full of answers that lay there.
        assert ask(server, b"abc") == b"ABC"


@pytest.mark.parametrize("strategy", [None, ThreadPool(1)], ids=["inline", "threads"])
def test_a_packet_has_one_turn(strategy: Any):
    told: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    class Turns(TurnHandler):
        next_turn = PARK

        def run(self) -> Any:
            return self

    class Server(UDPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            told.put(sys.exc_info()[1])

    with Server(("127.0.0.1", 0), Turns, strategy=strategy) as server:
        with Serving(server), connected(server) as client:
            client.send(b"abc")
            error = told.get(timeout=DEADLINE)
            assert isinstance(error, UsageError)
            assert "are for connections" in str(error)
            server.RequestHandlerClass = UpperPacket
            assert ask(server, b"abc") == b"ABC"
        assert not server.at_endpoint.requests.live
