"""The standard library's packages on the drop-in, and the drop-in with what only ours has: strategies, native handlers.

``install()`` is for the whole process, so each of those programs runs in one of its own.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from handlers import DatagramRequestHandler, StreamRequestHandler, TurnHandler
from handlers.turn import PARK
from reactor import Reactor
from reactor import socketserver as ours
from strategies import ForkPerRequest, Inline, Prefork, ThreadPool
from tests.dropin.serving import NEVER, POLL, ask, connect, hear, serving, serving_beside_fork
from tests.serving import DEADLINE

HERE = ("127.0.0.1", 0)
ROOT = Path(__file__).resolve().parents[2]

INSTALLED = """
import reactor.socketserver
reactor.socketserver.install()
import socketserver
assert socketserver is reactor.socketserver

import contextlib, os, socket, sys, threading, time

@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, args=(3600,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
        assert not thread.is_alive()
"""


def run(program: str, folder: Path, before: str = INSTALLED, *options: str) -> str:
    """A program in a process of its own; what it printed."""
    file = folder / "program.py"
    file.write_text(before + textwrap.dedent(program))
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, str(file)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def test_http_server_keeps_a_connection(tmp_path: Path) -> None:
    told = run(
        """
        import http.client, http.server

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).upper()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        for kind in (http.server.HTTPServer, http.server.ThreadingHTTPServer):
            assert issubclass(kind, reactor.socketserver.TCPServer)
            with serving(kind(("127.0.0.1", 0), Handler)) as server:
                client = http.client.HTTPConnection(*server.server_address, timeout=10)
                ports = set()
                for word in (b"a", b"b", b"c"):
                    client.request("POST", "/", word)
                    ports.add(client.sock.getsockname()[1])
                    print(client.getresponse().read().decode(), end="")
                client.close()
                assert len(ports) == 1
        """,
        tmp_path,
    )
    assert told == "ABCABC"


def test_http_server_in_preforked_workers(tmp_path: Path) -> None:
    told = run(
        """
        import http.client, http.server
        from strategies import Prefork, ThreadPool

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"%d" % os.getpid())

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler, strategy=Prefork(2, ThreadPool(2)))
        answers = []

        def call():
            for _ in range(6):
                client = http.client.HTTPConnection(*server.server_address, timeout=10)
                client.request("GET", "/")
                answers.append(int(client.getresponse().read()))
                client.close()
            server.shutdown()

        import warnings
        warnings.filterwarnings("ignore", "forking beside", RuntimeWarning)
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        caller = threading.Thread(target=call)
        caller.start()
        with server:
            server.serve_forever()
        caller.join()
        assert os.getpid() not in answers, answers
        print(len(answers), 1 <= len(set(answers)) <= 2)
        """,
        tmp_path,
    )
    assert told == "6 True\n"


def test_xmlrpc(tmp_path: Path) -> None:
    told = run(
        """
        import xmlrpc.client, xmlrpc.server

        class Threading(socketserver.ThreadingMixIn, xmlrpc.server.SimpleXMLRPCServer):
            pass

        for kind in (xmlrpc.server.SimpleXMLRPCServer, Threading):
            server = kind(("127.0.0.1", 0), logRequests=False, allow_none=True)
            server.register_function(pow)
            server.register_function(lambda: threading.current_thread() is not threading.main_thread(), "elsewhere")
            with serving(server), xmlrpc.client.ServerProxy("http://%s:%d" % server.server_address) as proxy:
                print(proxy.pow(2, 10), proxy.elsewhere())
                try:
                    proxy.pow("a", "b")
                except xmlrpc.client.Fault as fault:
                    print("TypeError" in fault.faultString)
        """,
        tmp_path,
    )
    assert told == "1024 True\nTrue\n" * 2


def test_wsgiref(tmp_path: Path) -> None:
    told = run(
        """
        import urllib.request
        from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

        class Quiet(WSGIRequestHandler):
            def log_message(self, *args):
                pass

        class Threading(socketserver.ThreadingMixIn, WSGIServer):
            pass

        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [environ["PATH_INFO"].encode(), environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0))]

        for kind in (WSGIServer, Threading):
            assert issubclass(kind, reactor.socketserver.TCPServer)
            with serving(make_server("127.0.0.1", 0, app, kind, Quiet)) as server:
                url = "http://127.0.0.1:%d/here" % server.server_port
                with urllib.request.urlopen(url, b"!", timeout=10) as answer:
                    print(answer.read().decode())
        """,
        tmp_path,
    )
    assert told == "/here!\n" * 2


def test_logging_config_listen(tmp_path: Path) -> None:
    told = run(
        """
        import json, logging, logging.config, struct

        assert logging.config.ThreadingTCPServer is reactor.socketserver.ThreadingTCPServer
        verified = threading.Event()

        def verify(text):
            verified.set()
            return text

        logging.raiseExceptions = True
        listener = logging.config.listen(0, verify)
        listener.start()
        assert listener.ready.wait(10)
        config = {"version": 1, "loggers": {"told": {"level": "ERROR"}}}
        text = json.dumps(config).encode()
        with socket.create_connection(("localhost", listener.port), 10) as client:
            client.sendall(struct.pack(">L", len(text)) + text)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""  # its handler is done
        assert verified.is_set()
        print(logging.getLogger("told").level == logging.ERROR)
        logging.config.stopListening()
        listener.join(10)
        print(listener.is_alive())
        """,
        tmp_path,
    )
    assert told == "True\nFalse\n"


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_http_server_from_the_command_line(tmp_path: Path, number: int) -> None:
    """``python -m http.server``, after install(): it serves, and Ctrl-C ends it as it does there."""
    (tmp_path / "told").write_text("here")
    program = "import reactor.socketserver as s, runpy, sys; s.install(); sys.argv[1:] = sys.argv[1:]; " + (
        "runpy.run_module('http.server', run_name='__main__', alter_sys=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program, "--bind", "127.0.0.1", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        port = int(first.split(" port ")[1].split()[0])
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        client.request("GET", "/told")
        assert client.getresponse().read() == b"here"
        client.close()
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(DEADLINE)
    finally:
        process.kill()
        rest, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Keyboard interrupt received" in rest
    assert '"GET /told HTTP/1.1" 200' in errors


class Count(TurnHandler):
    """How many lines there have been on this connection."""

    def setup(self) -> None:
        super().setup()
        self.lines = 0

    def handle(self) -> Any:
        line = self.rfile.readline()
        if not line:
            return None
        self.lines += 1
        self.wfile.write(b"%d" % self.lines + line)
        return PARK


@pytest.mark.parametrize("strategy", [Inline, lambda: ThreadPool(2)], ids=["inline", "pool"])
@pytest.mark.parametrize("mix_in", ["", "Threading"])
def test_native_handler_parks(mix_in: str, strategy: Any) -> None:
    """Three clients, one thread: what waits holds none."""
    kind = getattr(ours, f"{mix_in}TCPServer")
    chosen = {} if mix_in else {"strategy": strategy()}
    with serving(kind(HERE, Count, **chosen), NEVER) as thread:
        clients = [connect(thread.server) for _ in range(3)]
        for turn in (1, 2, 3):
            for client in clients:
                client.sendall(b" hello\n")
                assert client.recv(100) == b"%d hello\n" % turn
        for client in clients:
            client.close()


def test_native_handler_in_a_partial() -> None:
    class Named(Count):
        def __init__(self, *args: Any, end: bytes) -> None:
            super().__init__(*args)
            self.end = end

        def finish(self) -> None:
            self.wfile.write(self.end)
            super().finish()

    with (
        serving(ours.TCPServer(HERE, functools.partial(Named, end=b"bye")), NEVER) as thread,
        connect(thread.server) as client,
    ):
        client.sendall(b" hello\n")
        assert client.recv(100) == b"1 hello\n"
        client.sendall(b" again\n")
        assert client.recv(100) == b"2 again\n"
        client.shutdown(socket.SHUT_WR)
        assert hear(client) == b"bye"


@pytest.mark.parametrize("strategy", [Inline(), ThreadPool(2), ForkPerRequest()], ids=repr)
def test_native_stream_handler(strategy: Any) -> None:
    class Upper(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.read().upper())

    with serving_beside_fork(ours.TCPServer(HERE, Upper, strategy=strategy)) as server:
        assert ask(server) == b"HELLO"
        assert ask(server) == b"HELLO"


@pytest.mark.parametrize("mix_in", ["", "Threading", "Forking"])
def test_native_datagram_handler(mix_in: str) -> None:
    class Upper(DatagramRequestHandler):
        def handle(self) -> None:
            assert self.request.local_address == self.server.server_address
            self.wfile.write(self.rfile.read().upper())

    with (
        serving_beside_fork(getattr(ours, f"{mix_in}UDPServer")(HERE, Upper)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(DEADLINE)
        client.sendto(b"hello", server.server_address)
        assert client.recv(100) == b"HELLO"


def test_in_a_reactor_beside_others() -> None:
    """A drop-in server and its shutdown() in a loop with others: only that one ends."""
    class Upper(ours.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.read().upper())

    with Reactor() as reactor:
        first, second = (reactor.add(kind(HERE, Upper)) for kind in (ours.TCPServer, ours.ThreadingTCPServer))
        thread = threading.Thread(target=reactor.run, args=(POLL,))
        thread.start()
        assert ask(first) == ask(second) == b"HELLO"
        first.shutdown()
        assert ask(second) == b"HELLO"
        second.shutdown()
        thread.join(DEADLINE)
        assert not thread.is_alive()
        again = threading.Thread(target=reactor.run, args=(POLL,))
        again.start()  # what was asked is done, and forgotten
        assert ask(first) == ask(second) == b"HELLO"
        reactor.stop()
        again.join(DEADLINE)
        assert not again.is_alive()


def test_several_objects_round_one_socket() -> None:
    """The recipe for a pool of threads: each has a server of its own round the same listening socket."""
    class Upper(ours.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.read().upper())

    with socket.create_server(HERE) as listener, contextlib.ExitStack() as stack:
        for _ in range(3):
            server = ours.TCPServer(listener.getsockname(), Upper, bind_and_activate=False)
            server.socket.close()
            server.socket = listener.dup()
            stack.enter_context(serving(server, POLL))
        server.server_address = listener.getsockname()
        assert [ask(server) for _ in range(12)] == [b"HELLO"] * 12


def test_served_by_children_forked_by_the_program(tmp_path: Path) -> None:
    """The recipe for preforking: bind, fork, and each child serves."""
    told = run(
        """
        import signal
        server = socketserver.TCPServer(("127.0.0.1", 0), None)

        class Pid(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"%d" % os.getpid())

        server.RequestHandlerClass = Pid
        pids = []
        for _ in range(2):
            pid = os.fork()
            if not pid:
                try:
                    server.serve_forever()
                finally:
                    os._exit(1)
            pids.append(pid)
        for _ in range(6):
            with socket.create_connection(server.server_address, 10) as client:
                assert int(client.recv(100)) in pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        server.server_close()
        print("served")
        """,
        tmp_path,
    )
    assert told == "served\n"


class TestInstall:
    def test_twice(self, tmp_path: Path) -> None:
        told = run(
            """
            import http.server
            reactor.socketserver.install()
            assert sys.modules["socketserver"] is reactor.socketserver
            assert issubclass(http.server.HTTPServer, socketserver.TCPServer)
            print(socketserver.TCPServer.__module__)
            """,
            tmp_path,
        )
        assert told == "socketserver\n"

    PROGRAM = """
    import warnings
    import reactor.socketserver
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reactor.socketserver.install()
    for warning in caught:
        print(warning.category.__name__, warning.filename == __file__, warning.message)
    """

    @pytest.mark.parametrize(
        ("before", "names"),
        [
            ("import http.server", ["http.server"]),
            ("import logging.config", ["logging.config"]),
            ("import xmlrpc.server", ["http.server", "xmlrpc.server"]),
            ("import wsgiref.simple_server", ["http.server", "wsgiref.simple_server"]),
            ("import other", ["other"]),
        ],
    )
    def test_too_late_for(self, tmp_path: Path, before: str, names: list[str]) -> None:
        """The standard library's, and those of a stranger."""
        (tmp_path / "other.py").write_text("from socketserver import ThreadingTCPServer as Base\nclass S(Base): pass\n")
        told = run(self.PROGRAM, tmp_path, before + "\n")
        assert told.startswith("RuntimeWarning True imported before install(), ")
        assert told.rstrip().endswith(": " + ", ".join(names))

    @pytest.mark.parametrize("before", ["", "import socketserver", "import logging, http.client, selectors"])
    def test_in_time(self, tmp_path: Path, before: str) -> None:
        told = run(self.PROGRAM, tmp_path, before + "\n")
        assert told == ("RuntimeWarning True imported before install(), and still on the standard library's classes: "
                        "__main__\n" if before == "import socketserver" else "")


def test_prefork_and_a_classic_handler() -> None:
    class Pid(ours.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"%d" % os.getpid())

    server = ours.TCPServer(HERE, Pid, strategy=Prefork(1))
    with serving_beside_fork(server), connect(server) as client:
        assert int(hear(client)) != os.getpid()
