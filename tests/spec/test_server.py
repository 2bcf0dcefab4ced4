"""The text, second part: what a server shows to those who use it, and its class variables."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from handlers import BaseRequestHandler
from reactor import BindError, TCPServer, UDPServer, UnixStreamServer
from tests.answers import Upper, held_by, raising
from tests.clients import ask, connected, hear, say
from tests.hold import Hold
from tests.kinds import DATAGRAMS, KINDS, STREAMS, make
from tests.serving import Serving

EXTERNAL = "fileno handle_request serve_forever address_family RequestHandlerClass server_address socket".split()


def test_same_methods_and_attributes(tmp_path: Path):
    r"""Server classes have the same external methods and attributes, no matter what network protocol they use:
    \setindexsubitem{(SocketServer protocol)} %XXX should data and methods be intermingled, or separate?
    """
    for kind in KINDS:
        with make(kind, tmp_path) as server:
            assert [name for name in EXTERNAL if not hasattr(server, name)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_fileno(kind: type[TCPServer], tmp_path: Path):
    r"""% how should the distinction between class and instance variables be % drawn? \begin{funcdesc}{fileno}{} Return
    an integer file descriptor for the socket on which the server is listening.
    """
    with make(kind, tmp_path) as server:
        assert type(server.fileno()) is int
        assert server.fileno() == server.socket.fileno() >= 0


def test_fileno_for_select(tmp_path: Path):
    r"""This function is most commonly passed to \function{select.select()}, to allow monitoring multiple servers in the
    same process. \end{funcdesc}
    """
    servers = [make(kind, tmp_path) for kind in KINDS]

    def handle_the_ready() -> None:
        ready, _, _ = select.select(servers, [], [])
        assert len(ready) == 1
        ready[0].handle_request()

    for server in servers:
        assert ask(server, b"abc", handle_the_ready) == b"ABC"
    for server in servers:
        server.server_close()


@pytest.mark.parametrize("kind", KINDS)
def test_handle_request(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{funcdesc}{handle_request}{} Process a single request."""
    served: list[bytes] = []

    class Served(BaseRequestHandler):
        def handle(self):
            served.append(self.client_address)

    with make(kind, tmp_path, Served) as server, connected(server) as one, connected(server) as two:
        say(one, b"1")
        say(two, b"2")
        server.handle_request()
        assert len(served) == 1
        server.handle_request()
        assert len(served) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_in_order(kind: type[TCPServer], tmp_path: Path):
    r"""This function calls the following methods in order: \method{get_request()}, \method{verify_request()}, and
    \method{process_request()}.
    """
    calls: list[str] = []

    class Traced(kind):  # type: ignore[misc,valid-type]
        def get_request(self):
            calls.append("get_request")
            return super().get_request()

        def verify_request(self, request, client_address):
            calls.append("verify_request")
            return super().verify_request(request, client_address)

        def process_request(self, request, client_address):
            calls.append("process_request")
            super().process_request(request, client_address)

    with make(Traced, tmp_path) as server:
        assert ask(server, b"abc", server.handle_request) == b"ABC"
    assert calls == ["get_request", "verify_request", "process_request"]


@pytest.mark.parametrize("kind", KINDS)
def test_exception_in_handle(kind: type[TCPServer], tmp_path: Path):
    r"""If the user-provided \method{handle()} method of the handler class raises an exception, the server's
    \method{handle_error()} method will be called. \end{funcdesc}
    """
    told = []

    class Told(kind):  # type: ignore[misc,valid-type]
        def handle_error(self, request, client_address):
            told.append(client_address)

    with make(Told, tmp_path, raising(ZeroDivisionError())) as server, connected(server) as client:
        say(client, b"abc")
        server.handle_request()
        assert told == [client.getsockname()]


