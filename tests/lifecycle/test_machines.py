"""Any interleaving of what clients do, under every strategy and for every kind of handler.

The machine never waits for a handler while clients are at it, since under Inline() one of them may hold up all others;
it looks at the whole lives when all clients have said what they will.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from strategies import ForkPerRequest, Inline, Prefork, Strategy, ThreadPerRequest, ThreadPool
from tests.leaks import Census
from tests.lifecycle.telling import KINDS, LIFE, Plan, Telling
from tests.serving import DEADLINE, Serving

MOST = 6  # clients at a time

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "inline": Inline,
    "threads": lambda: ThreadPool(2, queue=1, idle_timeout=0.01),
    "thread per request": ThreadPerRequest,
    "fork per request": lambda: ForkPerRequest(3),
    "prefork": lambda: Prefork(2),
    "prefork, threads": lambda: Prefork(2, ThreadPool(2, queue=1)),
}
CHUNKS = [b"P\n", b"P\nP\n", b"A\nP\n", b"C\n", b"P\nC\nP\n", b"X\n", b"P", b"A", b"\n"]


#: The sockets of clients.  A forked child has a copy of each, and while it has, no close() here is seen by the server.
CLIENTS: set[socket.socket] = set()

#: Held while one is made or closed: both let other threads run at a moment when the descriptor is there, and CLIENTS
#: does not tell its number.
NO_FORK = threading.Lock()


def forget_clients() -> None:
    """Forked child."""
    NO_FORK.release()
    for client in CLIENTS:
        client.close()


os.register_at_fork(before=NO_FORK.acquire, after_in_parent=NO_FORK.release, after_in_child=forget_clients)


class Client:
    """One connection; its port, of its own within the example, is its name."""

    def __init__(self, server: Telling, plan: Plan, taken: set[int]) -> None:
        while True:
            with NO_FORK:
                self.sock = socket.socket()
                CLIENTS.add(self.sock)
            self.sock.bind(("127.0.0.1", 0))
            self.port = self.sock.getsockname()[1]
            if self.port not in taken:
                break
            self.close()
        server.plans[self.port] = plan
        self.sock.settimeout(DEADLINE)
        self.sock.connect(server.server_address)
        self.reset = False

    def close(self) -> None:
        with NO_FORK:
            self.sock.close()
            CLIENTS.discard(self.sock)


class Lives(RuleBasedStateMachine):
    """Clients come, talk and go."""

    strategy: Callable[[], Strategy]
    kind: Any

    def __init__(self) -> None:
        super().__init__()
        self.before = Census.take()
        self.server = Telling(self.kind, self.strategy())
        self.server.close_timeout = DEADLINE
        self.clients: list[Client] = []
        self.gone: list[Client] = []
        self.server_first = False
        self.serving = Serving(self.server)
        self.serving.__enter__()

    @initialize(server_first=st.booleans())
    def choose_the_end(self, server_first: bool) -> None:
        self.server_first = server_first

    @precondition(lambda self: len(self.clients) < MOST)
    @rule(plan=st.sampled_from(Plan))
    def connect(self, plan: Plan) -> None:
        taken = {client.port for client in self.clients + self.gone}
        self.clients.append(Client(self.server, plan, taken))

    def one(self, number: int) -> Client:
        return self.clients[number % len(self.clients)]

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, MOST), chunks=st.lists(st.sampled_from(CHUNKS), min_size=1, max_size=3))
    def send(self, number: int, chunks: list[bytes]) -> None:
        with contextlib.suppress(OSError):  # the server has closed it
            for chunk in chunks:
                self.one(number).sock.send(chunk)

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, MOST))
    def half_close(self, number: int) -> None:
        with contextlib.suppress(OSError):
            self.one(number).sock.shutdown(socket.SHUT_WR)

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, MOST))
    def close(self, number: int) -> None:
        client = self.one(number)
        self.clients.remove(client)
        self.gone.append(client)
        client.close()

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, MOST))
    def reset(self, number: int) -> None:
        client = self.one(number)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.reset = True
        self.close(number)

    def all_have_spoken(self) -> None:
        for number in range(len(self.clients)):
            self.half_close(number)

    def answers(self) -> None:
        """The server still does."""
        probe = Client(self.server, Plan.NOTHING, {client.port for client in self.clients + self.gone})
        self.clients.append(probe)
        probe.sock.sendall(b"C\n")
        assert probe.sock.recv(10) == b"c\n"
        assert probe.sock.recv(10) == b""

    def teardown(self) -> None:
        server = self.server
        try:
            if self.server_first:
                reactor = server.in_reactor
                assert reactor is not None
                reactor.stop()
                self.all_have_spoken()
            else:
                self.all_have_spoken()
                self.answers()
                for client in self.clients:
                    server.events.wait(client.port, "D")
            self.serving.__exit__(None, None, None)
            server.server_close()
            self.judge()
        finally:
            for client in self.clients:
                client.close()
            server.forget()
        assert self.before.leaks() == []

    def judge(self) -> None:
        for client in self.clients + self.gone:
            life = self.server.events.of(client.port)
            if not life and (client.reset or self.server_first):  # it never came up from the kernel's queue
                continue
            assert LIFE.fullmatch(life), f"{client.port} with {self.server.plan(client.port)!r}: {life}"


def run(strategy: str, kind: Any, examples: int, steps: int) -> None:
    machine = type("Lives", (Lives,), {"strategy": staticmethod(STRATEGIES[strategy]), "kind": kind})
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps))


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_life_is_one_that_the_contract_allows(strategy: str, kind: Any) -> None:
    run(strategy, kind, examples=12, steps=14)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_life_of_many_is_one_that_the_contract_allows(strategy: str, kind: Any) -> None:
    run(strategy, kind, examples=300, steps=40)
