"""A Ctrl-C is raised in the user's code, and never in the middle of ours."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from handlers import BaseRequestHandler
from reactor import Reactor, TCPServer
from reactor.interrupts import in_ours
from strategies import ThreadPool
from tests.answers import Upper
from tests.clients import connected, say


def interrupt() -> Any:
    """Has no frame of its own: what calls it is what the Ctrl-C meets."""
    return signal.raise_signal


def test_held_back_until_the_turn_is_over() -> None:
    done: list[str] = []
    with Reactor() as reactor:
        reactor._loop.soon(interrupt(), signal.SIGINT)  # called by the loop itself: that is where it strikes
        reactor._loop.soon(done.append, "next")
        with pytest.raises(KeyboardInterrupt):
            reactor.run()
        reactor.post(reactor.stop)
        reactor.run()
    assert done == ["next"]


def test_it_wakes_an_idle_loop() -> None:
    with Reactor() as reactor:
        main = threading.get_ident()
        timer = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            reactor.run()
        timer.join()


def test_raised_at_once_in_a_handler() -> None:
    class Interrupted(BaseRequestHandler):
        def handle(self) -> None:
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("it was held back")

    with TCPServer(("127.0.0.1", 0), Interrupted) as server, connected(server) as client:
        say(client, b"")
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        assert client.recv(1) == b""


def test_the_second_is_raised_wherever_it_strikes() -> None:
    with Reactor() as reactor:
        later: list[str] = []
        reactor._loop.soon(lambda: signal.raise_signal(signal.SIGINT))  # this test's own: raised here and now
        reactor._loop.soon(later.append, "later")
        with pytest.raises(KeyboardInterrupt):
            reactor.run()
        assert later == []
        interrupts = reactor._run._interrupts
        ours = Frame("reactor.loop")
        interrupts._interrupted(signal.SIGINT, ours)
        with pytest.raises(KeyboardInterrupt):
            interrupts._interrupted(signal.SIGINT, ours)
        interrupts.check()  # told once


def test_what_a_program_has_set_is_left_alone() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with Reactor() as reactor:
            reactor.post(signal.raise_signal, signal.SIGINT)
            reactor.post(reactor.stop)
            reactor.run()
        assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_pythons_own_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[Any] = []
    with Reactor() as reactor:
        reactor.post(lambda: seen.append(signal.getsignal(signal.SIGINT)))
        reactor.post(reactor.stop)
        reactor.run()
    assert seen[0] is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_what_a_program_sets_meanwhile_stays() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with Reactor() as reactor:
            reactor.post(signal.signal, signal.SIGINT, signal.SIG_IGN)
            reactor.post(reactor.stop)
            reactor.run()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("strategy", [None, ThreadPool(2)], ids=["inline", "threads"])
def test_under_load_nothing_is_lost(strategy: Any) -> None:
    """Races: a Ctrl-C against every step of a request's way.  None that was taken is left behind."""
    main = threading.get_ident()
    for delay in range(12):
        with TCPServer(("127.0.0.1", 0), Upper, strategy=strategy) as server:
            server.close_timeout = 5.0
            ended = threading.Event()

            def load(server: Any = server, ended: Any = ended) -> None:
                while not ended.is_set():
                    try:
                        with connected(server) as client:
                            say(client, b"abc")
                            client.recv(10)
                    except OSError:
                        pass

            clients = threading.Thread(target=load)
            timer = threading.Timer(0.005 + delay * 0.0007, lambda: signal.pthread_kill(main, signal.SIGINT))
            clients.start()
            timer.start()
            try:
                with pytest.raises(KeyboardInterrupt):
                    server.serve_forever()
            finally:
                ended.set()
                timer.join()
        clients.join()


class Frame:
    """A stack, from its innermost frame on."""

    def __init__(self, *modules: str) -> None:
        self.f_globals = {"__name__": modules[0]}
        self.f_back = Frame(*modules[1:]) if len(modules) > 1 else None


@pytest.mark.parametrize(
    ("modules", "ours"),
    [
        (["reactor.loop", "__main__"], True),
        (["strategies.threads", "reactor.endpoint", "__main__"], True),
        (["threading", "strategies.threads", "reactor.endpoint"], True),
        (["contextlib", "reactor.endpoint"], True),
        (["__main__", "reactor.job"], False),
        (["handlers.stream", "__main__", "reactor.job"], False),
        (["socket", "reactor.classichandlers", "http.server", "reactor.server"], False),
        (["socket", "http.server", "reactor.server"], False),
        (["threading", "__main__"], False),
        (["contextlib"], False),
    ],
)
def test_whose_code_it_is(modules: list[str], ours: bool) -> None:
    assert in_ours(Frame(*modules)) is ours


def test_no_frame_is_not_ours() -> None:
    assert not in_ours(None)
