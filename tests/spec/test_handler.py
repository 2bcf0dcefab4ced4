"""The text, last part: request handlers."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from handlers import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler
from reactor import TCPServer
from tests.clients import ask, connected, hear, say
from tests.kinds import DATAGRAMS, KINDS, STREAMS, make

MIXED_IN = {socket.SOCK_STREAM: StreamRequestHandler, socket.SOCK_DGRAM: DatagramRequestHandler}


class Steps(BaseRequestHandler):
    """Records what is called; ``steps`` is the class's own list."""

    steps: list[str]

    def setup(self) -> None:
        self.steps.append("setup")

    def handle(self) -> None:
        self.steps.append("handle")

    def finish(self) -> None:
        self.steps.append("finish")


def serve(kind: type[TCPServer], folder: Path, handler: type[BaseRequestHandler], requests: int = 1) -> list[Any]:
    """Serve so many requests; returns what the server's ``handle_error()`` was told of."""
    errors: list[Any] = []

    class Told(kind):  # type: ignore[misc,valid-type]
        def handle_error(self, request, client_address):
            errors.append(client_address)

    with make(Told, folder, handler) as server:
        for _ in range(requests):
            with connected(server) as client:
                say(client, b"abc")
                server.handle_request()
    return errors


@pytest.mark.parametrize("kind", KINDS)
def test_handler_methods(kind: type[TCPServer], tmp_path: Path):
    r"""The request handler class must define a new \method{handle()} method, and can override any of the following
    methods.
    """

    class OnlyHandle(BaseRequestHandler):
        def handle(self):
            handled.append(self)

    class Everything(Steps):
        steps: list[str] = []  # noqa: RUF012

    handled: list[BaseRequestHandler] = []
    assert serve(kind, tmp_path, OnlyHandle) == []
    assert len(handled) == 1
    assert serve(kind, tmp_path, Everything) == []
    assert Everything.steps == ["setup", "handle", "finish"]


