"""A listening socket that is closed behind the server's back ends that server, and nothing spins."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from reactor import Reactor, TCPServer
from strategies import ThreadPool
from tests.answers import Upper
from tests.clients import ask
from tests.kinds import KINDS, STREAMS, make
from tests.serving import DEADLINE, Serving


@pytest.mark.parametrize("kind", KINDS)
def test_closed_before_serve_forever(kind: type[TCPServer], tmp_path: Path):
    with make(kind, tmp_path) as server:
        server.socket.close()
        server.serve_forever()


@pytest.mark.parametrize("kind", KINDS)
def test_closed_while_serving_costs_nothing(kind: type[TCPServer], tmp_path: Path):
    # epoll forgets a closed descriptor without a word, so nobody can be told; what must not be is a loop that spins.
    with make(kind, tmp_path) as server, Serving(server) as serving:
        assert ask(server, b"abc") == b"ABC"
        server.socket.close()
        began = time.process_time()
        serving.thread.join(0.1)
        assert time.process_time() - began < 0.05
        server.shutdown()
        assert serving.ended() is None


@pytest.mark.parametrize("kind", STREAMS)
def test_shut_down_while_serving_ends_it(kind: type[TCPServer], tmp_path: Path):
    with make(kind, tmp_path) as server, Serving(server) as serving:
        assert ask(server, b"abc") == b"ABC"
        server.socket.shutdown(socket.SHUT_RDWR)
        assert serving.ended() is None


@pytest.mark.parametrize("kind", STREAMS)
def test_a_child_that_holds_a_copy(kind: type[TCPServer], tmp_path: Path):
    # The kernel's socket lives on in the child, so epoll goes on reporting what nobody here can unregister.
    with Reactor() as reactor:
        gone = reactor.add(make(kind, tmp_path))
        stays = reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)  # until the parent has closed its end
            os._exit(0)
        os.close(reading)
        try:
            with Serving(reactor) as serving:
                assert ask(gone, b"abc") == b"ABC"
                gone.socket.close()
                with socket.socket(kind.address_family, socket.SOCK_STREAM) as client:
                    client.settimeout(DEADLINE)
                    client.connect(gone.server_address)  # the child's copy still listens, and is readable for ever
                    assert ask(stays, b"abc") == b"ABC"
                    began = time.process_time()
                    serving.thread.join(0.1)
                    assert time.process_time() - began < 0.05
                    assert ask(stays, b"abc") == b"ABC"
        finally:
            os.close(writing)
            os.waitpid(child, 0)


def test_its_neighbours_go_on():
    with Reactor() as reactor:
        gone, stays = (reactor.add(TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool(1))) for _ in range(2))
        with Serving(reactor):
            assert ask(gone, b"abc") == b"ABC"
            gone.socket.shutdown(socket.SHUT_RDWR)
            assert [ask(stays, b"abc") for _ in range(3)] == [b"ABC"] * 3


def test_its_number_is_used_again():
    # The next socket gets the closed one's descriptor: the old watch must not take it for its own.
    with Reactor() as reactor:
        reactor.add(TCPServer(("127.0.0.1", 0), Upper))  # with none left the reactor would end
        gone = reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        with Serving(reactor):
            assert ask(gone, b"abc") == b"ABC"
            number = gone.fileno()
            gone.socket.close()
            later = TCPServer(("127.0.0.1", 0), Upper)
            assert later.fileno() == number
            reactor.post(reactor.add, later)
            assert ask(later, b"abc") == b"ABC"


def test_handle_request_without_a_socket():
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        server.socket.close()
        with pytest.raises((OSError, ValueError)):
            server.handle_request()


def test_swapped_for_another():
    # fileno() and socket are asked when serving begins.
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        with Serving(server):
            assert ask(server, b"abc") == b"ABC"
        server.socket.close()
        server.socket = socket.create_server(("127.0.0.1", 0))
        server.server_address = server.socket.getsockname()
        with Serving(server):
            assert ask(server, b"abc") == b"ABC"
