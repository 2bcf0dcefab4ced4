"""Rehearsal: what only a forked child runs is run before the first fork, on sockets that nobody serves.

CPython makes a function fast when it has run some ten times, and notes where it has found the names that a class was
asked for.  Both are written into memory.  What runs once in each child would be slow in all of them, and each would
write its own notes, on pages that it has to copy first: a fifth of all that a small child touches.  What is noted
before the fork is there for every child.
"""

from __future__ import annotations

from socket import socket
from typing import Any

from reactor.accepted import Accepted
from reactor.connection import Connection
from reactor.endpoint import Endpoint
from reactor.host import LoopHost
from reactor.lending import Lending
from reactor.loop import Loop
from reactor.taking import StreamTaker
from strategies.inline import Inline

TIMES = 16  # enough for CPython to make it fast; measured

#: What a child asks the user's classes for.
OF_SERVER = ("RequestHandlerClass", "close_request", "finish_request", "shutdown_request", "socket")
OF_HANDLER = ("client_address", "constructor_runs", "finish", "handle", "request", "run", "server", "setup")
OF_SOCKET = ("_closed", "_io_refs", "_real_close", "close", "recv", "recv_into", "send", "sendall", "shutdown")


class _Stage:
    """What an endpoint and a connection ask of a server."""

    taken_by = StreamTaker
    run_by = Inline()
    RequestHandlerClass = None

    def __init__(self, listener: socket) -> None:
        self.socket = listener

    def finish_request(self, request: socket, client_address: Any) -> None:
        pass

    def shutdown_request(self, request: socket) -> None:
        request.close()


_done: list[None] = []


def rehearse(server: Any) -> None:
    """Loop thread, before the first fork.  Costs about a millisecond, once in a process."""
    if not _done:
        _done.append(None)
        try:
            for _ in range(TIMES):
                with socket() as listener, Accepted() as request:
                    _play(_Stage(listener), request)
        except OSError:  # no descriptors left: the play has to go without
            pass
    _look_up(type(server), OF_SERVER)
    _look_up(server.RequestHandlerClass, OF_HANDLER)
    _look_up(Accepted, OF_SOCKET)


def _play(stage: _Stage, request: socket) -> None:
    """What a child does with a request that ends in its first turn."""
    loop, endpoints = Loop(), list[Endpoint]()
    host = LoopHost(loop, endpoints, set(), Lending(loop, endpoints, (), bool))
    endpoint = Endpoint(stage, loop, host, _nothing, _nothing, _nothing)
    endpoints.append(endpoint)
    job = Connection(stage, request, None)
    endpoint.requests.live.add(job)
    job.settle = endpoint.requests.settled
    host.abandon(*job.holds())
    job.run_out(-1)


def _look_up(kind: Any, names: tuple[str, ...]) -> None:
    for name in names:
        try:
            getattr(kind, name, None)
        except Exception:  # noqa: BLE001  # a descriptor of the user's, which may do anything
            pass


def _nothing(*_: Any) -> None:
    pass
