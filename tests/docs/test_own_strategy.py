"""The strategy that the documentation shows keeps the contract where it is easy to break."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from examples.own_strategy import OnExecutor, Upper
from handlers import BaseRequestHandler
from reactor import TCPServer
from strategies import Prefork


class Where(BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1)
        self.request.sendall(f"{os.getpid()} {threading.current_thread().name}".encode())


class Leave(BaseRequestHandler):
    def handle(self) -> None:
        while self.request.recv(10):
            pass
        raise SystemExit("enough")


@contextlib.contextmanager
def serving(server: TCPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    thread.join()


def connect(server: TCPServer) -> socket.socket:
    return socket.create_connection(server.server_address, timeout=20)


def ask(server: TCPServer, text: bytes) -> bytes:
    with connect(server) as client:
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        return client.recv(100)


def test_more_clients_than_places_are_all_served() -> None:
    server = TCPServer(("127.0.0.1", 0), Upper, strategy=OnExecutor(2))
    with server, serving(server), contextlib.ExitStack() as opened:
        clients = [opened.enter_context(connect(server)) for _ in range(7)]
        for client in clients:
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
        assert [client.recv(100) for client in clients] == [b"HELLO\n"] * 7


def test_one_object_serves_again_after_a_rest_and_for_another_server() -> None:
    strategy = OnExecutor(1)
    for _ in range(2):
        with TCPServer(("127.0.0.1", 0), Upper, strategy=strategy) as server:
            for _ in range(2):
                with serving(server):
                    assert ask(server, b"hello\n") == b"HELLO\n"


def test_in_somebody_else_s_loop() -> None:
    with TCPServer(("127.0.0.1", 0), Where, strategy=OnExecutor(1)) as server, connect(server) as client:
        server.handle_request()
        client.sendall(b"x")
        assert client.recv(100).startswith(f"{os.getpid()} ThreadPoolExecutor".encode())


def test_as_the_inner_strategy_of_prefork() -> None:
    # The loop turns beside the main thread here.
    warned = pytest.warns(RuntimeWarning, match="forking beside running threads")
    with TCPServer(("127.0.0.1", 0), Where, strategy=Prefork(1, OnExecutor(1))) as server, warned, serving(server):
        answer = ask(server, b"x")
    pid, thread = answer.split()
    assert int(pid) != os.getpid()
    assert thread.startswith(b"ThreadPoolExecutor")


def test_a_handler_that_leaves_is_told_of(caplog: Any) -> None:
    with TCPServer(("127.0.0.1", 0), Leave, strategy=OnExecutor(1)) as server, serving(server):
        for _ in range(2):
            assert ask(server, b"x") == b""
    assert [record.getMessage() for record in caplog.records] == ["a job ended with SystemExit('enough')"] * 2
