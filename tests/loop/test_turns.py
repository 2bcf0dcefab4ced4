"""A turn: poll, then run; and the facts of descriptors that a loop has to live with."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import Reactor, TCPServer
from reactor.errors import UsageError
from reactor.loop import Busy, Loop
from reactor.poller import SelectorPoller, best_poller
from reactor.server import attach
from tests.answers import Upper
from tests.pairs import pair
from tests.serving import DEADLINE, Serving


@pytest.fixture(params=[best_poller, SelectorPoller], ids=["best", "portable"])
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    loop = Loop(poller=request.param())
    with loop.led():
        yield loop
    loop.close()


class Oops(Exception):
    pass


def oops() -> None:
    raise Oops


# -- the order of things


def test_what_raises_leaves_the_rest_for_the_next_turn(loop: Loop) -> None:
    called: list[str] = []
    loop.soon(called.append, "first")
    loop.post(oops)
    loop.post(called.append, "after")
    with pytest.raises(Oops):
        loop.turn(0)
    assert called == ["first"]
    loop.turn(0)
    assert called == ["first", "after"]


@pytest.mark.parametrize("ending", ["raises", "is cut short"])
def test_what_was_polled_and_not_called_is_called_once_in_the_next_turn(loop: Loop, ending: str) -> None:
    """Once from the old queue and once from the new poll would be a read too many."""
    called: list[int] = []
    with pair() as (a, to_a), pair() as (b, to_b):
        for sock, sender in ((a, to_a), (b, to_b)):

            def readable(sock: socket.socket = sock) -> None:
                called.append(len(sock.recv(10)))
                if len(called) == 1:
                    loop.cut_short() if ending == "is cut short" else oops()

            loop.watch(sock.fileno(), readable)
            sender.send(b"x")
        with pytest.raises(Oops) if ending == "raises" else contextlib.nullcontext():
            loop.turn(0)
        assert called == [1]
        loop.turn(0)
        assert called == [1, 1]


def test_a_turn_that_is_cut_short_ends_after_the_callback_that_it_is_at(loop: Loop) -> None:
    called: list[str] = []
    loop.soon(called.append, "one")
    loop.soon(loop.cut_short)
    loop.soon(called.append, "two")
    loop.turn(0)
    assert called == ["one"]
    loop.turn(0)
    assert called == ["one", "two"]


def test_what_is_due_soon_runs_in_the_next_turn_so_that_others_get_theirs(loop: Loop) -> None:
    called: list[int] = []

    def again() -> None:
        called.append(loop.turns)
        loop.soon(again)

    loop.soon(again)
    loop.post(called.append, -1)
    loop.turn()
    loop.turn()
    assert called == [1, -1, 2]


# -- who turns it


def test_one_thread_leads_at_a_time_and_not_twice(loop: Loop) -> None:
    found: list[Any] = []

    def other() -> None:
        found.append(loop.leads())
        try:
            with loop.led():
                found.append("led")
        except Busy:
            found.append("busy")

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(DEADLINE)
    assert found == [False, "busy"]
    with pytest.raises(Busy), loop.led():
        pass
    assert loop.leads(), "a refused leader leaves the true one in place"


def test_the_lead_can_be_handed_from_thread_to_thread() -> None:
    loop, at_once, most = Loop(), 0, []
    lock = threading.Lock()

    def turn_some() -> None:
        nonlocal at_once
        done = 0
        while done < 200:
            with contextlib.suppress(Busy), loop.led():
                with lock:
                    at_once += 1
                    most.append(at_once)
                loop.post(int)
                loop.turn()
                with lock:
                    at_once -= 1
                done += 1

    threads = [threading.Thread(target=turn_some) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert set(most) == {1}
    assert len(most) == 600
    loop.close()


def test_a_closed_loop_says_so() -> None:
    loop = Loop()
    loop.close()
    loop.close()
    with pytest.raises(UsageError, match="closed"), loop.led():
        pass


# -- descriptors


def test_a_number_closed_and_used_again_in_the_same_turn_is_another_descriptor(loop: Loop) -> None:
    """Polled as ready, closed by an earlier callback, and reused by a new socket: the old call must not come."""
    called: list[str] = []
    ours, theirs = socket.socketpair()
    old, to_old = socket.socketpair()
    new: list[socket.socket] = []
    number = old.fileno()

    def first() -> None:
        if new:
            return
        undo()
        old.close()
        new.extend(socket.socketpair())
        assert new[0].fileno() == number
        loop.watch(number, lambda: called.append("new"))

    undo_first = loop.watch(ours.fileno(), first)
    undo = loop.watch(number, lambda: called.append("old"))
    theirs.send(b"x")
    to_old.send(b"x")
    loop.turn(0)
    # The selector tells its events in no order that is promised: the old one may have had its call before.
    assert called in ([], ["old"])
    called.clear()
    undo_first()
    loop.turn(0)
    assert called == [], "the new one has nothing to read"
    new[1].send(b"x")
    loop.turn(0)
    assert called == ["new"]
    for sock in (ours, theirs, to_old, *new):
        sock.close()


def test_a_number_closed_without_a_word_can_be_watched_again(loop: Loop) -> None:
    called: list[str] = []
    old, to_old = socket.socketpair()
    number = old.fileno()
    undo_old = loop.watch(number, lambda: called.append("old"))
    old.close()
    new, to_new = socket.socketpair()
    assert new.fileno() == number
    loop.watch(number, lambda: called.append("new"))
    undo_old()
    to_new.send(b"x")
    loop.turn(0)
    assert called == ["new"], "the undo of the old one must not take out the new one"
    for sock in (to_old, new, to_new):
        sock.close()


def test_a_cancelled_watch_is_not_called_any_more_not_even_in_this_turn(loop: Loop) -> None:
    called: list[int] = []
    undos: list[Any] = []
    with pair() as (a, to_a), pair() as (b, to_b):
        for number, (sock, sender) in enumerate(((a, to_a), (b, to_b))):

            def readable(number: int = number) -> None:
                called.append(number)
                undos[1 - number]()

            undos.append(loop.watch(sock.fileno(), readable))
            sender.send(b"x")
        loop.turn(0)
        assert len(called) == 1
        undos[called[0]]()
        undos[called[0]]()


@pytest.mark.parametrize("fd", [-1, 9999])
def test_what_is_not_open_cannot_be_watched(loop: Loop, fd: int) -> None:
    with pytest.raises((ValueError, OSError)):
        loop.watch(fd, print)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="a fact of epoll")
def test_a_descriptor_closed_here_and_open_in_a_child_does_not_make_the_loop_spin(loop: Loop) -> None:
    """epoll goes on reporting it, and nobody here can take it out any more."""
    called: list[str] = []
    watched, writer = socket.socketpair()
    with pair() as (other, to_other):
        undo = loop.watch(watched.fileno(), lambda: called.append("closed one"))
        loop.watch(other.fileno(), lambda: called.append("other"))
        gate = os.pipe()
        child = os.fork()
        if not child:
            os.close(gate[1])
            os.read(gate[0], 1)
            os._exit(0)
        os.close(gate[0])
        watched.close()
        undo()
        writer.send(b"x")
        began = time.process_time()
        loop.turn(0.1)  # it is seen here, and the set made anew
        before = time.monotonic()
        loop.turn(0.1)
        assert time.monotonic() - before >= 0.09, "it still returns at once"
        assert time.process_time() - began < 1
        to_other.send(b"x")
        loop.turn(DEADLINE)
        assert called == ["other"], "the others are watched as before"
        loop.post(called.append, "post")
        loop.turn(DEADLINE)
        assert called[-1] == "post"
        os.close(gate[1])
        os.waitpid(child, 0)
    writer.close()


def test_a_forked_child_that_abandons_the_loop_leaves_the_parents_watches_alone(loop: Loop) -> None:
    called: list[str] = []
    with pair() as (ours, theirs):
        loop.watch(ours.fileno(), lambda: called.append(ours.recv(1).decode()))
        child = os.fork()
        if not child:
            loop.abandon()
            loop.post(print)
            os._exit(0 if loop.closed else 1)
        assert os.waitpid(child, 0)[1] == 0
        theirs.send(b"x")
        loop.turn(DEADLINE)
        assert called == ["x"]


def test_a_deadline_beyond_what_epoll_can_count(loop: Loop) -> None:
    loop.call_at(loop.clock() + 60 * 86400, print)
    loop.call_at(float("inf"), print)
    called: list[int] = []
    loop.post(called.append, 1)
    loop.turn()
    loop.soon(loop.post, called.append, 2)
    loop.turn()
    timer = threading.Timer(0.05, loop.post, (called.append, 3))
    timer.start()
    loop.turn()
    loop.turn()
    timer.join()
    assert called == [1, 2, 3]


# -- idleness


def test_an_idle_loop_does_not_wake_up() -> None:
    server = TCPServer(("127.0.0.1", 0), Upper)
    with server, Serving(server), socket.create_connection(server.server_address) as client:
        loop = attach(server).loop
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b"X"
        time.sleep(0.05)  # not to wait for something, but to let nothing happen
        before, cpu = loop.turns, time.process_time()
        time.sleep(0.3)
        assert loop.turns == before
        assert time.process_time() - cpu < 0.05


def test_a_watched_descriptor_that_is_closed_elsewhere_does_not_make_a_reactor_spin() -> None:
    with Reactor() as reactor, Serving(reactor):
        ours, theirs = socket.socketpair()
        done = threading.Event()
        reactor.post(lambda: (reactor.watch(ours, lambda: None), done.set()))
        assert done.wait(DEADLINE)
        ours.close()
        theirs.close()
        time.sleep(0.02)
        before = reactor._loop.turns
        time.sleep(0.1)
        assert reactor._loop.turns - before <= 2