@pytest.mark.parametrize("kind", KINDS)
def test_instance_per_request(kind: type[TCPServer], tmp_path: Path):
    r"""A new instance is created for each request."""

    class Kept(BaseRequestHandler):
        def handle(self):
            assert not hasattr(self, "used")
            self.used = True
            kept.append(self)

    kept: list[BaseRequestHandler] = []
    assert serve(kind, tmp_path, Kept, requests=3) == []
    assert len({id(handler) for handler in kept}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_finish(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{funcdesc}{finish}{} Called after the \method{handle()} method to perform any clean-up actions required.
    """

    class CleansUp(Steps):
        steps: list[str] = []  # noqa: RUF012

        def finish(self):
            super().finish()
            # The request is still there to say a last word to.
            assert not isinstance(self.request, socket.socket) or self.request.fileno() >= 0

    assert serve(kind, tmp_path, CleansUp) == []
    assert CleansUp.steps[-2:] == ["handle", "finish"]


def test_finish_default():
    r"""The default implementation does nothing."""
    handler = BaseRequestHandler("request", "address", "server")
    before = dict(vars(handler))
    assert handler.finish() is None
    assert vars(handler) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["setup", "handle"])
def test_finish_not_after_an_exception(where: str, kind: type[TCPServer], tmp_path: Path):
    r"""If \method{setup()} or \method{handle()} raise an exception, this function will not be called. \end{funcdesc}"""

    class Raises(Steps):
        steps: list[str] = []  # noqa: RUF012

    def fail(self: Steps) -> None:
        self.steps.append(where)
        raise ZeroDivisionError

    setattr(Raises, where, fail)
    assert len(serve(kind, tmp_path, Raises)) == 1
    assert Raises.steps == ["setup", "handle"][: 1 + (where == "handle")]


@pytest.mark.parametrize("kind", KINDS)
def test_handle(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{funcdesc}{handle}{} This function must do all the work required to service a request."""
    # All the work: nobody has read from the client before, and nobody answers for it.

    class Everything(BaseRequestHandler):
        def handle(self):
            if kind in DATAGRAMS:
                self.request.socket.sendto(self.request[::-1], self.client_address)
            else:
                self.request.sendall(self.request.recv(100)[::-1])

    with make(kind, tmp_path, Everything) as server:
        assert ask(server, b"abc", server.handle_request) == b"cba"


@pytest.mark.parametrize("kind", KINDS)
def test_instance_attributes(kind: type[TCPServer], tmp_path: Path):
    r"""Several instance attributes are available to it; the request is available as \member{self.request}; the client
    address as \member{self.client_address}; and the server instance as \member{self.server}, in case it needs access to
    per-server information.
    """

    class Attributes(BaseRequestHandler):
        def handle(self):
            seen.append((self.request, self.client_address, self.server.motto))

    class Verified(kind):  # type: ignore[misc,valid-type]
        motto = "per server"

        def verify_request(self, request, client_address):
            verified.append(request)
            return True

    seen: list[Any] = []
    verified: list[Any] = []
    with make(Verified, tmp_path, Attributes) as server, connected(server) as client:
        say(client, b"abc")
        server.handle_request()
        assert seen == [(verified[0], client.getsockname(), "per server")]


def test_type_of_request(tmp_path: Path):
    r"""The type of \member{self.request} is different for datagram or stream services."""

    class Typed(BaseRequestHandler):
        def handle(self):
            types.append(type(self.request))

    types: list[type] = []
    for kind in KINDS:
        serve(kind, tmp_path, Typed)
    tcp, udp, unix_stream, unix_datagram = types
    assert tcp is unix_stream
    assert not issubclass(tcp, bytes)
    assert issubclass(udp, bytes)
    assert issubclass(unix_datagram, bytes)


@pytest.mark.parametrize("kind", KINDS)
def test_types_of_request(kind: type[TCPServer], tmp_path: Path):
    r"""For stream services, \member{self.request} is a socket object; for datagram services, \member{self.request} is a
    string.
    """
    # A string of that day is bytes today.

    class Typed(BaseRequestHandler):
        def handle(self):
            requests.append(self.request)

    requests: list[Any] = []
    serve(kind, tmp_path, Typed)
    if kind in STREAMS:
        assert isinstance(requests[0], socket.socket)
    else:
        assert isinstance(requests[0], bytes)
        assert requests[0] == b"abc"


@pytest.mark.parametrize("kind", KINDS)
def test_mix_in_handlers(kind: type[TCPServer], tmp_path: Path):
    r"""However, this can be hidden by using the mix-in request handler classes \class{StreamRequestHandler} or
    \class{DatagramRequestHandler}, which override the \method{setup()} and \method{finish()} methods, and provides
    \member{self.rfile} and \member{self.wfile} attributes.
    """
    base = MIXED_IN[kind.socket_type]
    assert base.setup is not BaseRequestHandler.setup
    assert base.finish is not BaseRequestHandler.finish

    class Files(base):  # type: ignore[misc,valid-type]
        def handle(self):
            files.append((self.rfile.readable(), self.wfile.writable()))

    files: list[tuple[bool, bool]] = []
    assert serve(kind, tmp_path, Files) == []
    assert files == [(True, True)]


@pytest.mark.parametrize("kind", KINDS)
def test_files(kind: type[TCPServer], tmp_path: Path):
    r"""\member{self.rfile} and \member{self.wfile} can be read or written, respectively, to get the request data or
    return data to the client. \end{funcdesc}
    """

    class Lines(MIXED_IN[kind.socket_type]):  # type: ignore[misc]
        def handle(self):
            for line in self.rfile:
                self.wfile.write(b"%d " % len(line))
                self.wfile.write(line)

    with make(kind, tmp_path, Lines) as server, connected(server) as client:
        say(client, b"one\nthree")
        server.handle_request()
        assert hear(client) == b"4 one\n5 three"


@pytest.mark.parametrize("kind", KINDS)
def test_setup(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{funcdesc}{setup}{} Called before the \method{handle()} method to perform any initialization actions
    required.
    """

    class Prepares(Steps):
        steps: list[str] = []  # noqa: RUF012

    assert serve(kind, tmp_path, Prepares) == []
    assert Prepares.steps[:2] == ["setup", "handle"]


def test_setup_default():
    r"""The default implementation does nothing. \end{funcdesc}"""
    handler = BaseRequestHandler("request", "address", "server")
    before = dict(vars(handler))
    assert handler.setup() is None
    assert vars(handler) == before
