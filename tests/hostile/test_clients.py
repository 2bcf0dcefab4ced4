"""Clients that reset, say nothing, stop half way or come in crowds; nobody else is to notice."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from typing import Any

import pytest

from handlers import PARK, StreamRequestHandler, TurnHandler
from reactor import TCPServer
from reactor.server import attach
from strategies import ForkPerRequest, Inline, ThreadPool
from tests.answers import Upper
from tests.clients import ask, connected
from tests.serving import DEADLINE, Serving

FORKS = pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")


def reset(client: socket.socket) -> None:
    """Close by RST: the server's next call fails with ECONNRESET."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class Crowded(TCPServer):
    request_queue_size = 1024


class Raw(TurnHandler):
    """Parks whatever it has read, the end of the stream too."""

    idle_timeout = 60.0

    def handle(self) -> Any:
        self.server.calls.append(1)
        if said := self.request.recv(100):
            self.request.sendall(said.upper())
        return PARK


class Counting(Crowded):
    def __init__(self, handler: Any, strategy: Any) -> None:
        self.calls: list[int] = []
        self.shut = threading.Semaphore(0)
        super().__init__(("127.0.0.1", 0), handler, strategy=strategy)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.shut.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@pytest.mark.parametrize("strategy", [Inline, lambda: ThreadPool(2)])
def test_a_half_closed_client_of_a_handler_that_parks_at_the_end_does_not_make_it_spin(strategy: Any) -> None:
    with Counting(Raw, strategy()) as server, Serving(server), connected(server) as client:
        client.sendall(b"a")
        assert client.recv(10) == b"A"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b"", "closed, rather than parked for ever with an end to tell"
        assert len(server.calls) <= 3


@FORKS
def test_the_same_in_a_child_which_has_no_loop() -> None:
    with Counting(Raw, ForkPerRequest()) as server, Serving(server), connected(server) as client:
        client.sendall(b"a")
        assert client.recv(10) == b"A"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b""


@pytest.mark.parametrize("strategy", [Inline, lambda: ThreadPool(2)])
def test_a_parked_connection_that_is_reset_ends_at_once(strategy: Any) -> None:
    with Counting(Raw, strategy()) as server, Serving(server):
        client = socket.create_connection(server.server_address)
        client.sendall(b"a")
        assert client.recv(10) == b"A"
        reset(client)
        assert server.shut.acquire(timeout=DEADLINE)
        assert not attach(server).requests.live


@pytest.mark.parametrize("strategy", [Inline, lambda: ThreadPool(2)])
def test_a_parked_connection_that_stays_silent_too_long_is_finished_and_closed(strategy: Any) -> None:
    finished = threading.Event()

    class Short(Raw):
        idle_timeout = 0.02

        def finish(self) -> None:
            super().finish()
            finished.set()

    with Counting(Short, strategy()) as server, Serving(server), connected(server) as client:
        client.sendall(b"a")
        assert client.recv(10) == b"A"
        assert client.recv(10) == b""
        assert finished.is_set()


@pytest.mark.parametrize("strategy", [Inline, lambda: ThreadPool(2, queue=2)])
def test_a_storm_of_clients_that_are_gone_when_they_are_accepted(strategy: Any) -> None:
    with Counting(Upper, strategy()) as server, Serving(server):
        for _ in range(300):
            reset(socket.create_connection(server.server_address))
        assert ask(server, b"still there?") == b"STILL THERE?"


def test_a_thousand_silent_clients_are_parked_and_go_at_once() -> None:
    class Silent(Raw):
        idle_timeout = None

    with Counting(Silent, ThreadPool(2)) as server, Serving(server):
        clients = []
        for _ in range(1000):
            client = socket.create_connection(server.server_address)
            client.sendall(b"a")
            clients.append(client)
        for client in clients:
            assert client.recv(10) == b"A"
        assert threading.active_count() <= 5, "parked connections hold no threads"
        for client in clients:
            client.close()
        for _ in clients:
            assert server.shut.acquire(timeout=DEADLINE)
        assert not attach(server).requests.live
        assert ask(server, b"x").startswith(b"X")


def test_pipelined_requests_are_all_served_though_the_selector_sees_none_of_them() -> None:
    class Lines(TurnHandler):
        def handle(self) -> Any:
            self.wfile.write(self.rfile.readline().upper())
            return PARK

    server = TCPServer(("127.0.0.1", 0), Lines, strategy=ThreadPool(2))
    with server, Serving(server), connected(server) as client:
        client.sendall(b"".join(b"request %d\n" % n for n in range(500)))
        with client.makefile("rb") as file:
            for number in range(500):
                assert file.readline() == b"REQUEST %d\n" % number
        client.sendall(b"one more\n")
        assert client.recv(100) == b"ONE MORE\n"


def test_a_client_that_stops_half_way_costs_its_own_timeout_only() -> None:
    class Impatient(StreamRequestHandler):
        timeout = 0.05

        def handle(self) -> None:
            self.wfile.write(self.rfile.readline().upper())

    with Counting(Impatient, Inline()) as server, Serving(server), connected(server) as client:
        client.sendall(b"no newline")
        assert client.recv(10) == b""
        assert ask(server, b"a line\n") == b"A LINE\n"


def test_stop_is_heard_after_the_job_it_is_at_not_after_the_whole_batch() -> None:
    served: list[int] = []

    class Stopping(StreamRequestHandler):
        def handle(self) -> None:
            served.append(1)
            if len(served) == 40:  # the batches have grown by then
                self.server.in_reactor.stop()

    with Crowded(("127.0.0.1", 0), Stopping) as server:
        clients = [socket.create_connection(server.server_address) for _ in range(100)]
        server.serve_forever()
        assert len(served) == 40, "the others wait in the kernel's queue"
        for client in clients:
            client.close()


@pytest.mark.parametrize("strategy", [Inline, lambda: ThreadPool(1)])
def test_connections_left_parked_by_a_loop_that_ended_are_there_for_the_next(strategy: Any) -> None:
    with Counting(Raw, strategy()) as server, socket.create_connection(server.server_address) as client:
        client.settimeout(DEADLINE)
        client.sendall(b"a")  # before the loop turns: an inline handler would wait for it, and Serving for the loop
        with Serving(server):
            assert client.recv(10) == b"A"
        client.sendall(b"b")
        with Serving(server):
            assert client.recv(10) == b"B"


def test_a_close_while_the_loop_ends_still_ends_every_thread() -> None:
    """Races: server_close() waits for the loop, whose end opened the very latch that it waited for."""
    entered, go = threading.Event(), threading.Event()

    class Held(StreamRequestHandler):
        def handle(self) -> None:
            entered.set()
            go.wait(DEADLINE)

    server = TCPServer(("127.0.0.1", 0), Held, strategy=ThreadPool(1))
    with Serving(server):
        client = socket.create_connection(server.server_address)
        assert entered.wait(DEADLINE)
        reactor = server.in_reactor
        assert reactor is not None
        closer = threading.Thread(target=server.server_close)
        closer.start()
        deadline = time.monotonic() + DEADLINE
        while not reactor._errands._latches and closer.is_alive() and time.monotonic() < deadline:
            os.sched_yield()
        reactor.stop()
        assert reactor.wait(DEADLINE)
        closer.join(0.05)
        assert closer.is_alive(), "it said that all had ended while a handler ran"
        go.set()
        closer.join(DEADLINE)
        assert not closer.is_alive()
        client.close()
