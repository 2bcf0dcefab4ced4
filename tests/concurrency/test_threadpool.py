"""ThreadPool: it grows, shrinks, fills, and outlives its threads.  Races are set up at the point where they happen."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handlers import BaseRequestHandler
from reactor import Reactor, TCPServer
from strategies import Saturated, ThreadPool, shortage, threads
from tests.answers import Upper, held_by
from tests.clients import ask, connected, hear, say
from tests.contract.fakes import FakeEndpoint, FakeHost, FakeJob, Gate
from tests.hold import Hold
from tests.serving import DEADLINE, Serving


@pytest.fixture
def host() -> Iterator[FakeHost]:
    with FakeHost() as host:
        yield host


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


class Opened:
    """A pool that serves one fake endpoint; leaving it closes the pool."""

    def __init__(self, host: FakeHost, pool: ThreadPool) -> None:
        self.host, self.pool = host, pool
        self.endpoint = FakeEndpoint(host)
        pool.open(host, [self.endpoint])

    def submit(self, body: Callable[[], object] = lambda: None) -> FakeJob:
        job = FakeJob(self.host, body)
        self.pool.submit(job)
        return job

    def threads(self) -> set[threading.Thread]:
        return set(self.pool._threads)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *exc: object) -> None:
        told: list[None] = []
        self.pool.close(self.endpoint, lambda: told.append(None))
        self.host.until(lambda: told, "the end of the pool")


# -- size


def test_no_thread_before_the_first_job(host: FakeHost):
    with Opened(host, ThreadPool(4)) as opened:
        assert not opened.threads()


def test_min_threads_are_there_at_once(host: FakeHost):
    with Opened(host, ThreadPool(4, min_threads=3)) as opened:
        assert len(opened.threads()) == 3
        assert all(thread.is_alive() for thread in opened.threads())


def test_grows_on_demand_and_no_further(host: FakeHost, gate: Gate):
    with Opened(host, ThreadPool(3, queue=2)) as opened:
        for count in range(1, 4):
            opened.submit(gate)
            assert len(opened.threads()) == count
        gate.wait_came(3)
        opened.submit()
        opened.submit()
        assert len(opened.threads()) == 3
        with pytest.raises(Saturated):
            opened.submit()
        gate.release_all()


def test_an_idle_thread_is_used_before_another_is_started(host: FakeHost):
    with Opened(host, ThreadPool(4)) as opened:
        for _ in range(5):
            job = opened.submit()
            host.until(lambda: (job.settled and opened.pool._idle == 1) or host.post(lambda: None))  # noqa: B023
        assert len(opened.threads()) == 1


def test_shrinks_when_idle(host: FakeHost, gate: Gate):
    with Opened(host, ThreadPool(3, min_threads=1, idle_timeout=0.01)) as opened:
        for _ in range(3):
            opened.submit(gate)
        gate.wait_came(3)
        before = opened.threads()
        gate.release_all()
        host.until(lambda: len(opened.threads()) == 1 or host.post(lambda: None), "two threads to leave")
        assert opened.threads() < before  # which of them stays is chance
        job = opened.submit()
        host.until(lambda: job.settled, "the one that stayed")


def test_a_thread_that_has_just_started_can_leave(host: FakeHost, gate: Gate, monkeypatch: pytest.MonkeyPatch):
    """Raced: the new thread's look at how many there are, and the starter's counting it.  It took itself for a lone
    one that stays for ever."""
    patience: queue.SimpleQueue[float | None] = queue.SimpleQueue()
    get = threads._Queue.get

    def noted(jobs: Any, timeout: float | None) -> Any:
        patience.put(timeout)
        return get(jobs, timeout)

    monkeypatch.setattr(threads._Queue, "get", noted)
    start = threading.Thread.start

    def start_and_let_it_run(thread: threading.Thread) -> None:
        start(thread)
        if thread.name.startswith("ThreadPool"):
            seen.append(patience.get(timeout=DEADLINE))

    seen: list[float | None] = []
    monkeypatch.setattr(threading.Thread, "start", start_and_let_it_run)
    with Opened(host, ThreadPool(2, idle_timeout=3600)) as opened:
        opened.submit(gate)
        opened.submit(gate)
        gate.release_all()
        assert seen == [3600, 3600]


def test_a_job_that_comes_as_the_thread_times_out_is_run(host: FakeHost, monkeypatch: pytest.MonkeyPatch):
    """Raced: a thread's time-out, and a submit() that counts on that thread."""
    reached, on = threading.Event(), threading.Event()
    first: list[FakeJob] = []
    get = threads._Queue.get

    def get_and_stop(jobs: Any, timeout: float | None) -> Any:
        try:
            return get(jobs, timeout)
        except queue.Empty:
            if first and first[0].settled:  # else it is early, and comes again
                reached.set()
                assert on.wait(DEADLINE)
            raise

    with Opened(host, ThreadPool(1, queue=0, idle_timeout=0.001)) as opened:
        monkeypatch.setattr(threads._Queue, "get", get_and_stop)
        first.append(opened.submit())
        assert reached.wait(DEADLINE)
        job = opened.submit()
        on.set()
        host.until(lambda: job.settled, "the job")


