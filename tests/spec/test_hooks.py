"""The text, third part: the methods of a server that subclasses override."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from handlers import BaseRequestHandler
from reactor import TCPServer
from strategies import ForkingMixIn, ThreadingMixIn
from tests.answers import Upper, Whereabouts, here, raising
from tests.clients import ask, connected, hear, say
from tests.kinds import DATAGRAMS, KINDS, STREAMS, address, make
from tests.serving import DEADLINE, Serving

HOOKS = "finish_request get_request handle_error process_request server_activate server_bind verify_request".split()


@pytest.mark.parametrize("kind", KINDS)
def test_methods_can_be_overridden(kind: type[TCPServer], tmp_path: Path):
    r"""There are various server methods that can be overridden by subclasses of base server classes like
    \class{TCPServer}; these methods aren't useful to external users of the server object.
    """
    called: set[str] = set()

    def hook(name: str) -> Any:
        def override(self, *arguments):
            called.add(name)
            return getattr(kind, name)(self, *arguments)

        return override

    class Quiet(kind):  # type: ignore[misc,valid-type]
        def handle_error(self, request, client_address):
            pass

    overriding = type("Overriding", (Quiet,), {name: hook(name) for name in HOOKS if name != "handle_error"})
    overriding.handle_error = lambda self, request, client_address: called.add("handle_error")
    with make(overriding, tmp_path, raising(ZeroDivisionError())) as server, connected(server) as client:
        say(client, b"abc")
        server.handle_request()
    assert sorted(called) == HOOKS


@pytest.mark.parametrize("kind", KINDS)
def test_finish_request(kind: type[TCPServer], tmp_path: Path):
    r"""% should the default implementations of these be documented, or should % it be assumed that the user will look
    at SocketServer.py? \begin{funcdesc}{finish_request}{} Actually processes the request by instantiating
    \member{RequestHandlerClass} and calling its \method{handle()} method. \end{funcdesc}
    """
    seen: list[Any] = []

    class Seen(BaseRequestHandler):
        def handle(self):
            seen.append((self.request, self.client_address, self.server))

    with make(kind, tmp_path, Seen) as server:
        server.finish_request("a request", "an address")
        assert seen == [("a request", "an address", server)]


@pytest.mark.parametrize("kind", STREAMS)
def test_get_request(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{funcdesc}{get_request}{} Must accept a request from the socket, and return a 2-tuple containing the
    \emph{new} socket object to be used to communicate with the client, and the client's address. \end{funcdesc}
    """
    # A datagram server has no new socket to give: its request is the packet (see the type of self.request below).
    with make(kind, tmp_path) as server, connected(server) as client:
        request, client_address = server.get_request()
        with request:
            assert isinstance(request, socket.socket)
            assert request.fileno() != server.fileno()
            assert client_address == client.getsockname()
            request.sendall(b"to the client")
        assert hear(client) == b"to the client"


