"""The text, first part: what the module is, the four servers, and how to make one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import handlers
import reactor
import strategies
from handlers import BaseRequestHandler, StreamRequestHandler
from reactor import TCPServer, UDPServer, UnixDatagramServer, UnixStreamServer
from strategies import ForkingMixIn, ThreadingMixIn
from tests.answers import Upper, UpperPacket, held_by
from tests.clients import ask, connected, hear, say
from tests.hold import Hold
from tests.kinds import KINDS, make
from tests.serving import DEADLINE, Serving


class ThreadingServer(ThreadingMixIn, TCPServer):
    pass


class ForkingServer(ForkingMixIn, TCPServer):
    pass


def test_title():
    r"""\section{\module{SocketServer} --- A framework for network servers} \declaremodule{standard}{SocketServer}
    \modulesynopsis{A framework for network servers.}
    """
    # Here the one module is three packages.
    assert {"TCPServer", "UDPServer", "UnixStreamServer", "UnixDatagramServer"} <= set(reactor.__all__)
    assert {"BaseRequestHandler", "StreamRequestHandler", "DatagramRequestHandler"} <= set(handlers.__all__)
    assert {"ThreadingMixIn", "ForkingMixIn"} <= set(strategies.__all__)


def test_simplifies():
    r"""The \module{SocketServer} module simplifies the task of writing network servers."""

    class Echo(StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.wfile.write(line)

    with TCPServer(("127.0.0.1", 0), Echo) as server:
        assert ask(server, b"one\ntwo\n", server.handle_request) == b"one\ntwo\n"


def test_tcp_server():
    r"""There are four basic server classes: \class{TCPServer} uses the Internet TCP protocol, which provides for
    continuous streams of data between the client and server.
    """
    # A stream: what was sent in pieces, and more than any buffer holds, is one run of bytes.
    message = bytes(range(256)) * 4096
    with TCPServer(("127.0.0.1", 0), Upper) as server, Serving(server), connected(server) as client:
        assert (server.socket.family, server.socket.type) == (socket.AF_INET, socket.SOCK_STREAM)
        client.sendall(message[:1000])
        client.sendall(message[1000:])
        client.shutdown(socket.SHUT_WR)
        assert hear(client) == message.upper()


def test_udp_server():
    r"""\class{UDPServer} uses datagrams, which are discrete packets of information that may arrive out of order or be
    lost while in transit.
    """
    # Discrete: two packets are two requests, and none of them runs into the other.
    with UDPServer(("127.0.0.1", 0), UpperPacket) as server, connected(server) as client:
        assert (server.socket.family, server.socket.type) == (socket.AF_INET, socket.SOCK_DGRAM)
        client.send(b"one")
        client.send(b"two")
        server.handle_request()
        server.handle_request()
        assert {hear(client), hear(client)} == {b"ONE", b"TWO"}


@pytest.mark.parametrize("kind", [UnixStreamServer, UnixDatagramServer])
def test_unix_servers(kind: type[TCPServer], tmp_path: Path):
    r"""The more infrequently used \class{UnixStreamServer} and \class{UnixDatagramServer} classes are similar, but use
    \UNIX{} domain sockets; they're not available on non-\UNIX{} platforms. For more details on network programming,
    consult a book such as W. Richard Steven's \citetitle{UNIX Network Programming} or Ralph Davis's \citetitle{Win32
    Network Programming}.
    """
    with make(kind, tmp_path) as server:
        assert server.socket.family == socket.AF_UNIX
        assert ask(server, b"abc", server.handle_request) == b"ABC"


@pytest.mark.parametrize("kind", KINDS)
def test_synchronous(kind: type[TCPServer], tmp_path: Path):
    r"""These four classes process requests \dfn{synchronously}; each request must be completed before the next request
    can be started.
    """
    steps: list[str] = []

    class Steps(BaseRequestHandler):
        def handle(self):
            steps.append("begin")
            steps.append(threading.current_thread().name)
            steps.append("end")

    with make(kind, tmp_path, Steps) as server, connected(server) as one, connected(server) as two:
        # Both are there before the server looks.
        say(one, b"1")
        say(two, b"2")
        server.handle_request()
        server.handle_request()
    assert steps == ["begin", "MainThread", "end"] * 2


def test_not_suitable_for_long_requests():
    r"""This isn't suitable if each request takes a long time to complete, because it requires a lot of computation, or
    because it returns a lot of data which the client is slow to process.
    """
    hold = Hold()
    server = TCPServer(("127.0.0.1", 0), held_by(hold))
    with hold, server, Serving(server), connected(server) as slow, connected(server) as quick:
        say(slow, b"slow")
        hold.wait_entered()
        say(quick, b"quick")
        quick.settimeout(0.05)
        with pytest.raises(TimeoutError):
            quick.recv(1)
        quick.settimeout(DEADLINE)
        hold.release()
        assert (hear(slow), hear(quick)) == (b"SLOW", b"QUICK")


@pytest.mark.parametrize("kind", [ForkingServer, ThreadingServer])
@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
def test_the_solution(kind: type[TCPServer]):
    r"""The solution is to create a separate process or thread to handle each request; the \class{ForkingMixIn} and
    \class{ThreadingMixIn} mix-in classes can be used to support asynchronous behaviour.
    """
    with kind(("127.0.0.1", 0), Upper) as server, Serving(server), connected(server) as slow:
        assert ask(server, b"quick") == b"QUICK"  # although the first has not said all it will
        say(slow, b"slow")
        assert hear(slow) == b"SLOW"


def test_several_steps():
    r"""Creating a server requires several steps."""
    # Only the last of them serves.
    with TCPServer(("127.0.0.1", 0), Upper) as server, connected(server) as client:
        say(client, b"abc")
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.settimeout(DEADLINE)
        server.handle_request()
        assert hear(client) == b"ABC"


def test_first_step():
    r"""First, you must create a request handler class by subclassing the \class{BaseRequestHandler} class and
    overriding its \method{handle()} method; this method will process incoming requests.
    """

    class Mine(BaseRequestHandler):
        def handle(self):
            self.request.sendall(b"mine")

    with TCPServer(("127.0.0.1", 0), Mine) as server:
        assert ask(server, b"", server.handle_request) == b"mine"


@pytest.mark.parametrize("kind", KINDS)
def test_second_step(kind: type[TCPServer], tmp_path: Path):
    r"""Second, you must instantiate one of the server classes, passing it the server's address and the request handler
    class.
    """
    where = str(tmp_path / "here") if kind.address_family == socket.AF_UNIX else ("127.0.0.1", 0)
    with kind(where, Upper) as server:
        assert server.RequestHandlerClass is Upper
        assert server.server_address == where or server.server_address[0] == where[0]


def test_last_step():
    r"""Finally, call the \method{handle_request()} or \method{serve_forever()} method of the server object to process
    one or many requests.
    """
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        assert ask(server, b"one", server.handle_request) == b"ONE"
        with Serving(server):
            assert [ask(server, b"many") for _ in range(5)] == [b"MANY"] * 5


@pytest.mark.parametrize("daemon", [True, False])
def test_declare_the_threads(daemon: bool):
    r"""When inheriting from \class{ThreadingMixIn} for threaded connection behavior, you should explicitly declare how
    you want your threads to behave on an abrupt shutdown.
    """
    seen: list[bool] = []

    class Daemon(BaseRequestHandler):
        def handle(self):
            seen.append(threading.current_thread().daemon)

    class Declared(ThreadingServer):
        daemon_threads = daemon

    with Declared(("127.0.0.1", 0), Daemon) as server:
        ask(server, b"", server.handle_request)
    assert seen == [daemon]


def test_daemon_threads():
    r"""The \class{ThreadingMixIn} class defines an attribute \var{daemon_threads}, which indicates whether or not the
    server should wait for thread termination.
    """
    assert ThreadingMixIn.daemon_threads is False

    class Careless(ThreadingServer):
        daemon_threads = True

    for kind, waits in (ThreadingServer, True), (Careless, False):
        with Hold() as hold, kind(("127.0.0.1", 0), held_by(hold)) as server, connected(server) as client:
            say(client, b"abc")
            server.handle_request()
            hold.wait_entered()
            closing = threading.Thread(target=server.server_close)
            closing.start()
            closing.join(0.1 if waits else DEADLINE)
            assert closing.is_alive() == waits
            hold.release()
            closing.join(DEADLINE)
            assert not closing.is_alive()
            assert hear(client) == b"ABC"


def test_autonomous_threads():
    r"""You should set the flag explicitly if you would like threads to behave autonomously."""
    program = """
import socket, threading
from handlers import BaseRequestHandler
from reactor import TCPServer
from strategies import ThreadingMixIn

begun = threading.Event()

class Endless(BaseRequestHandler):
    def handle(self):
        begun.set()
        threading.Event().wait()

class Server(ThreadingMixIn, TCPServer):
    daemon_threads = True

server = Server(("127.0.0.1", 0), Endless)
client = socket.create_connection(server.server_address)
server.handle_request()
begun.wait()
print("the program ends")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE, check=True, env=os.environ
    )
    assert ran.stdout == "the program ends\n"