def test_serve_forever(tmp_path: Path):
    r"""\begin{funcdesc}{serve_forever}{} Handle an infinite number of requests."""
    for kind in KINDS:
        with make(kind, tmp_path) as server, Serving(server):
            assert [ask(server, b"abc") for _ in range(20)] == [b"ABC"] * 20


@pytest.mark.parametrize("kind", KINDS)
def test_serve_forever_calls_handle_request(kind: type[TCPServer], tmp_path: Path):
    r"""This simply calls \method{handle_request()} inside an infinite loop. \end{funcdesc}"""
    calls: list[int] = []

    class Counted(kind):  # type: ignore[misc,valid-type]
        def handle_request(self):
            calls.append(1)
            super().handle_request()

    with make(Counted, tmp_path) as server, Serving(server):
        assert [ask(server, b"abc") for _ in range(3)] == [b"ABC"] * 3
    assert len(calls) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_address_family(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{datadesc}{address_family} The family of protocols to which the server's socket belongs."""
    with make(kind, tmp_path) as server:
        assert server.address_family == server.socket.family


def test_address_family_values(tmp_path: Path):
    r"""\constant{socket.AF_INET} and \constant{socket.AF_UNIX} are two possible values. \end{datadesc}"""
    families = [kind.address_family for kind in KINDS]
    assert families == [socket.AF_INET, socket.AF_INET, socket.AF_UNIX, socket.AF_UNIX]


@pytest.mark.parametrize("kind", KINDS)
def test_request_handler_class(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{datadesc}{RequestHandlerClass} The user-provided request handler class; an instance of this class is
    created for each request. \end{datadesc}
    """
    made: list[BaseRequestHandler] = []

    class Made(BaseRequestHandler):
        def handle(self):
            made.append(self)

    with make(kind, tmp_path, Made) as server:
        assert server.RequestHandlerClass is Made
        for _ in range(3):
            with connected(server) as client:
                say(client, b"abc")
                server.handle_request()
    assert [type(handler) for handler in made] == [Made] * 3
    assert len({id(handler) for handler in made}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_server_address(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{datadesc}{server_address} The address on which the server is listening."""
    with make(kind, tmp_path) as server, Serving(server):
        with socket.socket(server.address_family, server.socket_type) as client:
            client.connect(server.server_address)  # port 0 was asked for: this is the one that was given
        assert ask(server, b"abc") == b"ABC"


def test_format_of_addresses(tmp_path: Path):
    r"""The format of addresses varies depending on the protocol family; see the documentation for the socket module for
    details.
    """
    with make(UnixStreamServer, tmp_path) as server:
        assert server.server_address == str(tmp_path / "UnixStreamServer") == server.socket.getsockname()
    with TCPServer(("::1", 0), Upper) as server:
        assert server.server_address == ("::1", server.server_address[1], 0, 0) == server.socket.getsockname()


@pytest.mark.parametrize("kind", [TCPServer, UDPServer])
def test_internet_address(kind: type[TCPServer], tmp_path: Path):
    r"""For Internet protocols, this is a tuple containing a string giving the address, and an integer port number:
    \code{('127.0.0.1', 80)}, for example. \end{datadesc}
    """
    with make(kind, tmp_path) as server:
        host, port = server.server_address
        assert host == "127.0.0.1"
        assert type(port) is int
        assert port > 0


@pytest.mark.parametrize("kind", KINDS)
def test_socket(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{datadesc}{socket} The socket object on which the server will listen for incoming requests. \end{datadesc}
    """
    with make(kind, tmp_path) as server:
        assert isinstance(server.socket, socket.socket)
        listens = server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert bool(listens) == (kind in STREAMS)


def test_allow_reuse_address():
    r"""% XXX should class variables be covered before instance variables, or % vice versa? The server classes support
    the following class variables: \begin{datadesc}{allow_reuse_address} Whether the server will allow the reuse of an
    address.
    """

    class Reusing(TCPServer):
        allow_reuse_address = True

    # The side that closes first keeps the address for a while (TIME_WAIT): here the server.  Linux wants the option on
    # both, the one that had the address and the one that asks for it.
    with Reusing(("127.0.0.1", 0), raising(SystemExit())) as server, connected(server) as client:
        with pytest.raises(SystemExit):
            server.handle_request()
        assert hear(client) == b""
        server.server_close()
    with pytest.raises(BindError):
        TCPServer(server.server_address, Upper)
    with Reusing(server.server_address, Upper) as again:
        assert ask(again, b"abc", again.handle_request) == b"ABC"


def test_allow_reuse_address_default():
    r"""This defaults to \code{False}, and can be set in subclasses to change the policy. \end{datadesc}"""

    class Reusing(TCPServer):
        allow_reuse_address = True

    assert [kind.allow_reuse_address for kind in KINDS] == [False] * 4
    for kind in TCPServer, Reusing:
        with kind(("127.0.0.1", 0), Upper) as server:
            option = server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
            assert bool(option) == kind.allow_reuse_address


@pytest.mark.parametrize("kind", STREAMS)
def test_request_queue_size(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{datadesc}{request_queue_size} The size of the request queue."""
    asked_for: list[int] = []

    class Listening(socket.socket):
        def listen(self, backlog: int = -1) -> None:  # type: ignore[override]
            asked_for.append(backlog)
            super().listen(backlog)

    with make(kind, tmp_path, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = Listening(server.address_family, server.socket_type)
        server.request_queue_size = 7
        server.server_bind()
        server.server_activate()
    assert asked_for == [7]


@pytest.mark.parametrize("kind", STREAMS)
def test_requests_wait_in_the_queue(kind: type[TCPServer], tmp_path: Path):
    r"""If it takes a long time to process a single request, any requests that arrive while the server is busy are
    placed into a queue, up to \member{request_queue_size} requests.
    """
    with ExitStack() as stack, Hold() as hold, make(kind, tmp_path, held_by(hold)) as server, Serving(server):
        first = stack.enter_context(connected(server))
        say(first, b"first")
        hold.wait_entered()
        queued = [stack.enter_context(connected(server)) for _ in range(server.request_queue_size)]
        for client in queued:
            say(client, b"later")
        hold.release()
        assert hear(first) == b"FIRST"
        assert [hear(client) for client in queued] == [b"LATER"] * 5


def test_full_queue(tmp_path: Path):
    r"""Once the queue is full, further requests from clients will get a ``Connection denied'' error."""
    # Which error is the kernel's choice: for TCP on Linux the client waits instead, and is told when it gives up.

    class Short(UnixStreamServer):
        request_queue_size = 2

    with make(Short, tmp_path) as server:
        clients = [socket.socket(socket.AF_UNIX) for _ in range(50)]
        try:
            with pytest.raises(OSError, match=r"unavailable|refused") as denied:  # noqa: PT012
                for client in clients:
                    client.setblocking(False)
                    client.connect(server.server_address)
        finally:
            for client in clients:
                client.close()
        assert isinstance(denied.value, BlockingIOError | ConnectionRefusedError)
        assert clients.index(client) >= 2  # kernels let some more in than they were told


def test_request_queue_size_default():
    r"""The default value is usually 5, but this can be overridden by subclasses. \end{datadesc}"""

    class Long(TCPServer):
        request_queue_size = 100

    assert [kind.request_queue_size for kind in (*KINDS, Long)] == [5, 5, 5, 5, 100]


@pytest.mark.parametrize("kind", KINDS)
def test_socket_type(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{datadesc}{socket_type} The type of socket used by the server; \constant{socket.SOCK_STREAM} and
    \constant{socket.SOCK_DGRAM} are two possible values. \end{datadesc}
    """
    with make(kind, tmp_path) as server:
        assert server.socket_type == server.socket.type
        assert server.socket_type == (socket.SOCK_DGRAM if kind in DATAGRAMS else socket.SOCK_STREAM)