def test_closing_as_the_only_thread_times_out(host: FakeHost, monkeypatch: pytest.MonkeyPatch):
    """Raced: a thread's time-out, the last job, and the end.  The thread left, and the job stayed in the queue."""
    reached, on = threading.Event(), threading.Event()
    first: list[FakeJob] = []
    get = threads._Queue.get

    def get_and_stop(jobs: Any, timeout: float | None) -> Any:
        try:
            return get(jobs, timeout)
        except queue.Empty:
            if first and first[0].settled:  # else it is early, and comes again
                reached.set()
                assert on.wait(DEADLINE)
            raise

    with Opened(host, ThreadPool(1, idle_timeout=0.001)) as opened:
        monkeypatch.setattr(threads._Queue, "get", get_and_stop)
        first.append(opened.submit())
        assert reached.wait(DEADLINE)
        job = opened.submit()
        told: list[bool] = []
        opened.pool.end(lambda: told.append(job.settled))
        on.set()
        host.until(lambda: told, "the end")
        assert told == [True]


def test_a_full_pool_whose_thread_is_leaving_still_promises(host: FakeHost, monkeypatch: pytest.MonkeyPatch):
    """Raced: a thread on its way out between two steps, and submit().  It refused, and nobody told of the room."""
    reached, on = threading.Event(), threading.Event()
    leave = ThreadPool._leave

    def stop_and_leave(pool: ThreadPool, me: threading.Thread) -> None:
        reached.set()
        assert on.wait(DEADLINE)
        leave(pool, me)

    monkeypatch.setattr(ThreadPool, "_leave", stop_and_leave)
    with Opened(host, ThreadPool(1, queue=0, idle_timeout=0.001)) as opened:
        opened.submit()
        assert reached.wait(DEADLINE)
        assert opened.pool.has_room()  # the place is free in one step with the decision to leave
        job = opened.submit()
        on.set()
        host.until(lambda: job.settled, "the job")


def test_a_place_in_the_queue_is_told_of_when_it_is_free(host: FakeHost, gate: Gate):
    """Not only when a job ends: the one that was taken from the queue may take its time."""
    with Opened(host, ThreadPool(1, queue=1)) as opened:
        opened.submit(gate)
        opened.submit(gate)
        gate.wait_came()
        assert not opened.pool.has_room()
        gate.release()
        gate.wait_came()  # the second runs
        host.until(lambda: opened.endpoint.rooms, "room()")
        gate.release_all()


def test_two_last_threads_announce_one_end(host: FakeHost, monkeypatch: pytest.MonkeyPatch):
    """Raced: two threads on their way out, neither in the books any more."""
    barrier = threading.Barrier(2)
    leave = ThreadPool._leave

    def leave_together(pool: ThreadPool, me: threading.Thread) -> None:
        barrier.wait(DEADLINE)
        leave(pool, me)

    monkeypatch.setattr(ThreadPool, "_leave", leave_together)
    with Opened(host, ThreadPool(2, min_threads=2)) as opened:
        told: list[None] = []
        opened.pool.end(lambda: told.append(None))
        host.until(lambda: told, "the end")
        host.settle_down()
        assert len(told) == 1


