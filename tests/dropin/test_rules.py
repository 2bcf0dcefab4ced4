"""The ten rules that real programs lean on, quoted from the design; each held against the original as well.

``module`` is the original in one run of a test and ours in the next: what is asserted is true of both.  What only ours
does (it never spins, it does not wait for itself) is tested with ``ours`` alone.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import queue
import shutil
import signal
import socket
import socketserver as original
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reactor import socketserver as ours
from strategies import Strategy, ThreadPool
from tests.dropin.serving import NEVER, POLL, Thread, ask, connect, hear, say, serving, serving_beside_fork
from tests.hold import Hold
from tests.serving import DEADLINE

HERE = ("127.0.0.1", 0)


@pytest.fixture(params=[original, ours], ids=["original", "ours"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


def upper(module: Any, before: Any = None) -> Any:
    """A handler that answers in upper case; ``before(handler)`` is called first."""

    class Upper(module.StreamRequestHandler):
        def handle(self) -> None:
            if before is not None:
                before(self)
            self.wfile.write(self.rfile.read().upper())

    return Upper


class TestPrivateNames:
    """1. The base class is named BaseServer; programs write ``_BaseServer__shutdown_request = True`` from handlers and
    signal handlers, and read ``_BaseServer__is_shut_down``.  The write must also wake the loop."""

    def test_from_a_handler(self, module: Any) -> None:
        def end(handler: Any) -> None:
            handler.server._BaseServer__shutdown_request = True

        with serving(module.TCPServer(HERE, upper(module, end)), NEVER) as thread:
            assert ask(thread.server) == b"HELLO"
            assert thread.ended() is None

    @pytest.mark.parametrize("mix_in", ["", "Threading"])
    def test_from_another_thread(self, module: Any, mix_in: str) -> None:
        kind = getattr(module, f"{mix_in}TCPServer")
        with serving(kind(HERE, upper(module)), NEVER if module is ours else POLL) as thread:
            assert ask(thread.server) == b"HELLO"
            thread.server._BaseServer__shutdown_request = True
            assert thread.ended() is None

    def test_from_a_handler_on_a_thread(self, module: Any) -> None:
        def end(handler: Any) -> None:
            handler.server._BaseServer__shutdown_request = True

        server = module.ThreadingTCPServer(HERE, upper(module, end))
        with serving(server, NEVER if module is ours else POLL) as thread:
            assert ask(thread.server) == b"HELLO"
            assert thread.ended() is None

    def test_from_a_signal_handler(self, module: Any) -> None:
        def end(number: int, frame: Any) -> None:
            server._BaseServer__shutdown_request = True

        with module.TCPServer(HERE, upper(module)) as server, Caller(server) as caller, caught(signal.SIGUSR1, end):
            server.serve_forever(NEVER if module is ours else POLL)
            assert caller.heard() == b"HELLO"

    def test_requests_behind_it_are_not_taken(self, module: Any) -> None:
        """Several clients are there at once; the first one's handler ends the loop."""
        served = []

        def end(handler: Any) -> None:
            served.append(handler.client_address)
            handler.server._BaseServer__shutdown_request = True

        server = module.TCPServer(HERE, upper(module, end))
        with contextlib.ExitStack() as clients:
            for _ in range(4):
                client = clients.enter_context(connect(server))
                client.sendall(b"hello")
                client.shutdown(socket.SHUT_WR)
            with server:
                server.serve_forever(NEVER)
        assert len(served) == 1

    def test_is_shut_down(self, module: Any) -> None:
        server = module.TCPServer(HERE, upper(module))
        assert not server._BaseServer__is_shut_down.is_set()
        with serving(server) as thread:
            assert ask(server) == b"HELLO"
            assert not server._BaseServer__is_shut_down.is_set()
            assert not server._BaseServer__is_shut_down.wait(0)
            server.shutdown()
            assert server._BaseServer__is_shut_down.is_set()
            assert thread.ended() is None
        assert server._BaseServer__is_shut_down.wait(DEADLINE)

    @pytest.mark.parametrize("own_event", [False, True])
    def test_a_serve_forever_of_the_programs_own(self, module: Any, own_event: bool) -> None:
        """With both names, as in recipes; shutdown() waits for it."""

        class Server(module.TCPServer):
            timeout = POLL
            rounds = 0

            def serve_forever(self, poll_interval: float = 0.5) -> None:
                self._BaseServer__is_shut_down.clear()
                try:
                    while not self._BaseServer__shutdown_request:
                        self.handle_request()
                finally:
                    self._BaseServer__shutdown_request = False
                    self.left = True
                    self._BaseServer__is_shut_down.set()

        server = Server(HERE, upper(module))
        if own_event:
            event = server._BaseServer__is_shut_down = threading.Event()
            assert server._BaseServer__is_shut_down is event
        with serving(server):
            assert ask(server) == b"HELLO"
            server.shutdown()
            assert server.left


