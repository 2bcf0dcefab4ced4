"""Accepted is a real socket: whatever a program does with what ``accept()`` gave, it does with ours."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import TCPServer, UnixStreamServer
from reactor.accepted import Accepted
from tests.answers import Upper
from tests.clients import connected
from tests.serving import DEADLINE


@pytest.fixture
def both() -> Iterator[tuple[socket.socket, socket.socket]]:
    """One that a server accepted, and its client."""
    with TCPServer(("127.0.0.1", 0), Upper) as server, connected(server) as client:
        request, address = server.get_request()
        assert type(request) is Accepted
        assert address == client.getsockname() == request.getpeername()
        with request:
            yield request, client
        assert request.fileno() == -1


Both = tuple[socket.socket, socket.socket]


def test_as_accept_gives_it(both: Both) -> None:
    request, client = both
    assert isinstance(request, socket.socket)
    assert (request.family, request.type, request.proto) == (client.family, client.type, 0)
    assert request.gettimeout() is None
    assert not request.get_inheritable()


def test_default_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(3.0)
    try:
        with TCPServer(("127.0.0.1", 0), Upper) as server, connected(server):
            request, _ = server.get_request()
            with request:
                assert request.gettimeout() == 3.0
    finally:
        socket.setdefaulttimeout(before)


@pytest.mark.parametrize("first", ["file", "socket"])
def test_closed_when_its_files_are(both: Both, first: str) -> None:
    request, client = both
    file = request.makefile("rwb")
    file.write(b"abc")
    file.flush()
    assert client.recv(10) == b"abc"
    one, other = (file, request) if first == "file" else (request, file)
    one.close()
    assert request.fileno() >= 0
    assert ("[closed]" in repr(request)) is (first == "socket")
    other.close()
    assert request.fileno() == -1
    assert "[closed]" in repr(request)
    assert client.recv(10) == b""
    request.close()  # twice is once


def test_its_number_is_not_closed_twice(both: Both) -> None:
    request, _ = both
    number = request.fileno()
    request.close()
    with socket.socket() as again:
        assert again.fileno() == number
        request.close()
        assert again.getsockname() is not None


def test_detached(both: Both) -> None:
    request, client = both
    number = request.detach()
    assert request.fileno() == -1
    assert "[closed]" in repr(request)
    with socket.socket(fileno=number) as again:
        again.sendall(b"abc")
        assert client.recv(10) == b"abc"


def test_doubled(both: Both) -> None:
    request, client = both
    with request.dup() as double:
        request.close()
        double.sendall(b"abc")
        assert client.recv(10) == b"abc"
    assert client.recv(10) == b""


def test_unix(tmp_path: Any) -> None:
    with UnixStreamServer(str(tmp_path / "s"), Upper) as server, connected(server):
        request, _ = server.get_request()
        with request:
            assert request.family == socket.AF_UNIX


def test_a_program_may_hang_things_on_it(both: Both) -> None:
    both[0].name = "mine"  # type: ignore[attr-defined]
    assert both[0].name == "mine"  # type: ignore[attr-defined]


def test_sent_to_another_process(both: Both) -> None:
    """As programs do that accept in one process and serve in others."""
    request, client = both
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        ours.send(request)
        assert theirs.poll(DEADLINE)
        arrived = theirs.recv()
        with arrived:
            arrived.sendall(b"abc")
            assert client.recv(10) == b"abc"
    multiprocessing.resource_sharer.stop(DEADLINE)  # type: ignore[attr-defined]