@pytest.mark.parametrize("kind", KINDS)
def test_handle_error(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{funcdesc}{handle_error}{request, client_address} This function is called if the
    \member{RequestHandlerClass}'s \method{handle()} method raises an exception.
    """
    told: list[tuple[Any, Any]] = []

    class Told(kind):  # type: ignore[misc,valid-type]
        def handle_error(self, request, client_address):
            told.append((request, client_address))

    class Fails(BaseRequestHandler):
        def handle(self):
            requests.append((self.request, self.client_address))
            raise ZeroDivisionError

    requests: list[tuple[Any, Any]] = []
    with make(Told, tmp_path, Fails) as server, connected(server) as client:
        say(client, b"abc")
        server.handle_request()
    assert told == requests != []


@pytest.mark.parametrize("kind", KINDS)
def test_handle_error_default(kind: type[TCPServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    r"""The default action is to print the traceback to standard output and continue handling further requests.
    \end{funcdesc}
    """

    class Fails(BaseRequestHandler):
        def handle(self):
            if b"fail" in (self.request if kind in DATAGRAMS else self.request.recv(10)):
                raise ZeroDivisionError("as was asked")
            if kind in DATAGRAMS:
                self.request.socket.sendto(b"well", self.client_address)
            else:
                self.request.sendall(b"well")

    with make(kind, tmp_path, Fails) as server, Serving(server), connected(server) as failing:
        say(failing, b"fail")
        assert ask(server, b"do not") == b"well"
    printed = capsys.readouterr()
    assert "Traceback (most recent call last):" in printed.out
    assert "ZeroDivisionError: as was asked" in printed.out
    assert printed.err == ""


@pytest.mark.parametrize("kind", KINDS)
def test_process_request(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{funcdesc}{process_request}{request, client_address} Calls \method{finish_request()} to create an instance
    of the \member{RequestHandlerClass}.
    """
    finished: list[str] = []

    class Finishing(kind):  # type: ignore[misc,valid-type]
        def finish_request(self, request, client_address):
            finished.append("finish_request")
            return super().finish_request(request, client_address)

    with make(Finishing, tmp_path) as server:
        answer = ask(server, b"abc", lambda: server.process_request(*server.get_request()))
    assert answer == b"ABC"
    assert finished == ["finish_request"]


def test_process_request_elsewhere():
    r"""If desired, this function can create a new process or thread to handle the request; the \class{ForkingMixIn} and
    \class{ThreadingMixIn} classes do this. \end{funcdesc}
    """
    threads: list[threading.Thread] = []

    class OwnThread(TCPServer):
        def process_request(self, request, client_address):
            thread = threading.Thread(target=self.in_thread, args=(request, client_address), name="mine")
            threads.append(thread)
            thread.start()

        def in_thread(self, request, client_address):
            self.finish_request(request, client_address)
            self.shutdown_request(request)

    class Threading(ThreadingMixIn, TCPServer):
        pass

    class Forking(ForkingMixIn, TCPServer):
        pass

    me, here_thread = here().split(b" ", 1)
    with Forking(("127.0.0.1", 0), Whereabouts) as server:
        pid, _ = ask(server, b"", server.handle_request).split(b" ", 1)
        assert pid != me
    with OwnThread(("127.0.0.1", 0), Whereabouts) as server:
        assert ask(server, b"", server.handle_request) == b"%s mine" % me
        threads[0].join(DEADLINE)
    with Threading(("127.0.0.1", 0), Whereabouts) as server:
        pid, thread = ask(server, b"", server.handle_request).split(b" ", 1)
        assert pid == me
        assert thread != here_thread


def recording(kind: type[TCPServer], name: str, calls: list[str], active: bool) -> type[TCPServer]:
    """A subclass that records the calls of its hook, and does what it overrides only when ``active``."""

    def hook(self: TCPServer) -> None:
        calls.append(name)
        if active:
            getattr(kind, name)(self)

    return type("Recording", (kind,), {name: hook})


@pytest.mark.parametrize("kind", KINDS)
def test_server_activate(kind: type[TCPServer], tmp_path: Path):
    r"""% Is there any point in documenting the following two functions? % What would the purpose of overriding them be:
    initializing server % instance variables, adding new network families? \begin{funcdesc}{server_activate}{} Called by
    the server's constructor to activate the server.
    """
    calls: list[str] = []
    with make(recording(kind, "server_activate", calls, active=True), tmp_path):
        assert calls == ["server_activate"]


@pytest.mark.parametrize("kind", STREAMS)
def test_server_activate_overridden(kind: type[TCPServer], tmp_path: Path):
    r"""May be overridden. \end{funcdesc}"""
    with make(recording(kind, "server_activate", [], active=False), tmp_path) as server:
        assert not server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


@pytest.mark.parametrize("kind", KINDS)
def test_server_bind(kind: type[TCPServer], tmp_path: Path):
    r"""\begin{funcdesc}{server_bind}{} Called by the server's constructor to bind the socket to the desired address."""
    calls: list[str] = []
    with make(recording(kind, "server_bind", calls, active=True), tmp_path) as server:
        assert calls == ["server_bind"]
        assert server.socket.getsockname() == server.server_address
        if server.address_family == socket.AF_UNIX:
            assert server.server_address == address(server.__class__, tmp_path)


def test_server_bind_overridden():
    r"""May be overridden. \end{funcdesc}"""

    class Elsewhere(TCPServer):
        def server_bind(self):
            self.socket.bind(("127.0.0.2", 0))
            self.server_address = self.socket.getsockname()

    with Elsewhere(("127.0.0.1", 0), Upper) as server:
        assert server.server_address[0] == "127.0.0.2"
        assert ask(server, b"abc", server.handle_request) == b"ABC"


@pytest.mark.parametrize("verdict", [True, False, 1, 0, "yes", None])
def test_verify_request(verdict: Any, tmp_path: Path):
    r"""\begin{funcdesc}{verify_request}{request, client_address} Must return a Boolean value; if the value is true, the
    request will be processed, and if it's false, the request will be denied.
    """
    processed: list[Any] = []

    for kind in KINDS:

        class Verifying(kind):  # type: ignore[misc,valid-type]
            def verify_request(self, request, client_address):
                return verdict

            def process_request(self, request, client_address):
                processed.append(client_address)
                super().process_request(request, client_address)

        with make(Verifying, tmp_path) as server, connected(server) as client:
            if verdict or kind in DATAGRAMS:
                say(client, b"abc")
            server.handle_request()
            if kind in STREAMS and not verdict:
                assert hear(client) == b""  # denied: the connection is closed
            assert processed == ([client.getsockname()] if verdict else [])
            processed.clear()


def test_access_control(tmp_path: Path):
    r"""This function can be overridden to implement access controls for a server."""

    class Choosy(TCPServer):
        def verify_request(self, request, client_address):
            return client_address[1] != unwanted

    with Choosy(("127.0.0.1", 0), Upper) as server, Serving(server), connected(server) as client:
        unwanted = client.getsockname()[1]
        # The next one is let in, and the unwanted one, who came first, was not.
        assert ask(server, b"abc") == b"ABC"
        assert hear(client) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_verify_request_default(kind: type[TCPServer], tmp_path: Path):
    r"""The default implementation always return true. \end{funcdesc}"""
    with make(kind, tmp_path) as server:
        assert server.verify_request("anything", "anybody") is True
