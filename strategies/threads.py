"""ThreadPool: jobs wait in one bounded queue for a thread, or one of the threads turns the loop and runs them itself.

The second is the quicker by far while handlers do not block.  So a thread with nothing to do is lent the lead of the
loop (see ``strategies.leader``); when a handler of its blocks, the lead is taken back, and for a while all goes the
plain way, by the queue.

Who may run when.  The loop's thread submits; workers take.  All counters change under one lock, which is held for a
few bytecodes and never while a job runs.  ``has_room()`` decides and promises in the same critical section, so a worker
that frees a place either is seen by it or sees the promise and tells the endpoints.
"""

from __future__ import annotations

import functools
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from strategies.arguments import count, seconds
from strategies.contract import Endpoint, Host, Job, Loan, Saturated, Strategy
from strategies.leader import Leader
from strategies.log import Log
from strategies.shortage import SHORT, Shortage

log = Log("strategies")

PLAIN = 0.5  # seconds that all goes by the queue, after a handler has blocked a leader, or none was let; arbitrary
Work = Job | Leader


class ThreadPool(Strategy):
    """Jobs on at most ``max_threads`` threads, which are started on demand and leave when idle.

    max_threads   threads at most
    min_threads   threads that are started at once and stay
    queue         jobs that may wait for a thread; when they do, the listener leaves the selector and the kernel's
                  backlog holds the rest
    idle_timeout  seconds after which a thread beyond ``min_threads`` with nothing to do leaves, twice as many where it
                  turned the loop last; ``math.inf``: never

    A job that raises a BaseException (SystemExit, say) ends its thread: that is logged, and the thread replaced.
    Raises ValueError for numbers that make no pool, TypeError for what is no number.
    """

    def __init__(
        self, max_threads: int = 8, min_threads: int = 0, queue: int = 64, idle_timeout: float = 10.0
    ) -> None:
        self.max_threads = count("max_threads", max_threads, 1, "a pool needs at least 1 thread")
        self.min_threads = count("min_threads", min_threads, 0, "choose from 0 to max_threads", self.max_threads)
        self.queue = count("queue", queue, 0, "the number of jobs that may wait is 0 or more")
        self.idle_timeout = seconds(
            "idle_timeout", idle_timeout, "the seconds an idle thread stays are more than 0", zero=False
        )
        self._names = itertools.count(1)
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._jobs = _Queue()
        self._threads: set[threading.Thread] = set()
        self._idle = 0  # threads that wait for a job, or are on their way to
        self._waiting = 0  # jobs handed in that no thread has taken
        self._promised = False  # we said that there is no room: a room() is owed
        self._leading = False  # whether a thread of ours has the lead, or is about to
        self._leader: Leader | None = None
        self._led: deque[Job] = deque()  # what is for that thread alone; it belongs to whoever has the lead
        self._plain_until = 0.0
        self._shortage = Shortage("threads", self._ask_again)
        self._ending: Callable[[], object] | None = None
        self._joining: set[threading.Thread] = set()  # who is there at the end

    def open(self, host: Host, endpoints: Sequence[Endpoint]) -> None:
        if self._jobs.closed:
            raise RuntimeError(f"{self!r} is still closing; open it again when server_close() has returned")
        super().open(host, endpoints)
        with self._lock:
            self._start_missing()

    def has_room(self) -> bool:
        # Without the lock: only this thread adds to those that wait, so a place that is seen stays.
        if self._waiting + len(self._led) < self.queue and self._shortage.supply is not SHORT:
            return True
        with self._lock:
            if self._takes():
                return True
            self._promised = True
            return False

    def _takes(self) -> bool:
        if self._shortage.waits and not self._threads:
            return False
        spare = self.max_threads - len(self._threads)
        free = self._idle + spare + (self._leader is not None and self._leader.free)
        return self._waiting + len(self._led) < free + self.queue

    def submit(self, job: Job) -> None:
        if self._leading and self._waiting + len(self._led) < self.queue:
            self._led.append(job)
            return
        with self._lock:
            if self._jobs.closed:
                raise RuntimeError(f"{self!r} is closing, and takes no more jobs")
            if not self._takes():
                self._promised = True
                raise Saturated
            if self._leading or self._is_lent():
                self._led.append(job)
                return
            short = self._waiting >= self._idle and len(self._threads) < self.max_threads
            if short and not self._start() and not self._threads:
                raise Saturated
            # In this order: a Ctrl-C between the two leaves a job uncounted, never a count without a job, for which
            # threads would be started for ever.
            self._jobs.put(job)
            self._waiting += 1

    def _is_lent(self) -> bool:
        """Under the lock.  Whether a thread that is idle may have the lead from now on."""
        if self._idle <= self._waiting or self.host is None or time.monotonic() < self._plain_until:
            return False
        if type(self).submit is not ThreadPool.submit or type(self).has_room is not ThreadPool.has_room:
            return False  # a subclass's run on the loop's thread, which they may lean on
        self._leading = self.host.lend(self)
        if not self._leading:
            self._plain_until = time.monotonic() + PLAIN
        return self._leading

    def lead(self, loan: Loan) -> None:
        leader = Leader(loan, self._led, self._patience, self._tell_promised)
        with self._lock:
            self._leader = leader
            self._jobs.put(leader)
            self._waiting += 1
            self._start_missing()  # the idle one may have left meanwhile

    def lead_is_back(self) -> None:
        with self._lock:
            if self._leader is None or not self._leader.is_done:
                self._plain_until = time.monotonic() + PLAIN
            self._leading, self._leader = False, None
            while self._led:
                self._jobs.put(self._led.popleft())
                self._waiting += 1
            self._start_missing()

    def _tell_promised(self) -> None:
        """Worker thread.  The leader has done all its jobs."""
        if self._promised:
            with self._lock:
                owed = self._owed()
            if owed:
                self.tell_room()

    def _patience(self) -> float | None:
        """Any thread of ours.  Seconds that one may be idle; None: for ever."""
        return self.idle_timeout if len(self._threads) > self.min_threads else None

    def _start(self) -> bool:
        """Start one thread, under the lock.  False when the system has none left; then it is asked again later."""
        thread = threading.Thread(target=self._work, name=f"ThreadPool-{next(self._names)}", daemon=True)
        self._threads.add(thread)  # before it runs: it looks how many there are, to know whether it may leave
        self._idle += 1
        try:
            thread.start()
        except RuntimeError as error:
            self._threads.discard(thread)
            self._idle -= 1
            self._shortage.refused(self, self.host, error, len(self._threads))
            return False
        self._shortage.given()
        if self._jobs.closed:
            self._joining.add(thread)
        return True

    def _start_missing(self) -> None:
        """Under the lock: as many as have to be there, and one for each job that nobody is about to take."""
        while self._missing() and self._start():
            pass

    def _missing(self) -> bool:
        if self._waiting > self._idle:
            return len(self._threads) < self.max_threads
        return len(self._threads) < self.min_threads and not self._jobs.closed

    def _ask_again(self) -> None:
        """Loop thread.  The system had no thread to give, a while ago: is there one now?"""
        with self._lock:
            self._start_missing()
        self._room()

    def _work(self) -> None:
        """Worker thread."""
        me = threading.current_thread()
        try:
            job = self._next(me)
            while job is not None:
                job.run()
                del job  # an idle thread keeps no connection alive
                job = self._at_once() or self._next_after_rest(me)
        except BaseException as error:
            log.error("%s was ended by %r and is replaced", me.name, error, exc_info=error)
        finally:
            self._leave(me)

    def _at_once(self) -> Work | None:
        """A job that waits already: this thread does not become idle between the two."""
        job = self._jobs.get_waiting()
        if job is not None:
            with self._lock:
                self._waiting -= 1
                owed = self._owed()
            if owed:
                self.tell_room()
        return job

    def _next_after_rest(self, me: threading.Thread) -> Work | None:
        with self._lock:
            self._idle += 1
            owed = self._owed()
        if owed:
            self.tell_room()
        return self._next(me)

    def _next(self, me: threading.Thread) -> Work | None:
        """The next job, or None when this thread is to leave (it is out of the counters then)."""
        while True:
            patience = self._patience()
            try:
                # At most three centuries at a time, which is what a lock can wait.
                job = self._jobs.get(None if patience is None else min(patience, threading.TIMEOUT_MAX))
            except queue.Empty:
                with self._lock:
                    # A job may have been counted on this thread meanwhile; and at the end all leave by the same door.
                    spare = self._waiting < self._idle and len(self._threads) > self.min_threads
                    if spare and not self._jobs.closed:
                        self._idle -= 1
                        self._threads.discard(me)  # in one step with the above: a place for another thread
                        return None
                continue
            with self._lock:
                self._idle -= 1
                if job is None:
                    self._threads.discard(me)
                    return None
                self._waiting -= 1
                owed = self._owed()
            if owed:
                self.tell_room()
            return job

    def _owed(self) -> bool:
        """Whether a promised room() has come due, under the lock.  Half the queue empty: one wake-up, many places."""
        if self._promised and self._waiting + len(self._led) <= self.queue // 2 and self._takes():
            self._promised = False
            return True
        return False

    def _leave(self, me: threading.Thread) -> None:
        with self._lock:
            self._threads.discard(me)
            self._start_missing()
            owed = self._owed()
            ending = self._take_ending()
            host = self.host
        if owed:
            self.tell_room()
        if ending is not None and host is not None:
            host.post(ending)  # the last act of the last thread

    def _take_ending(self) -> Callable[[], object] | None:
        """Under the lock: what is to be called now that all is over, once; None when it is not."""
        if self._ending is None or self._threads or self._waiting > 0:
            return None
        ending, self._ending = self._ending, None
        return ending

    def end(self, done: Callable[[], object]) -> None:
        with self._lock:
            self._joining = set(self._threads)
            self._ending = functools.partial(self._end_of, done)
            self._jobs.close()
            ending = self._take_ending()
        if ending is not None:
            ending()

    def _end_of(self, done: Callable[[], object]) -> None:
        for thread in self._joining:
            thread.join()  # all have left the pool; what is left of them is a few bytecodes
        self._shortage.forget()
        self._reset()
        done()

    def cut(self) -> Sequence[Job]:
        with self._lock:
            taken = self._jobs.take_all()
            self._waiting -= len(taken)
            begun_never = [job for job in taken if not isinstance(job, Leader)]
            while self._led:
                begun_never.append(self._led.popleft())
            owed = self._owed()
            ending = self._take_ending()
            host = self.host
        if owed:
            self.tell_room()
        if ending is not None and host is not None:
            host.post(ending)
        return begun_never

    def abandon(self) -> None:
        super().abandon()
        self._lock = threading.Lock()  # a thread of the parent's may have held it
        self._reset()

    def __repr__(self) -> str:
        return f"ThreadPool(max_threads={self.max_threads}, min_threads={self.min_threads}, queue={self.queue})"


class _Queue:
    """A queue of jobs that can be closed: every thread then gets None, after the jobs before it."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self.closed = False
        self.put = self._items.put

    def get(self, timeout: float | None) -> Work | None:
        """The next job; None when closed.  Raises queue.Empty after ``timeout`` seconds."""
        job = self._items.get(timeout=timeout)
        if job is None:
            self._items.put(None)  # for the next one
        return job

    def get_waiting(self) -> Work | None:
        """A job that is there already, or None."""
        items = self._items
        if items.qsize():
            try:
                job = items.get_nowait()
            except queue.Empty:  # another thread was quicker
                return None
            if job is not None:
                return job
            items.put(None)
        return None

    def close(self) -> None:
        self.closed = True
        self._items.put(None)

    def take_all(self) -> list[Work]:
        """Remove and return the jobs that nobody has taken."""
        jobs: list[Work] = []
        while True:
            try:
                job = self._items.get_nowait()
            except queue.Empty:
                return jobs
            if job is None:  # the last there is
                self._items.put(None)
                return jobs
            jobs.append(job)