def test_every_thread_is_joined_by_the_end(host: FakeHost):
    opened = Opened(host, ThreadPool(3, min_threads=3))
    there = opened.threads()
    with opened:
        pass
    assert not any(thread.is_alive() for thread in there)


def test_no_jobs_once_it_closes(host: FakeHost, gate: Gate):
    with Opened(host, ThreadPool(1)) as opened:
        opened.submit(gate)
        gate.wait_came()
        told: list[None] = []
        opened.pool.close(opened.endpoint, lambda: told.append(None))
        with pytest.raises(RuntimeError, match="closing"):
            opened.submit()
        with pytest.raises(RuntimeError, match="still closing"):
            opened.pool.open(host, [opened.endpoint])
        gate.release_all()
        host.until(lambda: told, "the end")


# -- threads that die, and threads that cannot be had


@pytest.mark.logs(r"^ThreadPool-\d+ was ended by SystemExit\(3\) and is replaced$")
def test_a_base_exception_ends_a_thread_and_it_is_replaced(host: FakeHost, logs: list[Any]):
    def leave() -> None:
        raise SystemExit(3)

    with Opened(host, ThreadPool(1, min_threads=1)) as opened:
        (first,) = opened.threads()
        job = opened.submit(leave)
        host.until(lambda: job.settled, "the job")
        first.join(DEADLINE)
        (second,) = opened.threads()
        assert second is not first
        job = opened.submit()
        host.until(lambda: job.settled, "the next job")
    assert logs[0].exc_info


@pytest.mark.logs("was ended by KeyboardInterrupt")
def test_a_dying_thread_leaves_no_job_behind(host: FakeHost, gate: Gate):
    def die() -> None:
        gate()
        raise KeyboardInterrupt

    with Opened(host, ThreadPool(1, queue=2)) as opened:
        opened.submit(die)
        jobs = [opened.submit(), opened.submit()]
        assert not opened.pool.has_room()
        gate.release_all()
        host.until(lambda: all(job.settled for job in jobs), "those that were waiting")
        host.until(lambda: opened.endpoint.rooms, "room()")


@pytest.mark.logs("was ended by SystemExit")
def test_a_thread_that_dies_at_the_end_leaves_no_job_behind(host: FakeHost, gate: Gate):
    def die() -> None:
        gate()
        raise SystemExit

    with Opened(host, ThreadPool(1)) as opened:
        opened.submit(die)
        job = opened.submit()
        told: list[bool] = []
        opened.pool.end(lambda: told.append(job.settled))
        gate.release_all()
        host.until(lambda: told, "the end")
        assert told == [True]


