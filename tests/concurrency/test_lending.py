"""The lead of a loop, lent to a thread of a pool: who has it, when it comes back, and that nobody can tell."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import queue
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from handlers import PARK, BaseRequestHandler, StreamRequestHandler, TurnHandler
from reactor import Reactor, TCPServer
from reactor import loan as loans
from reactor.lead import Lead
from reactor.lending import Lending
from reactor.loan import Loan
from reactor.loop import Loop
from reactor.meter import Meter
from strategies import Prefork, ThreadPool
from strategies.leader import Leader
from tests.answers import Upper, Whereabouts, held_by
from tests.clients import ask, connected, hear, say
from tests.hold import Hold
from tests.serving import DEADLINE, Serving

LOOPBACK = ("127.0.0.1", 0)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0)


def pool(threads: int = 2, **more: Any) -> ThreadPool:
    """One whose threads are there from the beginning, so that the first request finds an idle one."""
    return ThreadPool(threads, min_threads=threads, **more)


@contextlib.contextmanager
def lent(handler: Any = Upper, threads: int = 2, kind: type[TCPServer] = TCPServer, **more: Any) -> Iterator[Any]:
    """A server whose loop is lent, and idle."""
    with kind(LOOPBACK, handler, strategy=pool(threads, **more)) as server, Serving(server):
        lend(server)
        yield server


def loan_of(server: Any) -> Any:
    """The loan that is under way in a server's loop, or None."""
    return server.in_reactor._run.lending.loan


def lend(server: Any, message: bytes = b"abc") -> None:
    until(lambda: ask(server, message) is not None and loan_of(server) is not None)


def test_an_idle_thread_is_lent_the_lead() -> None:
    with lent(Whereabouts) as server:
        assert b"ThreadPool-" in ask(server, b"")
        loan = loan_of(server)
        assert [ask(server, b"").split()[1] for _ in range(20)] == [ask(server, b"").split()[1]] * 20
        assert loan_of(server) is loan  # one thread did it all, by one loan


def test_nobody_leads_while_a_handler_runs() -> None:
    seen: list[tuple[bool, bool, bool]] = []

    class Looks(BaseRequestHandler):
        def handle(self) -> None:
            loop = self.server.at_endpoint.loop
            seen.append((loop.leads(), loop.running, bool(loop.lead.table)))

    with lent(Looks) as server:
        ask(server, b"")
    assert seen[-1] == (False, True, True)


def test_a_handler_that_blocks_holds_nobody_up() -> None:
    with Hold() as hold, lent(threads=3) as server:
        server.RequestHandlerClass = held_by(hold)
        with connected(server) as first:
            say(first, b"one")
            hold.wait_entered()
            server.RequestHandlerClass = Upper
            began = time.monotonic()
            assert ask(server, b"abc") == b"ABC"
            assert time.monotonic() - began < 1.0  # some ticks, on a machine however loaded
            hold.release()
            assert hear(first) == b"ONE"


