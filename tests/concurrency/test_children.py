"""Children: every child is found, by whatever way, exactly once; nobody else's child is touched."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from strategies import children
from strategies.children import LOST, Children
from tests.contract.fakes import FakeHost, Gate
from tests.leaks import open_descriptors
from tests.serving import DEADLINE


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    with FakeHost() as host:
        monkeypatch.setattr(children, "time", host.time)
        yield host


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


class Ended:
    """Spawns, and remembers who was reaped with which status."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.children = Children()
        self.statuses: dict[int, int] = {}

    def spawn(self, body: Callable[[], object] = lambda: None) -> int:
        return self.children.spawn(self.host, body, self._gone)

    def _gone(self, pid: int, status: int) -> None:
        assert pid not in self.statuses, "reaped twice"
        assert pid not in self.children.pids
        self.statuses[pid] = status

    def status(self, pid: int) -> int:
        """A pipe may be at its end a moment before the child is: then a look by the clock is due."""
        self.host.until(lambda: pid in self.statuses or self.looked_at_by_clock(pid), f"child {pid}")
        return self.statuses[pid] if pid in self.statuses else self.by_clock(pid)

    def looked_at_by_clock(self, pid: int) -> bool:
        return pid in self.children._live and self.children._live[pid][-1] < 0

    def by_clock(self, pid: int) -> int:
        """The same for a child that has no descriptor: time passes until it is looked at."""
        while pid not in self.statuses:
            with contextlib.suppress(ChildProcessError):  # it has been stolen
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has been told
            assert self.host.due
            self.host.advance(children.POLL)
        return self.statuses[pid]


@pytest.fixture
def ended(host: FakeHost) -> Ended:
    return Ended(host)


def exiting(code: Any) -> Callable[[], object]:
    def body() -> None:
        raise SystemExit(code)

    return body


def killing(number: int) -> Callable[[], object]:
    def body() -> None:
        os.kill(os.getpid(), number)
        select.select([], [], [], DEADLINE)

    return body


@pytest.fixture
def no_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)


@pytest.mark.parametrize("way", ["pidfd", "pipe"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (lambda: None, 0),
        (exiting(None), 0),
        (exiting(7), 7),
        (exiting("a word"), 1),
        (killing(signal.SIGKILL), -signal.SIGKILL),
        (killing(signal.SIGTERM), -signal.SIGTERM),
        (killing(signal.SIGHUP), -signal.SIGHUP),
    ],
    ids=["returns", "exits", "exits with 7", "exits with a word", "KILL", "TERM", "HUP"],
)
def test_reaped_at_once_with_its_status(
    body: Callable[[], object], status: int, way: str, host: FakeHost, ended: Ended, request: pytest.FixtureRequest
):
    if way == "pipe":
        request.getfixturevalue("no_pidfd")
    pid = ended.spawn(body)
    assert ended.children.pids == {pid}
    assert ended.status(pid) == status
    if way == "pidfd":
        assert host.now == 1000.0  # by its descriptor, and not by the clock
    assert not host.due
    assert not host.watched
    assert len(ended.children) == 0
    assert status != LOST


def test_an_exception_is_printed_and_ends_the_child(ended: Ended, capfd: pytest.CaptureFixture[str]):
    def body() -> None:
        raise ZeroDivisionError("in the child")

    assert ended.status(ended.spawn(body)) == 1
    assert "ZeroDivisionError: in the child" in capfd.readouterr().err


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOSYS, errno.ESRCH])
def test_no_pidfd_to_be_had(error: int, host: FakeHost, ended: Ended, monkeypatch: pytest.MonkeyPatch):
    def refuse(pid: int) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    pid = ended.spawn()
    assert not host.watched
    assert ended.by_clock(pid) == 0
    assert not host.due