class NoThreads:
    """While it is on, the system has no thread to give."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = True
        self.refused = 0
        start = threading.Thread.start

        def start_or_not(thread: threading.Thread) -> None:
            if self.on and thread.name.startswith("Thread"):
                self.refused += 1
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_or_not)


@pytest.mark.logs("can't start new thread; going on with 0 threads")
def test_no_thread_to_be_had(host: FakeHost, monkeypatch: pytest.MonkeyPatch, logs: list[Any]):
    monkeypatch.setattr(shortage, "time", host.time)
    system = NoThreads(monkeypatch)
    with Opened(host, ThreadPool(2)) as opened:
        for _ in range(3):
            with pytest.raises(Saturated):
                opened.submit()
            assert not opened.pool.has_room()
        host.settle_down()
        assert system.refused == 1  # it does not ask again for each job
        for _ in range(3):
            assert host.due == [pytest.approx(shortage.RETRY)]
            before = opened.endpoint.rooms
            host.advance(shortage.RETRY)
            assert opened.endpoint.rooms == before + 1
            with pytest.raises(Saturated):
                opened.submit()
            host.settle_down()
        system.on = False
        host.advance(shortage.RETRY)
        assert opened.pool.has_room()
        job = opened.submit()
        host.until(lambda: job.settled, "the job")


@pytest.mark.logs("can't start new thread; going on with 1 threads")
def test_no_second_thread_to_be_had(host: FakeHost, gate: Gate, monkeypatch: pytest.MonkeyPatch):
    """The job waits for the thread that there is, or for one that can be had later."""
    monkeypatch.setattr(shortage, "time", host.time)
    with Opened(host, ThreadPool(2)) as opened:
        opened.submit(gate)
        gate.wait_came()
        system = NoThreads(monkeypatch)
        job = opened.submit()
        assert not job.settled
        system.on = False
        host.settle_down()
        host.advance(shortage.RETRY)
        host.until(lambda: job.settled, "the second thread")
        gate.release_all()


@pytest.mark.logs("was ended by SystemExit", "can't start new thread")
def test_no_replacement_to_be_had(host: FakeHost, gate: Gate, monkeypatch: pytest.MonkeyPatch):
    """The worker's thread cannot set the loop's timer: the fake host would refuse it."""

    def die() -> None:
        gate()
        raise SystemExit

    monkeypatch.setattr(shortage, "time", host.time)
    with Opened(host, ThreadPool(1)) as opened:
        opened.submit(die)
        gate.wait_came()
        job = opened.submit()
        system = NoThreads(monkeypatch)
        (thread,) = opened.threads()
        gate.release_all()
        thread.join(DEADLINE)
        assert not opened.threads()
        host.settle_down()
        assert host.due
        system.on = False
        host.advance(shortage.RETRY)
        host.until(lambda: job.settled, "the job of the one that died")


@pytest.mark.parametrize(
    "arguments",
    [{"max_threads": 0}, {"min_threads": 9}, {"min_threads": -1}, {"queue": -1}, {"idle_timeout": 0}],
)
def test_impossible_numbers(arguments: dict[str, Any]):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"^{name}="):
        ThreadPool(**arguments)


# -- behind a real server


def listening(server: TCPServer) -> bool:
    return server.at_endpoint._listener.listening


def on_loop(server: TCPServer, call: Callable[[], Any]) -> Any:
    """What the call returns on the loop's thread."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    server.in_reactor.post(lambda: answers.put(call()))
    return answers.get(timeout=DEADLINE)


def test_a_full_queue_takes_the_listener_out_of_the_selector():
    with Hold() as hold, TCPServer(
        ("127.0.0.1", 0), held_by(hold), strategy=ThreadPool(1, queue=1)
    ) as server, Serving(server), connected(server) as first, connected(server) as second, connected(server) as third:
        for client in (first, second, third):
            say(client, b"abc")
        hold.wait_entered()
        while on_loop(server, lambda: listening(server)):
            pass
        turns = server.at_endpoint.loop.turns
        assert on_loop(server, lambda: server.at_endpoint.loop.turns) <= turns + 2  # it does not spin
        assert len(server.at_endpoint.requests.live) == 2  # the third waits in the kernel
        hold.release()
        for client in (first, second, third):
            assert hear(client) == b"ABC"
        assert ask(server, b"again") == b"AGAIN"
        assert on_loop(server, lambda: listening(server))


@pytest.mark.logs("can't start new thread")
def test_clients_wait_while_there_is_no_thread(monkeypatch: pytest.MonkeyPatch):
    system = NoThreads(monkeypatch)
    with TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool(2)) as server, Serving(server), connected(
        server
    ) as client:
        say(client, b"abc")
        while not system.refused:
            on_loop(server, lambda: None)
        system.on = False
        assert hear(client) == b"ABC"


@pytest.mark.logs(r"cutting 1 requests that run on")
def test_a_thread_that_waits_for_its_client_is_cut_at_close():
    server = TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool(2))
    server.close_timeout = 0.05
    server.handle_error = lambda request, address: None
    with connected(server) as client:
        with Serving(server):
            client.sendall(b"abc")
            while not on_loop(server, lambda: len(server.at_endpoint.requests.live)):
                pass
        server.server_close()
        assert hear(client) == b""  # its read came back, and its write failed


