"""Every strategy that there is keeps the contract."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from examples.own_strategy import OnExecutor
from strategies import ForkPerRequest, Inline, Job, Prefork, Saturated, Strategy, ThreadPerRequest, ThreadPool
from tests.contract.checks import CHECKS


class OneThread(Strategy):
    """A user's own, in twenty lines: one thread that starts with the first job, and room for one job at a time."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.busy = False

    def has_room(self) -> bool:
        return not self.busy

    def submit(self, job: Job) -> None:
        if self.busy:
            raise Saturated
        if self.thread is None:
            self.thread = threading.Thread(target=self.work)
            self.thread.start()
        self.busy = True
        self.inbox.put(job)

    def work(self) -> None:
        while (job := self.inbox.get()) is not None:
            try:
                job.run()
            except BaseException:
                self.thread = None  # the next job starts another
                raise
            finally:
                self.busy = False
                self.tell_room()

    def end(self, done: Callable[[], object]) -> None:
        if self.thread is None:
            done()
            return
        self.inbox.put(None)
        thread, self.thread = self.thread, None
        threading.Thread(target=self.wait_for, args=(thread, self.host, done)).start()

    def wait_for(self, thread, host, done) -> None:
        thread.join()
        host.post(done)

    def abandon(self) -> None:
        super().abandon()
        self.__init__()


OURS = [
    Inline,
    lambda: ThreadPool(1, queue=0),
    lambda: ThreadPool(1, queue=1),
    lambda: ThreadPool(2, queue=2),
    lambda: ThreadPool(3, min_threads=3, queue=0),
    lambda: ThreadPool(8, min_threads=1),
    lambda: ThreadPerRequest(1),
    lambda: ThreadPerRequest(3),
    lambda: ThreadPerRequest(),
    lambda: ThreadPerRequest(2, daemon=True),
    lambda: ForkPerRequest(1),
    lambda: ForkPerRequest(3),
    lambda: ForkPerRequest(),
    lambda: Prefork(2),
    lambda: Prefork(2, ThreadPool(2, queue=1)),
    OneThread,
    lambda: OnExecutor(2),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # a job that ends its thread
@pytest.mark.logs(
    r"child \d+ was killed by signal 15",  # by cut()
    r"^Thread\S+ was ended by SystemExit",
    "^a job ended with SystemExit",
    required=False,
)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("make", OURS, ids=lambda make: repr(make()) if make is not OneThread else "OneThread()")
def test_contract(make: Callable[[], Strategy], check: Callable[[Callable[[], Strategy]], None]):
    check(make)