class TestSocketAtServeTime:
    """2. ``fileno()`` and ``socket`` are asked at serve time and may change (swapped, TLS-wrapped, duck-typed, closed).
    A fileno of -1 or EBADF ends that server; it never spins."""

    def test_swapped(self, module: Any, tmp_path: Path) -> None:
        server = module.TCPServer(HERE, upper(module, lambda handler: families.append(handler.request.family)), False)
        families: list[int] = []
        server.socket.close()
        server.socket = socket.socket(socket.AF_UNIX)
        server.socket.bind(str(tmp_path / "here"))
        server.socket.listen()
        server.server_address = str(tmp_path / "here")
        with serving(server):
            assert ask(server) == b"HELLO"
        assert families == [socket.AF_UNIX]

    def test_swapped_between_two_servings(self, module: Any) -> None:
        server = module.TCPServer(HERE, upper(module))
        for _ in range(2):
            thread = Thread(server)
            thread.start()
            assert ask(server) == b"HELLO"
            server.shutdown()
            assert thread.ended() is None
            server.socket.close()
            server.socket = socket.create_server(HERE)
            server.server_address = server.socket.getsockname()
        server.server_close()

    def test_fileno_of_the_programs_own(self, module: Any) -> None:
        class Server(module.BaseServer):
            """No socket at all: requests are lines in a pipe, and a queue behind it."""

            def __init__(self) -> None:
                super().__init__(None, upper(module))
                self.reading, self.writing = os.pipe()
                self.answers: queue.Queue[Any] = queue.Queue()

            def fileno(self) -> int:
                return self.reading

            def get_request(self) -> tuple[Any, Any]:
                return os.read(self.reading, 1), "nobody"

            def finish_request(self, request: Any, client_address: Any) -> None:
                self.answers.put((request, client_address))

            def server_close(self) -> None:
                super().server_close()
                os.close(self.reading)
                os.close(self.writing)

        with serving(Server()) as thread:
            os.write(thread.server.writing, b"ab")
            assert thread.server.answers.get(timeout=DEADLINE) == (b"a", "nobody")
            assert thread.server.answers.get(timeout=DEADLINE) == (b"b", "nobody")

    @pytest.mark.parametrize("mix_in", ["", "Threading"])
    def test_tls(self, module: Any, mix_in: str, tmp_path: Path) -> None:
        class Echo(module.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(self.rfile.readline().upper())

        server_side, client_side = certificate(tmp_path)
        server = getattr(module, f"{mix_in}TCPServer")(HERE, Echo)
        server.socket = server_side.wrap_socket(server.socket, server_side=True)
        with serving(server):
            with socket.create_connection(server.server_address, DEADLINE) as plain:
                plain.sendall(b"no handshake at all\n")  # one client's mistake, and not the server's end
                hear(plain)
            with (
                socket.create_connection(server.server_address, DEADLINE) as plain,
                client_side.wrap_socket(plain, server_hostname="localhost") as client,
            ):
                client.sendall(b"hello\n")
                assert client.recv(100) == b"HELLO\n"
            assert server.socket.gettimeout() is None

    def test_duck_typed(self, module: Any) -> None:
        class Listener:
            """As little of a socket as can be."""

            def __init__(self, inner: socket.socket) -> None:
                self.inner = inner
                self.fileno = inner.fileno
                self.accept = inner.accept
                self.close = inner.close

        server = module.TCPServer(HERE, upper(module))
        server.socket = Listener(server.socket)
        with serving(server):
            assert ask(server) == b"HELLO"
            assert server.socket.inner.gettimeout() is None

    def test_duck_typed_datagrams(self, module: Any) -> None:
        class Receiver:
            def __init__(self, inner: socket.socket) -> None:
                self.fileno, self.close, self.sendto = inner.fileno, inner.close, inner.sendto
                self.inner = inner

            def recvfrom(self, size: int) -> tuple[bytes, Any]:
                return self.inner.recvfrom(size)

        class Upper(module.DatagramRequestHandler):
            def handle(self) -> None:
                self.wfile.write(self.rfile.read().upper())

        server = module.UDPServer(HERE, Upper)
        server.socket = Receiver(server.socket)
        with serving(server), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(DEADLINE)
            client.sendto(b"hello", server.server_address)
            assert client.recv(100) == b"HELLO"

    def test_closed_before(self, module: Any) -> None:
        server = module.TCPServer(HERE, upper(module))
        server.server_close()
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            server.serve_forever()
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            server.handle_request()

    def test_closed_by_a_handler(self) -> None:
        """Ours only: the original spins."""
        server = ours.TCPServer(HERE, upper(ours, lambda handler: handler.server.socket.close()))
        with serving(server, NEVER) as thread:
            assert ask(server) == b"HELLO"
            assert thread.ended() is None

    def test_closed_by_a_handler_beside_service_actions(self) -> None:
        class Server(ours.TCPServer):
            def service_actions(self) -> None:
                pass

        server = Server(HERE, upper(ours, lambda handler: handler.server.socket.close()))
        with serving(server, POLL):
            assert ask(server) == b"HELLO"

    def test_a_program_that_closes_the_socket_itself_leaves_nothing(self, module: Any) -> None:
        """Not server_close(): many old programs do so.  The census round each test counts descriptors."""
        server = module.TCPServer(HERE, upper(module))
        thread = Thread(server)
        thread.start()
        assert ask(server) == b"HELLO"
        server.shutdown()
        assert thread.ended() is None
        server.socket.close()

    def test_swapped_while_serving_gives_the_first_one_back_as_it_was(self, module: Any) -> None:
        first = socket.create_server(HERE)
        server = module.TCPServer(HERE, upper(module), False)
        server.socket.close()
        server.socket = first
        server.server_address = first.getsockname()
        with first, serving(server):
            assert ask(server) == b"HELLO"
            server.socket = socket.create_server(HERE)
            server.shutdown()
            assert first.gettimeout() is None
            assert os.get_blocking(first.fileno())


class TestHooks:
    """3. ``_handle_request_noblock > get_request > verify_request > process_request > finish_request``,
    ``process_request_thread`` as the body of a threaded job, ``shutdown_request`` exactly once per request.  A request
    that a subclass chose to keep is not closed behind its back."""

    HOOKS = (
        "_handle_request_noblock get_request verify_request process_request process_request_thread finish_request "
        "handle_error shutdown_request close_request"
    ).split()

    def tell(self, kind: Any, told: list[str]) -> Any:
        """A subclass whose hooks note that they were called."""

        def noting(name: str) -> Any:
            def hook(self: Any, *args: Any) -> Any:
                told.append(name)
                return getattr(super(Telling, self), name)(*args)

            return hook

        Telling = type("Telling", (kind,), {name: noting(name) for name in self.HOOKS if hasattr(kind, name)})
        return Telling

    FIRST = "_handle_request_noblock get_request verify_request process_request".split()
    LAST = "shutdown_request close_request".split()

    @pytest.mark.parametrize(
        ("mix_in", "between"),
        [("", ["finish_request"]), ("Threading", ["process_request_thread", "finish_request"])],
    )
    def test_order(self, module: Any, mix_in: str, between: list[str]) -> None:
        told: list[str] = []
        server = self.tell(getattr(module, f"{mix_in}TCPServer"), told)(HERE, upper(module))
        with serving(server):
            assert ask(server) == b"HELLO"
        assert told == self.FIRST + between + self.LAST

    @pytest.mark.parametrize(
        ("mix_in", "between"),
        [("", ["finish_request"]), ("Threading", ["process_request_thread", "finish_request"])],
    )
    def test_once_after_an_exception(self, module: Any, mix_in: str, between: list[str], capfd: Any) -> None:
        told: list[str] = []

        def fail(handler: Any) -> None:
            raise ValueError("on purpose")

        server = self.tell(getattr(module, f"{mix_in}TCPServer"), told)(HERE, upper(module, fail))
        with serving(server):
            assert ask(server) == b""
        assert told == [*self.FIRST, *between, "handle_error", *self.LAST]
        assert "ValueError: on purpose" in capfd.readouterr().err

    def test_once_when_denied(self, module: Any) -> None:
        told: list[str] = []
        kind = self.tell(module.TCPServer, told)
        kind.verify_request = lambda self, request, client_address: False
        with serving(kind(HERE, upper(module))) as thread:
            assert ask(thread.server) == b""
        assert told == ["_handle_request_noblock", "get_request", *self.LAST]

    def test_once_when_process_request_raises(self, module: Any, capfd: Any) -> None:
        told: list[str] = []
        kind = self.tell(module.ThreadingTCPServer, told)

        def fail(self: Any, request: Any, client_address: Any) -> None:
            raise ValueError("on purpose")

        kind.process_request = fail
        with serving(kind(HERE, upper(module))) as thread:
            assert ask(thread.server) == b""
        assert told == [*self.FIRST[:-1], "handle_error", *self.LAST]

    def test_once_when_a_strategy_fails(self, capfd: Any) -> None:
        class Broken(Strategy):
            def submit(self, job: Any) -> None:
                raise ValueError("on purpose")

        told: list[str] = []
        server = self.tell(ours.TCPServer, told)(HERE, upper(ours), strategy=Broken())
        with serving(server):
            assert ask(server) == b""
            assert ask(server) == b""
        assert told == [*self.FIRST, "handle_error", *self.LAST] * 2

    def test_in_a_forked_child(self, module: Any, tmp_path: Path) -> None:
        """The parent closes its copy without shutting the connection; the child does all of the rest."""
        here = os.getpid()
        told = tmp_path / "told"

        class Server(module.ForkingTCPServer):
            def tell(self, what: str) -> None:
                with open(told, "a") as file:
                    print("parent" if os.getpid() == here else "child", what, file=file)

            def finish_request(self, request: Any, client_address: Any) -> None:
                self.tell("finish")
                super().finish_request(request, client_address)

            def shutdown_request(self, request: Any) -> None:
                self.tell("shutdown")
                super().shutdown_request(request)

            def close_request(self, request: Any) -> None:
                self.tell("close")
                super().close_request(request)

        with serving_beside_fork(Server(HERE, upper(module))) as server:
            assert ask(server) == b"HELLO"
        lines = told.read_text().splitlines()
        assert [line for line in lines if "child" in line] == ["child finish", "child shutdown", "child close"]
        assert [line for line in lines if "parent" in line] == ["parent close"]

    def test_kept(self, module: Any) -> None:
        class Server(module.TCPServer):
            kept: queue.Queue[Any] = queue.Queue()

            def process_request(self, request: Any, client_address: Any) -> None:
                self.kept.put(request)

        server = Server(HERE, upper(module))
        with connect(server) as client:
            with serving(server):
                request = server.kept.get(timeout=DEADLINE)
            with request:  # the server is closed, the request is not
                request.sendall(b"still here")
                assert client.recv(100) == b"still here"

    def test_kept_by_shutdown_request(self, module: Any) -> None:
        """As programs do that upgrade a connection, and answer on it later."""

        class Server(module.ThreadingTCPServer):
            kept: queue.Queue[Any] = queue.Queue()

            def shutdown_request(self, request: Any) -> None:
                self.kept.put(request)

        server = Server(HERE, module.BaseRequestHandler)
        with connect(server) as client:
            with serving(server):
                request = server.kept.get(timeout=DEADLINE)
            with request:
                request.sendall(b"still here")
                assert client.recv(100) == b"still here"

    def test_process_request_thread_of_the_programs_own(self, module: Any) -> None:
        names = []

        class Server(module.ThreadingTCPServer):
            def process_request_thread(self, request: Any, client_address: Any) -> None:
                names.append(threading.current_thread() is not thread)
                super().process_request_thread(request, client_address)

        with serving(Server(HERE, upper(module))) as thread:
            assert ask(thread.server) == b"HELLO"
        assert names == [True]

    def test_process_request_thread_in_a_pool_of_the_programs_own(self, module: Any) -> None:
        with ThreadPoolExecutor(1) as pool:

            class Server(module.ThreadingTCPServer):
                def process_request(self, request: Any, client_address: Any) -> None:
                    pool.submit(self.process_request_thread, request, client_address)

            with serving(Server(HERE, upper(module))) as thread:
                assert ask(thread.server) == b"HELLO"

    def test_handle_request_noblock_of_the_programs_own(self, module: Any) -> None:
        """Called once for each request that is there, never to see whether there is one more."""
        calls = []

        class Server(module.TCPServer):
            def _handle_request_noblock(self) -> None:
                calls.append(1)
                request, client_address = self.get_request()
                self.process_request(request, client_address)

        with serving(Server(HERE, upper(module))) as thread:
            assert [ask(thread.server) for _ in range(3)] == [b"HELLO"] * 3
        assert len(calls) == 3

    @pytest.mark.parametrize("kind", ["TCP", "UDP"])
    @pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
    @pytest.mark.parametrize("mix_in", ["", "Threading", "Forking"])
    def test_a_serve_forever_copied_from_the_original(self, module: Any, mix_in: str, kind: str) -> None:
        class Server(getattr(module, f"{mix_in}{kind}Server")):  # type: ignore[misc]
            def serve_forever(self, poll_interval: float = 0.5) -> None:
                self._BaseServer__is_shut_down.clear()
                try:
                    with module._ServerSelector() as selector:
                        selector.register(self, 1)
                        while not self._BaseServer__shutdown_request:
                            if selector.select(poll_interval):
                                self._handle_request_noblock()
                            self.service_actions()
                finally:
                    self._BaseServer__shutdown_request = False
                    self._BaseServer__is_shut_down.set()

        class Upper(module.DatagramRequestHandler):
            def handle(self) -> None:
                self.wfile.write(self.rfile.read().upper())

        server = Server(HERE, upper(module) if kind == "TCP" else Upper)
        with serving(server), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(3):
                if kind == "TCP":
                    assert ask(server) == b"HELLO"
                else:
                    client.settimeout(DEADLINE)
                    client.sendto(b"hello", server.server_address)
                    assert client.recv(100) == b"HELLO"

    def test_patched_base_class(self, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """As instrumentation does; a TCPServer's own methods are not hidden by it."""
        seen = []
        init, process = module.BaseServer.__init__, module.BaseServer.process_request

        def patched_init(self: Any, *args: Any, **kwargs: Any) -> None:
            seen.append("init")
            init(self, *args, **kwargs)

        def patched_process(self: Any, *args: Any) -> None:
            seen.append("process")
            process(self, *args)

        monkeypatch.setattr(module.BaseServer, "__init__", patched_init)
        monkeypatch.setattr(module.BaseServer, "process_request", patched_process)
        with serving(module.TCPServer(HERE, upper(module))) as thread:
            assert ask(thread.server) == b"HELLO"
        assert seen == ["init", "process"]

    def test_a_class_between(self, module: Any) -> None:
        class Between(module.BaseServer):
            def get_request(self) -> Any:
                raise AssertionError("hidden by TCPServer's own")

            def verify_request(self, request: Any, client_address: Any) -> bool:
                return False

        server = type("Server", (module.TCPServer, Between), {})(HERE, upper(module))
        with serving(server):
            assert ask(server) == b""


class TestHandleError:
    """4. handle_error runs inside the except block (``sys.exc_info()``, bare ``raise`` work); what it raises
    propagates."""

    @staticmethod
    def failing(module: Any) -> Any:
        def fail(handler: Any) -> None:
            raise ValueError("on purpose")

        return upper(module, fail)

    @pytest.mark.parametrize("mix_in", ["", "Threading"])
    def test_inside_the_except_block(self, module: Any, mix_in: str) -> None:
        seen: list[Any] = []

        class Server(getattr(module, f"{mix_in}TCPServer")):  # type: ignore[misc]
            def handle_error(self, request: Any, client_address: Any) -> None:
                seen.append((sys.exc_info()[0], sys.exception(), request.fileno() >= 0))

        with serving(Server(HERE, self.failing(module))) as thread:
            assert ask(thread.server) == b""
        ((kind, error, opened),) = seen
        assert kind is ValueError
        assert str(error) == "on purpose"
        assert opened
        seen.clear()

    @pytest.mark.parametrize("error", [None, KeyError("another"), SystemExit(3)], ids=repr)
    def test_what_it_raises_ends_the_server(self, module: Any, error: BaseException | None) -> None:
        class Server(module.TCPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                request.close()
                if error is None:
                    raise
                raise error

        with serving(Server(HERE, self.failing(module))) as thread:
            assert ask(thread.server) == b""
            raised = thread.ended()
        assert raised is error or (error is None and isinstance(raised, ValueError))

    def test_what_it_raises_ends_a_thread_alone(self, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        raised: queue.Queue[Any] = queue.Queue()
        monkeypatch.setattr(threading, "excepthook", lambda args: raised.put(args.exc_type))

        class Server(module.ThreadingTCPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                raise KeyError("another")

        with serving(Server(HERE, self.failing(module))) as thread:
            assert ask(thread.server) == b""
            assert raised.get(timeout=DEADLINE) is KeyError
            assert ask(thread.server) == b""
            assert raised.get(timeout=DEADLINE) is KeyError

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
    def test_what_ends_a_program_is_no_error(self, module: Any, error: BaseException) -> None:
        def leave(handler: Any) -> None:
            raise error

        class Server(module.TCPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                raise AssertionError

        with serving(Server(HERE, upper(module, leave))) as thread:
            assert ask(thread.server) == b""
            assert thread.ended() is error

    def test_an_interrupt_behind_a_job_that_is_taken(self) -> None:
        """Starting a thread waits for it, and Ctrl-C may come there: then the request is the thread's already."""
        interrupt = KeyboardInterrupt()

        class Interrupted(Strategy):
            def submit(self, job: Any) -> None:
                thread = threading.Thread(target=job.run)
                thread.start()
                thread.join()
                raise interrupt

        class Server(ours.TCPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                raise AssertionError

        with serving(Server(HERE, upper(ours, None), strategy=Interrupted())) as thread:
            assert ask(thread.server) == b"HELLO"
            assert thread.ended() is interrupt

    def test_verify_request_is_outside(self, module: Any) -> None:
        class Server(module.TCPServer):
            def verify_request(self, request: Any, client_address: Any) -> bool:
                request.close()
                raise ValueError("on purpose")

        with serving(Server(HERE, upper(module))) as thread:
            assert ask(thread.server) == b""
            assert isinstance(thread.ended(), ValueError)

    def test_printed(self, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        printed = io.StringIO()
        monkeypatch.setattr(sys, "stderr", printed)
        with serving(module.TCPServer(HERE, self.failing(module))) as thread, connect(thread.server) as client:
            name = client.getsockname()
            assert say(client) == b""
        lines = printed.getvalue().splitlines()
        assert lines[:3] == [
            "-" * 40,
            f"Exception occurred during processing of request from {name}",
            "Traceback (most recent call last):",
        ]
        assert lines[-2:] == ["ValueError: on purpose", "-" * 40]


class TestServiceActions:
    """5. service_actions after every turn, at least every poll_interval; what it raises ends serve_forever."""

    def test_after_each_request(self, module: Any) -> None:
        told: list[str] = []

        class Server(module.TCPServer):
            request_queue_size = 16

            def service_actions(self) -> None:
                if told.count("request") == 8:
                    self._BaseServer__shutdown_request = True
                told.append("actions")

        with contextlib.ExitStack() as clients, Server(HERE, upper(module, lambda _: told.append("request"))) as server:
            for _ in range(8):  # all are there before the loop turns
                client = clients.enter_context(connect(server))
                client.sendall(b"hello")
                client.shutdown(socket.SHUT_WR)
            server.serve_forever(NEVER)
        assert told == ["request", "actions"] * 8

    def test_without_a_request(self, module: Any) -> None:
        calls = []
        enough = threading.Event()

        class Server(module.TCPServer):
            def service_actions(self) -> None:
                super().service_actions()
                calls.append(1)
                if len(calls) == 5:
                    enough.set()

        with serving(Server(HERE, upper(module)), POLL):
            assert enough.wait(DEADLINE)

    def test_set_on_the_object(self, module: Any) -> None:
        server = module.TCPServer(HERE, upper(module))
        called = threading.Event()
        server.service_actions = called.set
        with serving(server, POLL):
            assert called.wait(DEADLINE)

    def test_what_it_raises(self, module: Any) -> None:
        class Server(module.TCPServer):
            def service_actions(self) -> None:
                raise ValueError("on purpose")

        with serving(Server(HERE, upper(module)), POLL) as thread:
            assert isinstance(thread.ended(), ValueError)


class TestBlockingListener:
    """6. The listener is not made non-blocking behind a subclass that overrides get_request."""

    @pytest.mark.parametrize("kind", ["TCPServer", "ThreadingTCPServer", "UDPServer"])
    def test_it_blocks(self, module: Any, kind: str) -> None:
        seen = []

        class Server(getattr(module, kind)):  # type: ignore[misc]
            def get_request(self) -> Any:
                seen.append((self.socket.gettimeout(), os.get_blocking(self.socket.fileno())))
                return super().get_request()

        with serving(Server(HERE, module.BaseRequestHandler)) as thread:
            if kind == "UDPServer":
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.sendto(b"hello", thread.server.server_address)
                    thread.server.shutdown()
            else:
                assert ask(thread.server) == b""
        assert set(seen) <= {(None, True)}
        assert seen or kind == "UDPServer"

    def test_a_timeout_of_the_programs_own_stays(self, module: Any) -> None:
        server = module.TCPServer(HERE, upper(module))
        server.socket.settimeout(7)
        with serving(server):
            assert ask(server) == b"HELLO"
            server.shutdown()
            assert server.socket.gettimeout() == 7

    def test_requests_block(self, module: Any) -> None:
        seen = []
        handler = upper(module, lambda handler: seen.append(handler.request.gettimeout()))
        with serving(module.TCPServer(HERE, handler)) as thread:
            assert ask(thread.server) == b"HELLO"
        assert seen == [None]

    def test_default_timeout(self, module: Any) -> None:
        seen = []
        handler = upper(module, lambda handler: seen.append(handler.request.gettimeout()))
        socket.setdefaulttimeout(9)
        try:
            with serving(module.TCPServer(HERE, handler)) as thread:
                assert ask(thread.server) == b"HELLO"
        finally:
            socket.setdefaulttimeout(None)
        assert seen == [9]


class TestAttributes:
    """7. Class or instance attributes changed at any time before server_bind count.  A constructor may run late, and
    twice."""

    def test_on_the_object(self, module: Any) -> None:
        with module.TCPServer(HERE, None, bind_and_activate=False) as server:
            server.allow_reuse_address = server.allow_reuse_port = True
            server.request_queue_size = 77
            server.server_bind()
            server.server_activate()
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                assert server.socket.getsockopt(socket.SOL_SOCKET, option)

    def test_on_the_class_and_in_server_bind(self, module: Any) -> None:
        class Server(module.TCPServer):
            address_family = socket.AF_INET6

            def server_bind(self) -> None:
                self.allow_reuse_address = True
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                super().server_bind()

        if not socket.has_ipv6:
            pytest.skip("no IPv6 here")
        with Server(("::1", 0), None) as server:
            assert server.socket.family == socket.AF_INET6
            assert len(server.server_address) == 4
            assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)

    def test_the_class_says_the_family(self, module: Any) -> None:
        with pytest.raises(socket.gaierror):  # an IPv4 server, whatever its address looks like
            module.TCPServer(("::1", 0), None)

    def test_none_is_left_on_the_object(self, module: Any) -> None:
        with module.TCPServer(HERE, None) as server:
            names = {name for name in vars(server) if not name.startswith("_")}
        assert names == {"server_address", "RequestHandlerClass", "socket"}

    def test_a_late_constructor(self, module: Any) -> None:
        class Server(module.ThreadingTCPServer):
            def __init__(self) -> None:
                self.allow_reuse_address = True
                self.timeout = 3

            def start(self) -> None:
                super().__init__(HERE, upper(module))

        server = Server()
        server.start()
        with serving(server):
            assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
            assert ask(server) == b"HELLO"

    def test_twice(self, module: Any) -> None:
        """A server that is started again, as it is there: what was asked before is forgotten."""
        server = module.TCPServer(HERE, upper(module))
        for _ in range(2):
            thread = Thread(server)
            thread.start()
            assert ask(server) == b"HELLO"
            server.shutdown()
            assert thread.ended() is None
            server.server_close()
            server._BaseServer__shutdown_request = True
            server.__init__(HERE, upper(module))
        with serving(server):
            assert ask(server) == b"HELLO"

    def test_base_constructor_and_a_socket_of_the_programs_own(self, module: Any) -> None:
        """The classic way to a server over TLS."""

        class Server(module.TCPServer):
            def __init__(self) -> None:
                module.BaseServer.__init__(self, HERE, upper(module))
                self.socket = socket.socket()
                self.server_bind()
                self.server_activate()

        with serving(Server()) as thread:
            assert ask(thread.server) == b"HELLO"


class TestHandlerIsAnyCallable:
    """8. RequestHandlerClass is any callable."""

    def function(self, request: Any, client_address: Any, server: Any) -> Any:
        request.sendall(request.recv(100).upper())
        return object()

    @pytest.mark.parametrize("mix_in", ["", "Threading"])
    @pytest.mark.parametrize("kind", "class method partial-class partial-method lambda object".split())
    def test_any(self, module: Any, kind: str, mix_in: str) -> None:
        class Answer(module.StreamRequestHandler):
            def __init__(self, *args: Any, how: Any = bytes.upper) -> None:
                self.how = how
                super().__init__(*args)

            def handle(self) -> None:
                self.wfile.write(self.how(self.rfile.read()))

        class Callable:
            __call__ = staticmethod(self.function)

        handlers = {
            "class": Answer,
            "method": self.function,
            "partial-class": functools.partial(Answer, how=bytes.upper),
            "partial-method": functools.partial(self.function),
            "lambda": lambda *args: Answer(*args),
            "object": Callable(),
        }
        with serving(getattr(module, f"{mix_in}TCPServer")(HERE, handlers[kind])) as thread:
            assert ask(thread.server) == b"HELLO"

    def test_set_later(self, module: Any) -> None:
        server = module.TCPServer(HERE, None)
        server.RequestHandlerClass = upper(module)
        with serving(server):
            assert ask(server) == b"HELLO"


class TestShutdown:
    """9. A pending shutdown() makes the next serve_forever return at once.  shutdown() is safe from every thread, from
    a handler, from the loop's own thread and from a signal handler."""

    def test_pending(self, module: Any) -> None:
        with module.TCPServer(HERE, upper(module)) as server:
            server._BaseServer__shutdown_request = True  # there, shutdown() itself would wait for ever
            server.serve_forever(NEVER)
        with serving(module.TCPServer(HERE, upper(module))) as thread:  # and it was for that one only
            assert ask(thread.server) == b"HELLO"

    def test_before(self) -> None:
        with ours.TCPServer(HERE, upper(ours)) as server:
            server.shutdown()
            server.serve_forever(NEVER)
            thread = Thread(server, NEVER)
            thread.start()
            assert ask(server) == b"HELLO"
            server.shutdown()
            assert thread.ended() is None

    def test_closed_before_the_thread_comes(self) -> None:
        """shutdown() there waits for a thread that was started; ours does not, and so it may find a closed server."""
        server = ours.TCPServer(HERE, upper(ours))
        server.shutdown()
        server.server_close()
        server.serve_forever(NEVER)

    def test_before_the_thread_has_begun(self, module: Any) -> None:
        for _ in range(20):
            server = module.TCPServer(HERE, upper(module))
            thread = Thread(server)
            thread.start()
            server.shutdown()
            server.server_close()
            assert thread.ended() is None

    def test_twice(self, module: Any) -> None:
        with serving(module.TCPServer(HERE, upper(module))) as thread:
            thread.server.shutdown()
            thread.server.shutdown()
            assert thread.ended() is None

    def test_waits_for_the_request_that_is_served(self, module: Any) -> None:
        server = module.TCPServer(HERE, upper(module, lambda _: hold()))
        with Hold() as hold, serving(server) as thread, connect(server) as client:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            hold.wait_entered()
            ending = threading.Thread(target=server.shutdown)
            ending.start()
            assert thread.is_alive()
            hold.release()
            ending.join(DEADLINE)
            assert not ending.is_alive()
            assert thread.ended() is None
            assert hear(client) == b"HELLO"

    def test_from_a_handler_on_a_thread(self, module: Any) -> None:
        ended = []

        def end(handler: Any) -> None:
            handler.server.shutdown()
            ended.append(handler.server._BaseServer__is_shut_down.is_set())

        server = module.ThreadingTCPServer(HERE, upper(module, end))
        with serving(server, NEVER if module is ours else POLL) as thread:
            assert ask(server) == b"HELLO"
            assert thread.ended() is None
        assert ended == [True]

    @pytest.mark.parametrize("where", ["handler", "service_actions", "verify_request", "get_request"])
    def test_from_the_loops_own_thread(self, where: str) -> None:
        """There it waits for itself, and for ever."""

        class Server(ours.TCPServer):
            def service_actions(self) -> None:
                if where == "service_actions":
                    self.shutdown()

            def verify_request(self, request: Any, client_address: Any) -> bool:
                if where == "verify_request":
                    self.shutdown()
                return True

            def get_request(self) -> Any:
                if where == "get_request":
                    self.shutdown()
                return super().get_request()

        def end(handler: Any) -> None:
            if where == "handler":
                handler.server.shutdown()

        with serving(Server(HERE, upper(ours, end)), NEVER) as thread:
            assert ask(thread.server) == b"HELLO"
            assert thread.ended() is None

    @pytest.mark.parametrize("mix_in", ["", "Threading", "Forking"])
    @pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
    def test_from_a_signal_handler_in_the_thread_that_serves(self, mix_in: str) -> None:
        """There it waits for itself, and for ever."""

        def end(number: int, frame: Any) -> None:
            server.shutdown()

        kind = getattr(ours, f"{mix_in}TCPServer")
        with kind(HERE, upper(ours)) as server, Caller(server) as caller, caught(signal.SIGUSR1, end):
            server.serve_forever(NEVER)
            assert caller.heard() == b"HELLO"

    def test_from_a_signal_handler_beside_it(self, module: Any) -> None:
        ended = []

        def end(number: int, frame: Any) -> None:
            thread.server.shutdown()
            ended.append(thread.server._BaseServer__is_shut_down.is_set())

        with serving(module.TCPServer(HERE, upper(module))) as thread, caught(signal.SIGUSR1, end):
            assert ask(thread.server) == b"HELLO"
            signal.raise_signal(signal.SIGUSR1)
            assert thread.ended() is None
        assert ended == [True]

    def test_interrupt(self, module: Any) -> None:
        """Ctrl-C, as programs expect it: serve_forever() raises, and the server can be closed, or serve on."""
        with module.TCPServer(HERE, upper(module)) as server:
            for _ in range(2):
                with Caller(server, signal.SIGINT) as caller:
                    with pytest.raises(KeyboardInterrupt):
                        server.serve_forever(NEVER if module is ours else POLL)
                    assert caller.heard() == b"HELLO"

    def test_handle_request_beside_serve_forever(self, module: Any) -> None:
        """A handler asks for one more request, and another thread does."""
        nested = []

        class Server(module.TCPServer):
            def handle_timeout(self) -> None:
                nested.append("timeout")

        def one_more(handler: Any) -> None:
            if not nested:
                nested.append("begun")
                second.append(connect(server))
                second[0].sendall(b"second")
                second[0].shutdown(socket.SHUT_WR)
                server.handle_request()
                nested.append("ended")

        second: list[socket.socket] = []
        server = Server(HERE, upper(module, one_more))
        with serving(server):
            assert ask(server) == b"HELLO"
            with second[0]:
                assert hear(second[0]) == b"SECOND"
            server.timeout = 0
            server.handle_request()
        assert nested == ["begun", "ended", "timeout"]


class TestMixIns:
    """10. isinstance(server, ThreadingMixIn) and the order of bases stay true; ``daemon_threads``, ``block_on_close``,
    ``max_children``, ``active_children``, ``timeout``, ``handle_timeout`` work."""

    @pytest.mark.parametrize("mix_in", ["Threading", "Forking"])
    def test_isinstance(self, module: Any, mix_in: str) -> None:
        for kind in ("TCPServer", "UDPServer"):
            with getattr(module, f"{mix_in}{kind}")(HERE, None) as server:
                assert isinstance(server, getattr(module, f"{mix_in}MixIn"))
                assert isinstance(server, getattr(module, kind))
                assert isinstance(server, module.BaseServer)

    def test_a_mix_in_behind_the_server_does_nothing(self, module: Any) -> None:
        threads = []
        kind = type("Server", (module.TCPServer, module.ThreadingMixIn), {})
        handler = upper(module, lambda _: threads.append(threading.current_thread()))
        with serving(kind(HERE, handler)) as thread:
            assert ask(thread.server) == b"HELLO"
        assert threads == [thread]

    @pytest.mark.parametrize("daemon", [False, True])
    def test_daemon_threads(self, module: Any, daemon: bool) -> None:
        seen = []
        handler = upper(module, lambda _: seen.append(threading.current_thread().daemon))
        server = module.ThreadingTCPServer(HERE, handler)
        server.daemon_threads = daemon
        with serving(server):
            assert ask(server) == b"HELLO"
            server.daemon_threads = not daemon
            assert ask(server) == b"HELLO"
        assert seen == [daemon, not daemon]

    def test_block_on_close(self, module: Any) -> None:
        with Hold() as hold:
            server = module.ThreadingTCPServer(HERE, upper(module, lambda _: hold()))
            with serving(server), connect(server) as client:
                client.sendall(b"hello")
                client.shutdown(socket.SHUT_WR)
                hold.wait_entered()
                server.shutdown()
                closing = threading.Thread(target=server.server_close)
                closing.start()
                closing.join(0.05)
                assert closing.is_alive()
                hold.release()
                closing.join(DEADLINE)
                assert not closing.is_alive()
                assert hear(client) == b"HELLO"

    @pytest.mark.parametrize(("daemon", "block"), [(False, False), (True, True)])
    def test_nothing_to_wait_for(self, module: Any, daemon: bool, block: bool) -> None:
        class Server(module.ThreadingTCPServer):
            daemon_threads = daemon
            block_on_close = block

        with Hold() as hold:
            server = Server(HERE, upper(module, lambda _: hold()))
            with serving(server), connect(server) as client:
                client.sendall(b"hello")
                client.shutdown(socket.SHUT_WR)
                hold.wait_entered()
                server.shutdown()
                server.server_close()
                hold.release()
                assert hear(client) == b"HELLO"

    def test_active_children(self, module: Any) -> None:
        class Wait(module.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"%d\n" % os.getpid())
                self.rfile.readline()

        seen: queue.Queue[set[int]] = queue.Queue()

        class Server(module.ForkingTCPServer):
            def service_actions(self) -> None:
                super().service_actions()
                if self.active_children:
                    seen.put(set(self.active_children))

        server = Server(HERE, Wait)
        assert server.active_children is None
        with serving_beside_fork(server), connect(server) as client:
            pid = int(client.recv(100))
            assert seen.get(timeout=DEADLINE) == {pid}
            client.sendall(b"\n")
            assert hear(client) == b""
        assert server.active_children == set()

    def test_max_children(self, module: Any) -> None:
        """The third client is served when one of the two before it has gone."""

        class Wait(module.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"%d\n" % os.getpid())
                self.rfile.readline()

        server = module.ForkingTCPServer(HERE, Wait)
        with serving_beside_fork(server), contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(server))]
            pids = [int(clients[0].recv(100))]
            server.max_children = 2  # at any time
            clients += [stack.enter_context(connect(server)) for _ in range(2)]
            pids.append(int(clients[1].recv(100)))
            clients[2].settimeout(0.05)
            with pytest.raises(TimeoutError):
                clients[2].recv(100)
            clients[0].sendall(b"\n")
            clients[2].settimeout(DEADLINE)
            third = int(clients[2].recv(100))
            assert third not in pids
            for client in clients[1:]:
                client.sendall(b"\n")
                assert hear(client) == b""

    def test_a_fork_of_the_programs_own(self, module: Any) -> None:
        """A copy of process_request() with something more in it: its children are looked after."""

        reaped = threading.Semaphore(0)

        class Pids(set[int]):
            def discard(self, pid: int) -> None:
                if pid in self:
                    super().discard(pid)
                    reaped.release()

        class Server(module.ForkingTCPServer):
            def process_request(self, request: Any, client_address: Any) -> None:
                pid = os.fork()
                if pid:
                    if self.active_children is None:
                        self.active_children = Pids()
                    self.active_children.add(pid)
                    self.close_request(request)
                    return
                try:
                    self.finish_request(request, client_address)
                    self.shutdown_request(request)
                finally:
                    os._exit(0)

        with serving_beside_fork(Server(HERE, upper(module))) as server:
            assert ask(server) == b"HELLO"
            assert reaped.acquire(timeout=DEADLINE)  # by service_actions(), without another request
            assert ask(server) == b"HELLO"
        assert server.active_children == set()

    def test_collect_children_of_the_programs_own(self, module: Any) -> None:
        """Called after every turn, as service_actions() is."""
        called = threading.Event()

        class Server(module.ForkingTCPServer):
            def collect_children(self, *, blocking: bool = False) -> None:
                super().collect_children(blocking=blocking)
                called.set()

        with serving(Server(HERE, upper(module)), POLL):
            assert called.wait(DEADLINE)

    @pytest.mark.parametrize(("own", "of_socket"), [(0, None), (None, 0), (0, 5), (5, 0)])
    def test_timeout(self, module: Any, own: float | None, of_socket: float | None) -> None:
        called = []

        class Server(module.TCPServer):
            timeout = own

            def handle_timeout(self) -> None:
                called.append(1)

        with Server(HERE, upper(module)) as server:
            server.socket.settimeout(of_socket)
            server.handle_request()
        assert called == [1]

    @pytest.mark.parametrize("mix_in", ["", "Threading", "Forking"])
    @pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
    def test_handle_request(self, module: Any, mix_in: str) -> None:
        with getattr(module, f"{mix_in}TCPServer")(HERE, upper(module)) as server:
            for _ in range(2):
                with connect(server) as client:
                    client.sendall(b"hello")
                    client.shutdown(socket.SHUT_WR)
                    server.handle_request()
                    assert hear(client) == b"HELLO"


class Caller:
    """A thread that asks once, and then sends this process a signal: so the loop is turning when it comes."""

    def __init__(self, server: Any, number: int = signal.SIGUSR1) -> None:
        self.server = server
        self.number = number
        self.answer: bytes | None = None
        self.thread = threading.Thread(target=self.call, name="calling")

    def call(self) -> None:
        self.answer = ask(self.server)
        os.kill(os.getpid(), self.number)

    def heard(self) -> bytes | None:
        self.thread.join(DEADLINE)
        return self.answer

    def __enter__(self) -> Caller:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.thread.join(DEADLINE)


@contextlib.contextmanager
def caught(number: int, handler: Any) -> Any:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts for both sides of a connection to localhost."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate")
    key, chain = folder / "key.pem", folder / "certificate.pem"
    command = (
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
        f"-addext subjectAltName=DNS:localhost -keyout {key} -out {chain}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(chain, key)
    client_side = ssl.create_default_context(cafile=str(chain))
    return server_side, client_side


def test_a_strategy_instead_of_a_mix_in() -> None:
    """Beyond the rules: an argument beats a mix-in, and process_request_thread stays the body."""
    bodies = []

    class Server(ours.ThreadingTCPServer):
        def process_request_thread(self, request: Any, client_address: Any) -> None:
            bodies.append(threading.current_thread().name)
            super().process_request_thread(request, client_address)

    with serving(Server(HERE, upper(ours), strategy=ThreadPool(1))) as thread:
        assert ask(thread.server) == b"HELLO"
    assert len(bodies) == 1
    assert bodies[0].startswith("ThreadPool-")