@pytest.mark.logs(r"cutting 2 requests that run on", r"1 requests cannot be ended")
def test_a_thread_that_never_comes_back_does_not_hold_up_the_close(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("reactor.closing.GRACE", 0.05)
    with Hold() as hold:
        pool = ThreadPool(1, queue=1)
        server = TCPServer(("127.0.0.1", 0), held_by(hold), strategy=pool)
        server.close_timeout = 0.05
        server.handle_error = lambda request, address: None
        with connected(server), connected(server) as second:
            with Serving(server):
                hold.wait_entered()
                while on_loop(server, lambda: len(server.at_endpoint.requests.live)) < 2:
                    pass
            server.server_close()
            assert hear(second) == b""  # it never began, and is closed
            assert server.fileno() == -1
        hold.release()


@pytest.mark.logs("was ended by SystemExit")
def test_the_server_outlives_a_handler_that_exits():
    class Exits(BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(10) == b"exit":
                raise SystemExit(1)
            self.request.sendall(b"here")

    with TCPServer(("127.0.0.1", 0), Exits, strategy=ThreadPool(1, queue=0)) as server, Serving(server):
        assert ask(server, b"exit") == b""
        assert ask(server, b"stay") == b"here"


def test_two_servers_share_a_pool():
    pool = ThreadPool(1, queue=0)
    with Hold() as hold, Reactor() as reactor:
        held = reactor.add(TCPServer(("127.0.0.1", 0), held_by(hold), strategy=pool))
        other = reactor.add(TCPServer(("127.0.0.1", 0), Upper, strategy=pool))
        with Serving(reactor), connected(held) as first, connected(other) as second:
            say(first, b"one")
            hold.wait_entered()
            say(second, b"two")
            while on_loop(other, lambda: listening(other)):
                pass
            hold.release()
            assert hear(first) == b"ONE"
            assert hear(second) == b"TWO"
            held.server_close()
            assert ask(other, b"three") == b"THREE"


def test_handle_request_without_a_loop():
    """A thread of the pool takes the whole conversation; handle_request() does not wait for it."""
    strategy = ThreadPool(2)
    with Hold() as hold, TCPServer(("127.0.0.1", 0), held_by(hold), strategy=strategy) as server, connected(
        server
    ) as client:
        say(client, b"abc")
        server.handle_request()
        hold.wait_entered()
        hold.release()
        assert hear(client) == b"ABC"


def test_handle_request_waits_for_room():
    with Hold() as hold, TCPServer(("127.0.0.1", 0), held_by(hold), strategy=ThreadPool(1, queue=0)) as server:
        server.timeout = 0.05
        timed_out = threading.Event()
        server.handle_timeout = timed_out.set
        with connected(server) as first, connected(server) as second:
            say(first, b"one")
            say(second, b"two")
            server.handle_request()
            hold.wait_entered()
            server.handle_request()
            assert timed_out.is_set()
            hold.release()
            assert hear(first) == b"ONE"
            server.timeout = DEADLINE
            server.handle_request()
            assert hear(second) == b"TWO"



def test_a_client_that_resets_leaves_the_thread_free():
    with TCPServer(("127.0.0.1", 0), Upper, strategy=ThreadPool(1, queue=0)) as server, Serving(server):
        server.handle_error = lambda request, address: None
        with connected(server) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert ask(server, b"abc") == b"ABC"


def test_an_interrupt_as_a_job_is_handed_in_does_not_start_threads_for_ever(host: FakeHost) -> None:
    """Races: a Ctrl-C on the loop's thread, between the queue and the counter."""
    pool = ThreadPool(1)
    endpoint = FakeEndpoint(host)
    pool.open(host, [endpoint])

    def interrupted(job: object) -> None:
        raise KeyboardInterrupt

    pool._jobs.put = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        pool.submit(FakeJob(host))
    told: list[bool] = []
    pool.close(endpoint, lambda: told.append(True))
    host.until(lambda: told, "the end of the pool")
    assert next(pool._names) <= 3, "threads were started for nobody"
