"""service_actions(): after every turn of the loop, and at least every poll_interval."""

from __future__ import annotations

import threading
import time

from reactor import Reactor, TCPServer
from reactor.server import attach
from tests.answers import Upper
from tests.clients import ask
from tests.serving import DEADLINE, Serving


class Acting(TCPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Upper)
        self.acted = threading.Semaphore(0)

    def service_actions(self) -> None:
        self.acted.release()


def test_at_least_every_poll_interval():
    with Acting() as server, Serving(server, 0.01):
        began = time.monotonic()
        for _ in range(5):
            assert server.acted.acquire(timeout=DEADLINE)
        assert time.monotonic() - began > 0.03  # and it does not spin


def test_after_a_request():
    with Acting() as server, Serving(server, 3600.0):
        while server.acted.acquire(blocking=False):
            pass
        assert ask(server, b"abc") == b"ABC"
        assert server.acted.acquire(timeout=DEADLINE)


def test_on_the_loops_thread():
    threads = []

    class Where(TCPServer):
        def service_actions(self):
            threads.append(threading.current_thread())
            self.shutdown()

    with Where(("127.0.0.1", 0), Upper) as server, Serving(server, 0.01) as serving:
        assert serving.ended() is None
        assert threads == [serving.thread]


def test_raising_ends_serve_forever():
    class Fails(TCPServer):
        def service_actions(self):
            raise ZeroDivisionError

    with Fails(("127.0.0.1", 0), Upper) as server, Serving(server, 0.01) as serving:
        assert isinstance(serving.ended(), ZeroDivisionError)


def test_set_on_the_object():
    acted = threading.Event()
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        server.service_actions = acted.set
        with Serving(server, 0.01):
            assert acted.wait(DEADLINE)


def test_every_server_of_a_reactor():
    with Reactor() as reactor:
        one, two = reactor.add(Acting()), reactor.add(Acting())
        reactor.add(TCPServer(("127.0.0.1", 0), Upper))
        with Serving(reactor, 0.01):
            assert one.acted.acquire(timeout=DEADLINE)
            assert two.acted.acquire(timeout=DEADLINE)


def test_nobody_who_does_not_define_it_is_woken():
    with TCPServer(("127.0.0.1", 0), Upper) as server, Serving(server, 0.001) as serving:
        loop = attach(server).loop
        turns = loop.turns
        serving.thread.join(0.05)
        assert loop.turns == turns


def test_default_does_nothing():
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        assert server.service_actions() is None
