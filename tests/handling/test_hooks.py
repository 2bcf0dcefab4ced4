"""The order of the hooks, and what is given back after an exception; handlers built and run without a server."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from handlers import (
    AGAIN,
    CLOSE,
    PARK,
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
    Turn,
    TurnHandler,
)
from reactor.packet import Datagram
from tests.pairs import pair

KINDS: list[Any] = [BaseRequestHandler, StreamRequestHandler, TurnHandler, DatagramRequestHandler]
CONTRACT = {
    None: ["setup", "handle", "finish"],
    "setup": ["setup", "release"],
    "handle": ["setup", "handle", "release"],
    "finish": ["setup", "handle", "finish", "release"],
}


class Oops(Exception):
    pass


def telling(kind: Any, fails_in: str | None, error: type[BaseException]) -> tuple[Any, list[str]]:
    """A handler class of that kind that tells its hooks, and raises in one of them."""
    told: list[str] = []

    def hook(name: str) -> Any:
        def told_hook(self: Any) -> None:
            # StreamRequestHandler's finish() is release() by another name: only a release after an exception counts.
            told.append(name)
            if name == fails_in:
                raise error
            if name != "handle":
                getattr(kind, name)(self)

        return told_hook

    def release(self: Any) -> None:
        if fails_in is not None:
            told.append("release")
        kind.release(self)

    return type("Telling", (kind,), {n: hook(n) for n in ("setup", "handle", "finish")} | {"release": release}), told


@pytest.mark.parametrize("error", [Oops, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("fails_in", CONTRACT)
@pytest.mark.parametrize("kind", KINDS)
def test_hooks_come_in_order_and_finish_only_after_success(
    kind: Any, fails_in: str | None, error: type[BaseException]
) -> None:
    with pair() as (ours, theirs):
        request: Any = ours
        address: Any = None
        if kind is DatagramRequestHandler:
            request = Datagram(b"x")
            request.socket = ours
        handler, told = telling(kind, fails_in, error)
        made = handler(request, address, None)
        assert told == [], "constructing a handler only stores"
        if fails_in is None:
            assert made.run() is None
        else:
            with pytest.raises(error):
                made.run()
        assert told == CONTRACT[fails_in]
        for name in ("rfile", "wfile"):
            if hasattr(made, name) and kind is not DatagramRequestHandler:
                assert getattr(made, name).closed
        assert theirs.fileno() >= 0


def test_a_handler_stores_its_three_arguments() -> None:
    handler = BaseRequestHandler("request", "address", "server")
    assert (handler.request, handler.client_address, handler.server) == ("request", "address", "server")


# -- turns


class Lines(TurnHandler):
    """Echoes a line a turn; a line that names a turn is what it returns."""

    def handle(self) -> Turn | str | None:
        line = self.rfile.readline().strip().decode()
        self.wfile.write(line.encode())
        return {"PARK": PARK, "AGAIN": AGAIN, "CLOSE": CLOSE, "NONE": None}.get(line, line or PARK)


@pytest.mark.parametrize("wbufsize", [0, -1])
def test_a_turn_that_parks_has_sent_its_answer_and_waits(wbufsize: int) -> None:
    with pair() as (ours, theirs):
        handler = type("Buffered", (Lines,), {"wbufsize": wbufsize})(ours, None, None)
        theirs.sendall(b"PARK\n")
        assert handler.run() is handler
        assert handler.waits
        assert theirs.recv(100) == b"PARK"
        theirs.sendall(b"CLOSE\n")
        assert handler.run() is None
        assert handler.rfile.closed


def test_what_was_read_ahead_is_served_before_the_connection_parks() -> None:
    with pair() as (ours, theirs):
        handler = Lines(ours, None, None)
        theirs.sendall(b"PARK\nPARK\nAGAIN\n")
        waits = []
        for _ in range(3):
            assert handler.run() is handler
            waits.append(handler.waits)
        assert waits == [False, False, False], "two lines were still there, then AGAIN"
        handler.expire()
        assert handler.rfile.closed


def test_park_at_the_end_of_the_stream_is_close() -> None:
    with pair() as (ours, theirs):
        handler = Lines(ours, None, None)
        theirs.shutdown(socket.SHUT_WR)
        assert handler.run() is None
        assert handler.rfile.closed


def test_none_means_close() -> None:
    with pair() as (ours, theirs):
        handler = Lines(ours, None, None)
        theirs.sendall(b"NONE\n")
        assert handler.run() is None


def test_any_other_answer_is_refused() -> None:
    with pair() as (ours, theirs):
        handler = Lines(ours, None, None)
        theirs.sendall(b"nonsense\n")
        with pytest.raises(TypeError, match=r"Lines\.handle\(\) returned 'nonsense'; return PARK, AGAIN or CLOSE"):
            handler.run()
        assert handler.rfile.closed


def test_decrypted_bytes_in_a_tls_socket_count_as_read_ahead() -> None:
    """The selector does not see what TLS has taken off the socket already."""

    class Pending:
        """As much of an SSLSocket as matters here."""

        def __init__(self, sock: socket.socket) -> None:
            self.recv_into = sock.recv_into
            self.sendall = sock.sendall
            self.fileno = sock.fileno

        def pending(self) -> int:
            return 5

    with pair() as (ours, theirs):
        handler = Lines(Pending(ours), None, None)
        theirs.sendall(b"PARK\n")
        assert handler.run() is handler
        assert not handler.waits
        handler.expire()


# -- datagrams


def packet(data: bytes, sock: socket.socket) -> Datagram:
    request = Datagram(data)
    request.socket = sock
    return request


class Upper(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


def test_the_answer_leaves_as_one_packet_from_the_servers_socket() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 0))
        client.bind(("127.0.0.1", 0))
        client.settimeout(5)
        handler = Upper(packet(b"hello", server), client.getsockname(), None)
        assert handler.run() is None
        assert client.recvfrom(100) == (b"HELLO", server.getsockname())
        assert handler.packet == b"hello"
        assert handler.request.local_address == server.getsockname()


def test_an_answer_to_nobody_is_an_error_and_silence_is_not() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        DatagramRequestHandler(packet(b"hello", server), None, None).run()
        with pytest.raises(OSError, match="has no name") as caught:
            Upper(packet(b"hello", server), None, None).run()
        assert caught.value.errno == errno.EDESTADDRREQ
