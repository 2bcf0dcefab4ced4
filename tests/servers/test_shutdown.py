"""shutdown(): from everywhere, at once, and never waiting for itself."""

from __future__ import annotations

import signal
import statistics
import threading
import time
from pathlib import Path

import pytest

from handlers import StreamRequestHandler
from reactor import TCPServer
from reactor.server import attach
from strategies import ForkPerRequest, Prefork, ThreadPool
from tests.answers import Upper, held_by
from tests.clients import ask, connected, hear, say
from tests.hold import Hold
from tests.kinds import KINDS, make
from tests.serving import DEADLINE, Serving


class Ends(StreamRequestHandler):
    """Shuts its server down, and answers after that."""

    def handle(self) -> None:
        self.server.shutdown()
        self.wfile.write(b"down")


@pytest.mark.parametrize("kind", KINDS)
def test_from_another_thread(kind: type[TCPServer], tmp_path: Path):
    with make(kind, tmp_path) as server, Serving(server) as serving:
        assert ask(server, b"abc") == b"ABC"
        server.shutdown()
        assert not server.in_reactor.running  # it waits for the end
        assert serving.ended() is None


@pytest.mark.parametrize("strategy", [None, ThreadPool(2, min_threads=2)])
def test_takes_no_polling_interval(strategy: ThreadPool | None):
    took = []
    with TCPServer(("127.0.0.1", 0), Upper, strategy=strategy) as server:
        for _ in range(15):
            # An hour between two polls: what ends it now is a wake-up.
            with Serving(server, 3600.0) as serving:
                assert ask(server, b"abc") == b"ABC"
                began = time.perf_counter()
                server.shutdown()
                took.append(time.perf_counter() - began)
                assert serving.ended() is None
    assert statistics.median(took) < 0.005


def test_lets_an_inline_handler_finish():
    hold = Hold()
    with hold, TCPServer(("127.0.0.1", 0), held_by(hold)) as server, Serving(server), connected(server) as client:
        say(client, b"abc")
        hold.wait_entered()
        shutting = threading.Thread(target=server.shutdown)
        shutting.start()
        shutting.join(0.05)
        assert shutting.is_alive()
        hold.release()
        shutting.join(DEADLINE)
        assert not shutting.is_alive()
        assert hear(client) == b"ABC"


@pytest.mark.parametrize("strategy", [None, ThreadPool(2)])
def test_from_a_handler(strategy: ThreadPool | None):
    with TCPServer(("127.0.0.1", 0), Ends, strategy=strategy) as server, Serving(server) as serving:
        assert ask(server, b"") == b"down"
        assert serving.ended() is None


def test_from_the_loops_own_thread():
    with TCPServer(("127.0.0.1", 0), Upper) as server, Serving(server) as serving:
        server.in_reactor.post(server.shutdown)
        assert serving.ended() is None


@pytest.mark.parametrize("kind", KINDS)
def test_before_serve_forever(kind: type[TCPServer], tmp_path: Path):
    with make(kind, tmp_path) as server:
        server.shutdown()
        server.serve_forever()  # returns at once, and has used the request up
        with Serving(server):
            assert ask(server, b"abc") == b"ABC"


@pytest.mark.parametrize("strategy", [Prefork(2), ForkPerRequest(), ThreadPool(2)])
def test_before_serve_forever_with_a_strategy(strategy: Prefork):
    with TCPServer(("127.0.0.1", 0), Upper, strategy=strategy) as server:
        server.shutdown()
        server.serve_forever()


def test_twice_and_after_the_end():
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        with Serving(server) as serving:
            both = [threading.Thread(target=server.shutdown) for _ in range(2)]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join(DEADLINE)
                assert not thread.is_alive()
            assert serving.ended() is None
        server.shutdown()  # nothing runs: does not hang
        server.server_close()
        server.shutdown()  # nothing to shut down: does not hang


@pytest.mark.parametrize("strategy", [None, ThreadPool(2)])
def test_serves_again_afterwards(strategy: ThreadPool | None):
    with TCPServer(("127.0.0.1", 0), Upper, strategy=strategy) as server:
        for _ in range(3):
            with Serving(server):
                assert ask(server, b"abc") == b"ABC"
        assert ask(server, b"abc", server.handle_request) == b"ABC"


def test_requests_in_between_are_served_the_next_time():
    with TCPServer(("127.0.0.1", 0), Upper) as server, connected(server) as client:
        server.shutdown()
        server.serve_forever()
        say(client, b"abc")
        with Serving(server):
            assert hear(client) == b"ABC"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("strategy", [None, ThreadPool(2, min_threads=1)])
def test_from_a_signal_handler(number: signal.Signals, strategy: ThreadPool | None):
    # The server runs in the main thread, where signal handlers run: shutdown() is called on top of the poll.
    with TCPServer(("127.0.0.1", 0), Upper, strategy=strategy) as server:
        before = signal.signal(number, lambda *_: server.shutdown())
        try:
            main = threading.get_ident()

            def client() -> None:
                answers.append(ask(server, b"abc"))
                signal.pthread_kill(main, number)

            answers: list[bytes] = []
            asking = threading.Thread(target=client)
            asking.start()
            server.serve_forever(3600.0)
            asking.join(DEADLINE)
            assert answers == [b"ABC"]
        finally:
            signal.signal(number, before)


def test_from_a_signal_handler_above_an_inline_handler():
    class Raises(StreamRequestHandler):
        def handle(self):
            signal.raise_signal(signal.SIGUSR1)
            self.wfile.write(b"finished")

    with TCPServer(("127.0.0.1", 0), Raises) as server, connected(server) as client:
        before = signal.signal(signal.SIGUSR1, lambda *_: server.shutdown())
        try:
            say(client, b"")
            server.serve_forever()
            assert hear(client) == b"finished"
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_from_a_signal_handler_before_the_loop_turns():
    # The window between "serve_forever() was called" and "the loop turns" is a signal's too.

    class Late(TCPServer):
        @property
        def run_by(self):  # asked for when it gets its loop
            signal.raise_signal(signal.SIGUSR1)
            return super().run_by

    with Late(("127.0.0.1", 0), Upper) as server:
        before = signal.signal(signal.SIGUSR1, lambda *_: server.shutdown())
        try:
            server.serve_forever()
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_a_signal_that_raises_ends_it():
    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    with TCPServer(("127.0.0.1", 0), Upper) as server:
        attach(server)
        before = signal.signal(signal.SIGUSR1, interrupt)
        server.in_reactor.post(signal.raise_signal, signal.SIGUSR1)
        try:
            with pytest.raises(Interrupted):
                server.serve_forever()
        finally:
            signal.signal(signal.SIGUSR1, before)
        # And nothing is broken by it.
        with Serving(server):
            assert ask(server, b"abc") == b"ABC"


def test_the_wakeup_descriptor_is_given_back():
    before = signal.set_wakeup_fd(-1)
    try:
        with TCPServer(("127.0.0.1", 0), Ends) as server, connected(server) as client:
            say(client, b"")
            server.serve_forever()
            assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.set_wakeup_fd(before)
