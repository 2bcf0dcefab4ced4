"""ThreadingMixIn and ForkingMixIn, before the server class and after it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from reactor import TCPServer
from strategies import ForkingMixIn, ForkPerRequest, Inline, ThreadingMixIn, ThreadPerRequest
from tests.answers import Upper, Whereabouts, WhereaboutsOfPacket, here
from tests.clients import ask
from tests.kinds import KINDS, STREAMS, make
from tests.serving import Serving


def mixed(mixin: type, kind: type[TCPServer], mixin_first: bool) -> type[TCPServer]:
    bases = (mixin, kind) if mixin_first else (kind, mixin)
    return type("Mixed", bases, {})


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mixin_first", [True, False])
@pytest.mark.parametrize("mixin", [ThreadingMixIn, ForkingMixIn])
def test_both_orders(mixin: type, mixin_first: bool, kind: type[TCPServer], tmp_path: Path):
    handler = Whereabouts if kind in STREAMS else WhereaboutsOfPacket
    with make(mixed(mixin, kind, mixin_first), tmp_path, handler) as server:
        assert isinstance(server, mixin)
        strategy = ThreadPerRequest if mixin is ThreadingMixIn else ForkPerRequest
        assert isinstance(server.strategy, strategy)
        answers = [ask(server, b"", server.handle_request)]
        with Serving(server):
            answers.append(ask(server, b""))
        for answer in answers:
            pid, thread = answer.decode().split(" ", 1)
            assert (int(pid) == os.getpid()) == (mixin is ThreadingMixIn)
            assert answer != here()
            assert (thread != "MainThread") or mixin is ForkingMixIn


@pytest.mark.parametrize("daemon", [True, False])
def test_daemon_threads_on_the_object(daemon: bool):
    class Threading(ThreadingMixIn, TCPServer):
        pass

    seen = []

    class Seen(Upper):
        def handle(self):
            seen.append(threading.current_thread().daemon)
            super().handle()

    with Threading(("127.0.0.1", 0), Seen) as server:
        server.daemon_threads = daemon
        assert ask(server, b"abc", server.handle_request) == b"ABC"
    assert seen == [daemon]


def test_max_children():
    class Few(ForkingMixIn, TCPServer):
        max_children = 2

    with Few(("127.0.0.1", 0), Upper) as server:
        assert server.strategy.max_children == 2
        assert [ask(server, b"abc", server.handle_request) for _ in range(5)] == [b"ABC"] * 5


def test_an_argument_goes_before_a_mixin():
    class Threading(ThreadingMixIn, TCPServer):
        pass

    with Threading(("127.0.0.1", 0), Upper, strategy=Inline()) as server:
        assert isinstance(server.strategy, Inline)
