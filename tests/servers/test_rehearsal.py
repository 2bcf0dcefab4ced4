"""What a child does is rehearsed before the first fork: nothing of it is left, and nothing of it can fail a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from handlers import BaseRequestHandler
from reactor import TCPServer, rehearsal
from strategies import ForkPerRequest, forking


@pytest.fixture(autouse=True)
def _first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "_done", [])
    monkeypatch.setattr(forking, "_rehearsed", [])


@pytest.fixture
def server() -> Iterator[TCPServer]:
    with TCPServer(("127.0.0.1", 0), BaseRequestHandler, strategy=ForkPerRequest()) as made:
        yield made


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def rehearse(server: Any) -> None:
    rehearsal.rehearse(server)
    forking._rehearse()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc")
def test_no_descriptor_is_left(server: TCPServer) -> None:
    before = descriptors()
    rehearse(server)
    assert descriptors() == before
    assert rehearsal._done
    assert forking._rehearsed


@pytest.mark.parametrize("name", ["socket", "Loop"])
def test_without_descriptors_it_is_left_out(name: str, server: TCPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(rehearsal, name, refuse)
    monkeypatch.setattr(os, "pipe", refuse)
    rehearse(server)


def test_a_descriptor_of_the_users_that_raises_is_let_be(server: TCPServer) -> None:
    class Raises:
        def __get__(self, thing: object, kind: type) -> object:
            raise RuntimeError("asked of the class")

    class Handler(BaseRequestHandler):
        request = Raises()

    server.RequestHandlerClass = Handler
    rehearse(server)


def test_any_callable_may_be_the_handler(server: TCPServer) -> None:
    server.RequestHandlerClass = lambda *_: None
    rehearse(server)