def test_no_room_in_the_selector(host: FakeHost, ended: Ended, monkeypatch: pytest.MonkeyPatch):
    def refuse(fd: int, callback: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(host, "watch", refuse)
    before = open_descriptors()
    pid = ended.spawn()
    assert open_descriptors() == before
    assert ended.by_clock(pid) == 0


def test_no_pipe_to_be_had(ended: Ended, no_pidfd: None, monkeypatch: pytest.MonkeyPatch):
    def refuse() -> None:
        raise OSError(errno.EMFILE, "none left")

    monkeypatch.setattr(os, "pipe", refuse)
    with pytest.raises(OSError, match="none left"):
        ended.spawn()


@pytest.mark.parametrize("way", ["pidfd", "pipe"])
def test_no_process_to_be_had(
    way: str, host: FakeHost, ended: Ended, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    if way == "pipe":
        request.getfixturevalue("no_pidfd")

    def refuse() -> int:
        raise OSError(errno.EAGAIN, "no process")

    monkeypatch.setattr(os, "fork", refuse)
    before, mask = open_descriptors(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(OSError, match="no process"):
        ended.spawn()
    assert open_descriptors() == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert not host.watched
    assert not ended.children.pids


@pytest.mark.parametrize("way", ["pidfd", "pipe"])
def test_stolen_by_somebody_else(way: str, ended: Ended, request: pytest.FixtureRequest):
    if way == "pipe":
        request.getfixturevalue("no_pidfd")
    pid = ended.spawn()
    os.waitpid(pid, 0)
    assert ended.status(pid) == LOST


def test_stolen_by_a_system_that_keeps_no_children(ended: Ended):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert ended.status(ended.spawn()) == LOST
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("way", ["pidfd", "pipe"])
def test_a_foreign_child_is_left_alone(
    way: str, host: FakeHost, ended: Ended, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    if way == "pipe":
        request.getfixturevalue("no_pidfd")
    waitpid = os.waitpid

    def waits_for_its_own(pid: int, flags: int) -> tuple[int, int]:
        assert pid in ended.children.pids or pid == foreign.pid
        return waitpid(pid, flags)

    monkeypatch.setattr(os, "waitpid", waits_for_its_own)
    with subprocess.Popen([sys.executable, "-S", "-E", "-c", "raise SystemExit(5)"]) as foreign:
        os.waitid(os.P_PID, foreign.pid, os.WEXITED | os.WNOWAIT)
        assert ended.status(ended.spawn()) == 0
        host.settle_down()
        assert foreign.wait(DEADLINE) == 5


def test_many_at_a_time(host: FakeHost, ended: Ended, gate: Gate):
    pids = [ended.spawn(gate) for _ in range(8)]
    gate.wait_came(8)
    gate.release_all()
    host.until(lambda: len(ended.statuses) == 8, "all of them")
    assert set(ended.statuses) == set(pids)


# -- what the child is


def told_by_child(ended: Ended, tell: Callable[[], str]) -> str:
    """What ``tell()`` says in a child."""
    reading, writing = os.pipe()
    try:
        pid = ended.spawn(lambda: os.write(writing, tell().encode()))
        os.close(writing)
        writing = -1
        assert ended.status(pid) == 0
        return os.read(reading, 65536).decode()
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_siblings_descriptors_are_closed(ended: Ended, gate: Gate):
    for _ in range(3):
        ended.spawn(gate)

    def tell() -> str:
        ended.children.abandon()
        return " ".join(os.readlink(f"/proc/self/fd/{fd}") for fd in ended_fds if os.path.exists(f"/proc/self/fd/{fd}"))

    ended_fds = [sentinel for *_, sentinel in ended.children._live.values()]
    assert len(ended_fds) == 3
    assert told_by_child(ended, tell) == ""
    gate.release_all()
    ended.host.until(lambda: not ended.children.pids, "the end of all")


def test_handlers_of_signals_are_the_parents(ended: Ended):
    def handler(number: int, frame: object) -> None:
        raise AssertionError("ran in the child")

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)}
    wakeup_reading, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    old = signal.set_wakeup_fd(wakeup)
    try:
        told = told_by_child(
            ended,
            lambda: " ".join(
                [
                    *(signal.Handlers(signal.getsignal(number)).name for number in (*before, signal.SIGINT)),
                    str(signal.set_wakeup_fd(-1)),
                    str(len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
                ]
            ),
        )
        assert told == "SIG_DFL SIG_DFL SIG_DFL SIG_IGN -1 0"
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.set_wakeup_fd(old)
        for number, previous in before.items():
            signal.signal(number, previous)
        os.close(wakeup_reading)
        os.close(wakeup)


@pytest.mark.parametrize("mine", [True, False], ids=["to the child", "to the parent"])
def test_a_signal_round_the_fork_is_not_lost(mine: bool, ended: Ended, monkeypatch: pytest.MonkeyPatch):
    """Raced: TERM, and the moment between the fork and the child's own handlers."""
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(os.getpid()))
    fork = os.fork

    def fork_and_signal() -> int:
        pid = fork()
        if pid == 0 if mine else pid != 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return pid

    monkeypatch.setattr(os, "fork", fork_and_signal)
    try:
        status = ended.status(ended.spawn())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert status == (-signal.SIGTERM if mine else 0)
    assert got == ([] if mine else [os.getpid()])


def test_a_handler_that_raises_round_the_fork(ended: Ended, monkeypatch: pytest.MonkeyPatch):
    """Ctrl-C as the mask is changed: no signal stays blocked, and the child that there is has an owner."""

    def handler(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    fork = os.fork

    def fork_and_interrupt() -> int:
        pid = fork()
        if pid:
            os.kill(os.getpid(), signal.SIGINT)
        return pid

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    monkeypatch.setattr(os, "fork", fork_and_interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            ended.spawn()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    finally:
        signal.signal(signal.SIGINT, before)
    (pid,) = ended.children.pids
    assert ended.status(pid) == 0


def test_a_handler_that_raises_as_signals_are_blocked(ended: Ended, monkeypatch: pytest.MonkeyPatch):
    real = children.plain.pthread_sigmask

    def interrupted(how: int, mask: Any) -> Any:
        answer = real(how, mask)
        if how == signal.SIG_BLOCK and mask:
            raise KeyboardInterrupt  # as CPython does: the mask is changed, and nothing returned
        return answer

    mask = real(signal.SIG_BLOCK, ())
    monkeypatch.setattr(children, "sigmask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ended.spawn()
    assert real(signal.SIG_BLOCK, ()) == mask
    assert not ended.children.pids


def test_what_was_printed_before_is_printed_once(tmp_path: Path):
    """In a process of its own: pytest's capturing would stand between."""
    program = """
import os, sys
from strategies.children import Children
class Host:
    def watch(self, fd, callback):
        import select
        self.fd, self.callback = fd, callback
        return lambda: None
sys.stdout.write("before ")
sys.stderr.write("error ")
host = Host()
Children().spawn(host, lambda: print("child", end=" "), lambda pid, status: sys.stdout.write(str(status)))
import select
select.select([host.fd], [], [])
host.callback()
"""
    out = tmp_path / "out"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with out.open("w") as file:
        command = [sys.executable, "-c", program]
        subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=buffered, timeout=DEADLINE, check=True)
    words = out.read_text().split()
    assert sorted(words) == sorted(["before", "error", "child", "0"])


def test_a_closed_stdout_does_no_harm(ended: Ended, monkeypatch: pytest.MonkeyPatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", None)
    assert ended.status(ended.spawn()) == 0


# -- threads beside


@contextlib.contextmanager
def thread_named(name: str) -> Iterator[None]:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(DEADLINE,), name=name)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_fork_beside_threads_warns_once_by_name(ended: Ended):
    with thread_named("one"), thread_named("two"):
        with pytest.warns(RuntimeWarning, match=r"^forking beside running threads: one, two\.") as caught:
            first, second = ended.spawn(), ended.spawn()
        assert len(caught) == 1
        assert ended.status(first) == ended.status(second) == 0


def test_no_thread_no_warning(ended: Ended):
    with thread_named("gone"):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ended.status(ended.spawn()) == 0


def test_a_fork_on_another_thread_names_the_main_one(host: FakeHost):
    """It is alive, may hold any lock, and will not be there in the child."""
    messages: list[str] = []
    statuses: list[int] = []

    def forked_on(own: FakeHost) -> int:
        ended = Ended(own)
        return ended.status(ended.spawn())

    def fork() -> None:
        with FakeHost() as own, pytest.warns(RuntimeWarning) as caught:
            statuses.append(forked_on(own))
        messages.extend(str(warning.message) for warning in caught)

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join(DEADLINE)
    assert statuses == [0]
    assert len(messages) == 1
    assert "MainThread" in messages[0]


# -- ending them


@pytest.mark.parametrize("way", ["pidfd", "pipe"])
def test_cut_is_term_then_kill(
    way: str, host: FakeHost, ended: Ended, gate: Gate, request: pytest.FixtureRequest
):
    if way == "pipe":
        request.getfixturevalue("no_pidfd")

    def stubborn() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        gate()

    soft, hard = ended.spawn(gate), ended.spawn(stubborn)
    gate.wait_came(2)
    ended.children.cut(host)
    assert ended.status(soft) == -signal.SIGTERM
    later = ended.spawn(gate)  # comes after, and is not meant
    gate.wait_came()
    assert hard not in ended.statuses
    host.advance(children.GRACE)
    assert ended.status(hard) == -signal.SIGKILL
    assert later not in ended.statuses
    gate.release_all()
    assert ended.status(later) == 0


def test_cut_of_nobody_leaves_no_timer(host: FakeHost, ended: Ended):
    ended.children.cut(host)
    assert not host.due


def test_descriptors_are_given_back(host: FakeHost, ended: Ended, no_pidfd: None):
    before = open_descriptors()
    for _ in range(5):
        assert ended.status(ended.spawn()) == 0
    assert open_descriptors() == before