def test_handlers_that_wait_for_less_than_a_tick_run_beside_each_other() -> None:
    # A database, a disk: none of them lasts from one look to the next, and yet one after the other they would be slow.
    requests, wait = 40, 0.002

    class Waits(BaseRequestHandler):
        def handle(self) -> None:
            time.sleep(wait)
            self.request.sendall(b"done")

    class Deep(TCPServer):
        request_queue_size = 64

    with lent(Waits, threads=8, kind=Deep) as server:
        began = time.monotonic()
        clients = [threading.Thread(target=lambda: [ask(server, b"") for _ in range(requests)]) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert time.monotonic() - began < 8 * requests * wait * 0.75


def test_a_lender_that_sleeps_is_woken_by_the_next_job() -> None:
    with Hold() as hold, lent(threads=3) as server:
        until(lambda: not loan_of(server)._watched)
        server.RequestHandlerClass = held_by(hold)
        with connected(server) as first:
            say(first, b"one")
            hold.wait_entered()
            server.RequestHandlerClass = Upper
            assert ask(server, b"abc") == b"ABC"
            hold.release()
            assert hear(first) == b"ONE"


def test_what_waits_behind_one_that_blocks_is_run_by_others() -> None:
    # Both come of one turn; the second is on the list of the very thread that the first one blocks.
    class Kinds(StreamRequestHandler):
        def handle(self) -> None:
            if self.rfile.read() == b"block":
                hold()
            self.wfile.write(b"done")

    with Hold() as hold, Reactor() as reactor:
        server = reactor.add(TCPServer(LOOPBACK, Kinds, strategy=pool()))
        with Serving(reactor):
            lend(server)
            with connected(server) as first, connected(server) as second:
                say(first, b"block")
                say(second, b"pass")
                assert hear(second) == b"done"
                hold.release()
                assert hear(first) == b"done"


def test_after_that_all_goes_by_the_queue_for_a_while_and_then_it_is_lent_again(monkeypatch: Any) -> None:
    monkeypatch.setattr("strategies.threads.PLAIN", 0.05)
    with Hold() as hold, lent() as server:
        server.RequestHandlerClass = held_by(hold)
        with connected(server) as first:
            say(first, b"one")
            hold.wait_entered()
            until(lambda: loan_of(server) is None)
            hold.release()
            assert hear(first) == b"ONE"
        lend(server)


@pytest.mark.logs("was ended by SystemExit")
def test_a_job_that_ends_its_thread_gives_the_lead_back() -> None:
    class Exits(BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(10) == b"exit":
                raise SystemExit(1)
            self.request.sendall(b"here")

    with lent(Exits) as server:
        assert ask(server, b"exit") == b""
        assert ask(server, b"stay") == b"here"
        until(lambda: len(server.strategy._threads) == 2)


class FakeLoan:
    """Tells what was called; ``taken`` says that the lender was quicker."""

    def __init__(self, taken: bool) -> None:
        self.called: list[str] = []
        self.taken = taken

    def begin(self) -> bool:
        return True

    def lay_down(self, stamp: object) -> None:
        self.called.append("lay down")

    def take_up(self) -> object | None:
        self.called.append("take up")
        return None if self.taken else self

    def give_back(self, error: BaseException | None = None) -> None:
        self.called.append("give back")


@pytest.mark.parametrize("taken", [False, True])
def test_a_job_that_raises_leaves_the_lead_to_one(taken: bool) -> None:
    class Raises:
        def run(self) -> None:
            raise SystemExit

    loan = FakeLoan(taken)
    jobs: deque[Any] = deque([Raises(), "the next"])
    with pytest.raises(SystemExit):
        Leader(loan, jobs, lambda: None, lambda: None).run()  # type: ignore[arg-type]
    assert loan.called == ["lay down", "take up"] + ["give back"] * (not taken)
    assert list(jobs) == ["the next"]


@pytest.mark.parametrize("how", ["shutdown", "stop", "drain", "server_close"])
@pytest.mark.parametrize("busy", [False, True])
def test_it_ends(how: str, busy: bool) -> None:
    """From another thread, while the borrower sleeps in the poll, and while it is in a handler."""
    with Hold() as hold, connected_server() as (server, serving), contextlib.ExitStack() as stack:
        if busy:
            server.RequestHandlerClass = held_by(hold)
            client = stack.enter_context(connected(server))
            say(client, b"one")
            hold.wait_entered()
        began = time.monotonic()
        reactor = server.in_reactor
        release = threading.Timer(0.1, hold.release)
        release.start()
        {"shutdown": server.shutdown, "stop": reactor.stop, "drain": reactor.drain,
         "server_close": server.server_close}[how]()  # fmt: skip
        assert serving.ended() is None
        if how in ("shutdown", "stop"):  # the others wait for what runs
            assert time.monotonic() - began < 0.1
        release.join()
        if busy:
            assert hear(client) == b"ONE"


@contextlib.contextmanager
def connected_server() -> Iterator[Any]:
    with TCPServer(LOOPBACK, Upper, strategy=pool()) as server, Serving(server) as serving:
        lend(server)
        yield server, serving


@pytest.mark.parametrize("how", ["shutdown", "server_close", "drain"])
def test_it_is_ended_by_its_own_handler(how: str) -> None:
    class Ends(BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(10) == b"end":
                getattr(self.server.in_reactor if how == "drain" else self.server, how)()
            self.request.sendall(b"ended")

    with TCPServer(LOOPBACK, Ends, strategy=pool()) as server, Serving(server) as serving:
        lend(server)
        assert ask(server, b"end") == b"ended"
        assert serving.ended() is None


def test_the_programs_callbacks_keep_their_order() -> None:
    order: queue.SimpleQueue[int] = queue.SimpleQueue()
    with Reactor() as reactor:
        server = reactor.add(TCPServer(LOOPBACK, Upper, strategy=pool()))
        with Serving(reactor):
            for _ in range(10):
                lend(server)
                for number in range(5):
                    reactor.post(order.put, number)
                assert [order.get(timeout=DEADLINE) for _ in range(5)] == [0, 1, 2, 3, 4]


def test_callbacks_behind_one_that_ends_the_loop_are_for_the_next() -> None:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ends() -> None:
        raise SystemExit(3)

    loop = Loop()
    strategy: Any = FakeStrategy()
    lending = Lending(loop, [], (), lambda: False)
    with loop.led():
        lending.begin()
        lending._kept.extend([(ends, ()), (told.put, ("behind",))])
        assert lending.ask(strategy)
        with pytest.raises(SystemExit):
            lending.lend()
        lending.forget()
        assert told.empty()
        loop.turn(0)
        assert told.get_nowait() == "behind"
    loop.close()


def test_the_programs_callbacks_run_where_run_was_called() -> None:
    threads: queue.SimpleQueue[str] = queue.SimpleQueue()

    def tell() -> None:
        threads.put(threading.current_thread().name)

    with Reactor() as reactor:
        server = reactor.add(TCPServer(LOOPBACK, Upper, strategy=pool()))
        with Serving(reactor):
            for ask_for in (reactor.post, lambda call: reactor.post(reactor.call_later, 0.001, call)):
                lend(server)
                ask_for(tell)
                assert threads.get(timeout=DEADLINE) == "Serving"
                server.strategy._plain_until = 0.0


@pytest.mark.parametrize(
    "why",
    ["watch", "another strategy", "verify_request", "get_request", "fileno", "service_actions", "socket", "submit"],
)
def test_not_where_the_program_could_tell(why: str) -> None:
    class Own(TCPServer):
        pass

    class OwnPool(ThreadPool):
        def submit(self, job: Any) -> None:
            super().submit(job)

    class OwnSocket(socket.socket):
        pass

    if why in ("verify_request", "get_request", "fileno"):
        setattr(Own, why, lambda self, *args: getattr(super(Own, self), why)(*args))
    if why == "service_actions":
        Own.service_actions = lambda self: None  # type: ignore[method-assign]
    with Reactor() as reactor:
        strategy = OwnPool(2, min_threads=2) if why == "submit" else pool()
        server = reactor.add(Own(LOOPBACK, Whereabouts, strategy=strategy))
        if why == "socket":
            server.socket = OwnSocket(fileno=server.socket.detach())
        with contextlib.ExitStack() as stack:
            if why == "another strategy":
                other = reactor.add(TCPServer(LOOPBACK, Upper, strategy=pool()))
            if why == "watch":
                beside = stack.enter_context(TCPServer(LOOPBACK, Upper))
                stack.callback(reactor.watch(beside.socket, lambda: None))
            with Serving(reactor):
                for _ in range(10):
                    assert b"ThreadPool-" in ask(server, b"")
                    if why == "another strategy":
                        assert ask(other, b"abc") == b"ABC"
                    assert loan_of(server) is None


class FakeStrategy:
    """Tells what became of its asking."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def lead(self, loan: Any) -> None:
        self.told.append("lead")
        assert loan.begin()
        loan.give_back()

    def lead_is_back(self) -> None:
        self.told.append("back")


class FakeEndpoint:
    def __init__(self, strategy: Any) -> None:
        self.strategy = strategy
        self.taker = SimpleNamespace(plain=True, acts=False)


def test_what_stands_in_the_way_is_asked_at_the_last_moment() -> None:
    watched: set[int] = set()
    strategy: Any = FakeStrategy()
    endpoints: list[Any] = [FakeEndpoint(strategy)]
    loop = Loop()
    lending = Lending(loop, endpoints, watched, lambda: False)
    with loop.led():
        assert not lending.ask(strategy)  # nobody would lend it
        lending.begin()
        assert lending.ask(strategy)
        assert not lending.ask(strategy)
        watched.add(3)  # in the very turn in which it was asked for
        lending.lend()
        assert strategy.told == ["back"]
        watched.clear()
        endpoints.append(FakeEndpoint("another"))
        assert lending.ask(strategy)
        lending.lend()
        assert strategy.told == ["back"] * 2
        endpoints.pop()
        assert lending.ask(strategy)
        lending.lend()
        assert strategy.told == ["back"] * 2 + ["lead", "back"]
        assert loop.leads()
    loop.close()


def test_lent_when_the_other_server_has_gone() -> None:
    with Reactor() as reactor:
        server = reactor.add(TCPServer(LOOPBACK, Upper, strategy=pool()))
        other = reactor.add(TCPServer(LOOPBACK, Upper, strategy=pool()))
        with Serving(reactor):
            assert ask(server, b"abc") == b"ABC"
            assert loan_of(server) is None
            other.server_close()
            server.strategy._plain_until = 0.0
            lend(server)


@pytest.mark.logs("was raised while the lead was called back", required=False)
@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_an_exception_round_the_taking_up(when: str, monkeypatch: Any, caplog: Any) -> None:
    """A signal handler's may come between any two steps of the lender's."""

    class Interrupted(Exception):
        pass

    take_up = Lead.take_up
    raised: list[bool] = []

    def interrupted(lead: Lead, token: object, note: list[object]) -> bool:
        if threading.current_thread().name != "Serving" or len(raised) == 3:
            return take_up(lead, token, note)
        if when == "between":  # the table is empty, and nobody leads yet
            lead._claims = threading.get_ident()
            note.extend(filter(None, map(lead.table.pop, (token,), (None,))))
        elif when == "after":
            take_up(lead, token, note)
        if when != "before" and not note:
            return False
        raised.append(True)
        raise Interrupted

    with TCPServer(LOOPBACK, Upper, strategy=pool()) as server:
        with Serving(server) as serving:
            lend(server)
            monkeypatch.setattr(Lead, "take_up", interrupted)
            server.shutdown()
            assert isinstance(serving.ended(), Interrupted)
        monkeypatch.undo()
        assert ("and is dropped" in caplog.text) is (when != "after")  # the first is raised, the others are told
        with Serving(server):
            assert ask(server, b"abc") == b"ABC"


def test_nobody_takes_itself_for_the_leader_while_another_takes_up() -> None:
    """Races: between the two steps of taking up, the borrower's handler asks who leads."""
    lead = Lead()
    lead.begin(by_the_way=False)
    token = object()
    seen: list[bool] = []

    class Table(dict[object, object]):
        def pop(self, *args: Any) -> Any:
            try:
                return super().pop(*args)
            finally:
                seen.append(lead.is_mine())  # for the borrower it would be true: it led last, and the table is empty

    lead.table = Table()
    lead.table[token] = token
    other = threading.Thread(target=lambda: lead.take_up(token, []))
    asked_beside: list[bool] = []
    pop = Table.pop

    def pop_and_ask(self: Any, *args: Any) -> Any:
        found = pop(self, *args)
        ask_beside = threading.Event()
        waiting.set()
        ask_beside.wait(0.05)
        return found

    waiting = threading.Event()
    Table.pop = pop_and_ask  # type: ignore[method-assign]
    other.start()
    assert waiting.wait(DEADLINE)
    asked_beside.append(lead.is_mine())  # this thread led last, like a borrower in its handler
    other.join(DEADLINE)
    assert asked_beside == [False]
    assert not lead.is_mine()


def test_an_idle_borrower_leaves() -> None:
    with TCPServer(LOOPBACK, Upper, strategy=ThreadPool(2, idle_timeout=0.02)) as server, Serving(server):
        lend(server)
        until(lambda: not server.strategy._threads)
        assert loan_of(server) is None
        assert ask(server, b"abc") == b"ABC"


@pytest.mark.parametrize("busy", [False, True])
def test_a_ctrl_c_meanwhile(busy: bool) -> None:
    main = threading.get_ident()
    entered = threading.Event()
    go = threading.Event()

    class Held(BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(10) == b"hold":
                entered.set()
                go.wait(DEADLINE)

    with TCPServer(LOOPBACK, Held, strategy=pool()) as server:

        def interrupt() -> None:
            lend(server)
            until(lambda: not loan_of(server)._watched)  # it sleeps, and no tick helps it along
            with contextlib.ExitStack() as stack:
                if busy:
                    stack.enter_context(connected(server)).sendall(b"hold")
                    assert entered.wait(DEADLINE)
                signal.pthread_kill(main, signal.SIGINT)
                go.wait(0.1)
                go.set()

        other = threading.Thread(target=interrupt)
        other.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        assert time.monotonic() - began < DEADLINE / 2, "it was held back, and nobody was woken"
        other.join(DEADLINE)
        with Serving(server):
            assert ask(server, b"") == b""


def test_a_signal_handler_that_raises_meanwhile() -> None:
    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with TCPServer(LOOPBACK, Upper, strategy=pool()) as server:
            other = threading.Thread(target=lambda: (lend(server), signal.pthread_kill(main, signal.SIGUSR1)))
            other.start()
            with pytest.raises(Interrupted):
                server.serve_forever()
            other.join(DEADLINE)
            with Serving(server):
                assert ask(server, b"abc") == b"ABC"
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("how", ["shutdown", "server_close"])
def test_a_signal_handler_that_ends_it_meanwhile(how: str) -> None:
    main = threading.get_ident()
    with TCPServer(LOOPBACK, Upper, strategy=pool()) as server:
        before = signal.signal(signal.SIGUSR1, lambda *_: getattr(server, how)())
        try:
            other = threading.Thread(target=lambda: (lend(server), signal.pthread_kill(main, signal.SIGUSR1)))
            other.start()
            server.serve_forever()
            other.join(DEADLINE)
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_parked_connections_meanwhile() -> None:
    class Lines(TurnHandler):
        def handle(self) -> Any:
            line = self.rfile.readline()
            self.wfile.write(line.upper())
            return PARK if line else None

    lent: list[bool] = []
    with TCPServer(LOOPBACK, Lines, strategy=pool()) as server, Serving(server), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(5)]
        for number, client in itertools.product(range(10), clients):
            client.sendall(b"line %d\n" % number)
            assert client.recv(20) == b"LINE %d\n" % number
            lent.append(loan_of(server) is not None)
        assert any(lent)


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
def test_in_a_preforked_worker() -> None:
    class Leads(BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"lent" if loan_of(self.server) is not None else b"plain")

    with TCPServer(LOOPBACK, Leads, strategy=Prefork(1, pool())) as server, Serving(server):
        until(lambda: ask(server, b"") == b"lent")


def test_full_and_empty_again() -> None:
    # More than there is room for; nothing is lost, and the listener comes back.
    class Deep(TCPServer):
        request_queue_size = 64

    with lent(threads=1, queue=1, kind=Deep) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(20)]
        for client in clients:
            say(client, b"abc")
        assert [hear(client) for client in clients] == [b"ABC"] * 20
        assert ask(server, b"abc") == b"ABC"


def stress(seconds: float) -> None:
    """Handlers that last about a tick, so that the lead is taken back at the very moment at which they return."""
    durations = itertools.cycle([0.0, loans.TICK * 0.9, 0.0, loans.TICK, loans.TICK * 1.1, 0.0, loans.TICK * 2, 0.0])

    class Lasts(StreamRequestHandler):
        def handle(self) -> None:
            time.sleep(next(durations))
            self.wfile.write(self.rfile.read())

    strategy = pool(3, queue=8)
    with TCPServer(LOOPBACK, Lasts, strategy=strategy) as server, Serving(server):
        ends = time.monotonic() + seconds
        counts = []

        def load() -> None:
            count = 0
            while time.monotonic() < ends:
                assert ask(server, b"%d" % count) == b"%d" % count
                count += 1
            counts.append(count)

        clients = [threading.Thread(target=load) for _ in range(6)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert len(counts) == 6
        until(lambda: not server.at_endpoint.requests.live)
        until(lambda: strategy._idle + (strategy._leader is not None) == 3)
        assert (strategy._waiting, len(strategy._led)) == (0, 0)


def test_promotions_meet_returning_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strategies.threads.PLAIN", 0.002)
    stress(1.0)


@pytest.mark.soak
def test_promotions_meet_returning_handlers_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strategies.threads.PLAIN", 0.002)
    stress(120.0)


def test_who_comes_too_late_opens_nothing() -> None:
    loop = Loop()
    with loop.led():
        loan = Loan(loop, lambda: False)
        loan.lay_down(loan)
        assert loop.lead.take_up(loan, [])  # the lender: nobody came
        loan.close()
        assert not loan.begin()  # the leaks fixture looks for the descriptor
    loop.close()


@pytest.mark.parametrize("source", ["schedstat", "clock"])
@pytest.mark.parametrize("computes", [False, True])
def test_how_much_it_is_at_work(computes: bool, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if source == "clock":
        monkeypatch.setattr("reactor.meter.os.open", Mock(side_effect=FileNotFoundError))
    go, begun = threading.Event(), threading.Event()
    meter = Meter()

    def work() -> None:
        meter.begin()
        begun.set()
        while computes and not go.is_set():
            hashlib.sha256(bytes(1 << 20))  # lets others run meanwhile
        go.wait(DEADLINE)

    worker = threading.Thread(target=work)
    worker.start()
    assert begun.wait(DEADLINE)
    meter.share()
    time.sleep(0.05)  # what is measured is how much of this it works
    share = meter.share()
    go.set()
    worker.join(DEADLINE)
    if computes and source == "clock":
        assert share > 0.0  # less than it might, where others crowd it out
    else:
        assert (share > loans.BLOCKED) is computes
    if source == "schedstat":
        until(lambda: meter.share() == 0.0)  # it has ended, for the kernel too
    meter.close()
    meter.close()


def test_where_nobody_tells_it_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactor.meter.os.open", Mock(side_effect=FileNotFoundError))
    monkeypatch.delattr("time.pthread_getcpuclockid")
    meter = Meter()
    meter.begin()
    assert meter.share() == 1.0
    meter.close()


class Leading(RuleBasedStateMachine):
    """A borrower and a lender, each a step at a time, in any order: exactly one has the lead, or it lies there."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.context = self.loop.led()
        self.context.__enter__()
        self.wanted = False
        self.loan = Loan(self.loop, lambda: self.wanted)
        self.loan.lay_down(self.loan)
        self.borrower = "away"  # then: leads, in a job, done
        self.lender = False
        self.jobs: list[object] = []
        self.given_back = False

    # -- the borrower

    @precondition(lambda self: self.borrower == "away")
    @rule()
    def begin(self) -> None:
        self.borrower = "leads" if self.loan.begin() else "done"
        assert (self.borrower == "leads") is not self.lender

    @precondition(lambda self: self.borrower == "leads")
    @rule()
    def turn(self) -> None:
        goes_on = self.loan.turn(0)
        if not goes_on:
            assert self.wanted or self.loan._recalled
            self.give_back(None)

    @precondition(lambda self: self.borrower == "leads")
    @rule()
    def begin_a_job(self) -> None:
        self.jobs.append(object())
        self.loan.lay_down(self.jobs[-1])
        self.borrower = "in a job"
        asleep = not self.loan._watched and self.loan._alarm.locked()
        assert not asleep, "nobody would notice if this one blocked"

    @precondition(lambda self: self.borrower == "in a job")
    @rule()
    def end_a_job(self) -> None:
        back = self.loan.take_up() is not None
        assert back is not self.lender
        self.borrower = "leads" if back else "done"

    @precondition(lambda self: self.borrower == "leads")
    @rule(error=st.sampled_from([None, ZeroDivisionError()]))
    def give_back(self, error: BaseException | None) -> None:
        self.loan.give_back(error)
        self.borrower, self.given_back = "done", True
        assert not self.loan._alarm.locked(), "the lender is woken"

    # -- the lender

    @precondition(lambda self: not self.lender)
    @rule()
    def look(self) -> None:
        free = self.borrower != "leads"
        self.lender = self.loan.is_back()
        assert self.lender is (free and (self.wanted or self.given_back or self.loan._recalled))

    @precondition(lambda self: not self.lender)
    @rule()
    def tick(self) -> None:
        before = self.loan._job
        woken = not self.loan._alarm.locked()
        if woken:
            self.loan._alarm.acquire()
            self.loan._watched = True
            return
        self.lender = self.loan.is_stuck()
        if self.lender:
            assert self.borrower in ("in a job", "away", "done")
            assert before is not None  # it was at the same job a tick ago
        if not self.loan._watched:
            assert self.borrower != "in a job"

    @precondition(lambda self: not self.lender)
    @rule()
    def recall(self) -> None:
        self.loan.recall()

    @rule()
    def want(self) -> None:
        self.wanted = True

    # -- always

    @invariant()
    def one_has_it(self) -> None:
        holders = [self.borrower == "leads", self.lender, bool(self.loop.lead.table)]
        assert holders.count(True) == 1, (self.borrower, self.lender, self.loop.lead.table)
        assert self.loop.running
        assert self.loop.leads() is not bool(self.loop.lead.table)  # one thread plays both

    def teardown(self) -> None:
        if self.borrower == "leads":
            self.loan.give_back()
        if not self.lender:
            assert self.loop.lead.take_up(self.loan, self.loan._note)
        self.context.__exit__(None, None, None)
        self.loan.close()
        self.loop.close()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_any_order_of_steps(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Meter, "share", lambda self: share)
    monkeypatch.setattr("reactor.loan.CALM", 1)
    run_state_machine_as_test(Leading, settings=settings(max_examples=150, stateful_step_count=30))
