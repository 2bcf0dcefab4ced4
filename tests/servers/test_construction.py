"""Making a server: when it binds, where, and what is left when it cannot."""

from __future__ import annotations

import errno
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from handlers import BaseRequestHandler
from reactor import BaseServer, BindError, TCPServer, UDPServer, UnixStreamServer, UsageError, socketserver
from strategies import Inline, ThreadPool
from tests.answers import Upper, UpperPacket
from tests.clients import ask, connected, hear, say
from tests.kinds import KINDS, STREAMS, make
from tests.serving import Serving

HAS_IPV6 = socket.has_ipv6
try:
    socket.create_server(("::1", 0), family=socket.AF_INET6).close()
except OSError:
    HAS_IPV6 = False


@pytest.mark.parametrize("kind", KINDS)
def test_bind_and_activate_later(kind: type[TCPServer], tmp_path: Path):
    with make(kind, tmp_path, bind_and_activate=False) as server:
        assert server.socket.getsockname() in (("0.0.0.0", 0), "")
        server.server_bind()
        server.server_activate()
        assert ask(server, b"abc", server.handle_request) == b"ABC"


def test_attributes_changed_before_server_bind_count():
    with TCPServer(("127.0.0.1", 0), Upper, False) as server:
        server.allow_reuse_address = True
        server.server_bind()
        assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        server.RequestHandlerClass = Upper
        server.server_activate()
        assert ask(server, b"abc", server.handle_request) == b"ABC"


@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_that_raises_in_the_constructor_leaves_nothing(kind: type[TCPServer], tmp_path: Path):
    class Fails(kind):  # type: ignore[misc,valid-type]
        def server_activate(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make(Fails, tmp_path)
    assert list(tmp_path.iterdir()) == []  # the leaks fixture looks for the socket


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
@pytest.mark.parametrize(("kind", "handler"), [(TCPServer, Upper), (UDPServer, UpperPacket)])
def test_ipv6(kind: type[TCPServer], handler: type[BaseRequestHandler]):
    class Declared(kind):  # type: ignore[misc,valid-type]
        address_family = socket.AF_INET6

    for cls in kind, Declared:  # by the address, and by the attribute
        with cls(("::1", 0), handler) as server, Serving(server):
            assert server.address_family == server.socket.family == socket.AF_INET6
            assert ask(server, b"abc") == b"ABC"
    assert kind.address_family == socket.AF_INET


def test_allow_reuse_port():
    class Sharing(TCPServer):
        allow_reuse_port = True

    with Sharing(("127.0.0.1", 0), Upper) as one, Sharing(one.server_address, Upper) as two:
        assert one.server_address == two.server_address
        with pytest.raises(BindError):
            TCPServer(one.server_address, Upper)
    assert TCPServer.allow_reuse_port is False


def test_address_in_use():
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        with pytest.raises(BindError, match=f"127.0.0.1.*{server.server_address[1]}.*in use") as refused:
            TCPServer(server.server_address, Upper)
        assert refused.value.errno == errno.EADDRINUSE
        assert isinstance(refused.value, OSError)


def test_address_of_nobody():
    with pytest.raises(BindError, match=r"192\.0\.2\.1.*no interface"):
        TCPServer(("192.0.2.1", 0), Upper)


@pytest.mark.parametrize(
    "address",
    [("127.0.0.1", 70000), ("127.0.0.1", "http"), ("127.0.0.1",), 17, None, (), ("a\udcff", 0)],
)
def test_address_that_is_none(address: Any):
    with pytest.raises(UsageError, match=re.escape(f"server_address={address!r}")):
        TCPServer(address, Upper)


def test_strategy_that_is_none():
    with pytest.raises(UsageError, match="pass a strategy object"):
        TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool)  # type: ignore[arg-type]


def test_default_strategy():
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        assert isinstance(server.strategy, Inline)


def test_strategy_may_be_set_until_the_server_is_used():
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        server.strategy = pool = ThreadPool(1)
        assert ask(server, b"abc", server.handle_request) == b"ABC"
        with pytest.raises(UsageError, match="in use"):
            server.strategy = Inline()
        assert server.strategy is pool


def test_constructor_that_runs_late_and_twice():
    class Late(TCPServer):
        def __init__(self, *arguments: Any) -> None:
            BaseServer.__init__(self, *arguments)
            super().__init__(*arguments, bind_and_activate=False)
            self.socket.close()
            super().__init__(*arguments)

    with Late(("127.0.0.1", 0), Upper) as server:
        assert ask(server, b"abc", server.handle_request) == b"ABC"


def test_socket_made_by_the_user():
    # Inherited from a supervisor, say: neither bound nor listened to again.
    inherited = socket.create_server(("127.0.0.1", 0))
    with TCPServer(inherited.getsockname(), Upper, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = inherited
        with Serving(server):
            assert ask(server, b"abc") == b"ABC"


def test_any_callable_handles():
    handled = []

    def handler(request: socket.socket, client_address: Any, server: TCPServer) -> None:
        handled.append((client_address, server))
        request.sendall(b"by a function")

    with TCPServer(("127.0.0.1", 0), handler) as server, connected(server) as client:
        say(client, b"")
        server.handle_request()
        assert hear(client) == b"by a function"
        assert handled == [(client.getsockname(), server)]


@pytest.mark.parametrize("kind", STREAMS)
def test_repr_names_the_address(kind: type[TCPServer], tmp_path: Path):
    with make(kind, tmp_path) as server:
        assert repr(server.server_address) in repr(server)
        assert kind.__name__ in repr(server)


@pytest.mark.parametrize("kind", [TCPServer, socketserver.TCPServer])
def test_a_strategy_by_position(kind: Any):
    with pytest.raises(UsageError, match="by its name"):
        kind(("127.0.0.1", 0), Upper, ThreadPool(1))


@pytest.mark.parametrize("handler", ["Upper", 5, Upper(None, None, None)])
def test_a_handler_that_is_none(handler: Any):
    with pytest.raises(UsageError, match="RequestHandlerClass="):
        TCPServer(("127.0.0.1", 0), handler)


def test_a_unix_path_that_is_too_long(tmp_path: Path):
    with pytest.raises(BindError, match="too long") as refused:
        UnixStreamServer(str(tmp_path / ("x" * 120)), Upper)
    assert refused.value.errno == errno.ENAMETOOLONG
