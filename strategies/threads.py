"""ThreadPool: jobs wait in one bounded queue for a thread.

Who may run when.  The loop's thread submits; workers take.  All counters change under one lock, which is held for a
few bytecodes and never while a job runs.  ``has_room()`` decides and promises in the same critical section, so a worker
that frees a place either is seen by it or sees the promise and tells the endpoints.
"""

from __future__ import annotations

import functools
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from strategies.contract import Endpoint, Host, Job, Saturated, Strategy

log = logging.getLogger("strategies")

RETRY = 0.1  # seconds until a thread that the system refused is asked for again; arbitrary


class ThreadPool(Strategy):
    """Jobs on at most ``max_threads`` threads, which are started on demand and leave when idle.

    max_threads   threads at most
    min_threads   threads that are started at once and stay
    queue         jobs that may wait for a thread; when they do, the listener leaves the selector and the kernel's
                  backlog holds the rest
    idle_timeout  seconds after which a thread beyond ``min_threads`` with nothing to do leaves

    A job that raises a BaseException (SystemExit, say) ends its thread: that is logged, and the thread replaced.
    Raises ValueError for numbers that make no pool.
    """

    def __init__(
        self, max_threads: int = 8, min_threads: int = 0, queue: int = 64, idle_timeout: float = 10.0
    ) -> None:
        if max_threads < 1:
            raise ValueError(f"max_threads={max_threads!r}: a pool needs at least 1 thread")
        if not 0 <= min_threads <= max_threads:
            raise ValueError(f"min_threads={min_threads!r}: choose from 0 to max_threads ({max_threads})")
        if queue < 0:
            raise ValueError(f"queue={queue!r}: the number of jobs that may wait is 0 or more")
        if not idle_timeout > 0:
            raise ValueError(f"idle_timeout={idle_timeout!r}: the seconds an idle thread stays are more than 0")
        self.max_threads = max_threads
        self.min_threads = min_threads
        self.queue = queue
        self.idle_timeout = idle_timeout
        self._names = itertools.count(1)
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._jobs = _Queue()
        self._threads: set[threading.Thread] = set()
        self._idle = 0  # threads that wait for a job, or are on their way to
        self._waiting = 0  # jobs handed in that no thread has taken
        self._promised = False  # has_room() said no: a room() is owed
        self._ended_callback: Callable[[], object] | None = None

    def open(self, host: Host, endpoints: Sequence[Endpoint]) -> None:
        if self._jobs.closed:
            raise RuntimeError(f"{self!r} is still closing; open it again when server_close() has returned")
        super().open(host, endpoints)
        with self._lock:
            while len(self._threads) < self.min_threads and self._start():
                pass

    def has_room(self) -> bool:
        with self._lock:
            if self._takes():
                return True
            self._promised = True
            return False

    def _takes(self) -> bool:
        spare = self.max_threads - len(self._threads)
        return self._waiting < self._idle + spare + self.queue

    def submit(self, job: Job) -> None:
        with self._lock:
            if not self._takes():  # has_room() said yes, and an idle thread has begun to leave since
                self._promised = True
                raise Saturated
            short = self._waiting >= self._idle and len(self._threads) < self.max_threads
            if short and not self._start() and not self._threads:
                self._promised = True
                raise Saturated
            self._waiting += 1
            self._jobs.put(job)

    def _start(self) -> bool:
        """Start one thread, under the lock.  False when the system has none left; then it is asked again later."""
        thread = threading.Thread(target=self._work, name=f"ThreadPool-{next(self._names)}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("%r: %s; going on with %d threads", self, error, len(self._threads))
            if self.host is not None and not self._threads:
                self.host.call_at(time.monotonic() + RETRY, self.tell_room)
            return False
        self._threads.add(thread)
        self._idle += 1
        return True

    def _work(self) -> None:
        """Worker thread."""
        me = threading.current_thread()
        try:
            while (job := self._next()) is not None:
                job.run()
                del job  # an idle thread keeps no connection alive
                with self._lock:
                    self._idle += 1
                    owed = self._owed()
                if owed:
                    self.tell_room()
        except BaseException as error:
            log.error("%s was ended by %r and is replaced", me.name, error, exc_info=error)
        finally:
            self._leave(me)

    def _next(self) -> Job | None:
        """The next job, or None when this thread is to leave (it is out of the counters then)."""
        while True:
            patience = self.idle_timeout if len(self._threads) > self.min_threads else None
            job = self._jobs.get(patience)
            with self._lock:
                if job is not None:
                    self._idle -= 1
                    self._waiting -= 1
                    return job
                if self._jobs.closed or (self._waiting < self._idle and len(self._threads) > self.min_threads):
                    self._idle -= 1
                    return None

    def _owed(self) -> bool:
        """Whether a promised room() has come due, under the lock.  Half the queue empty: one wake-up, many places."""
        if self._promised and self._waiting <= self.queue // 2 and self._takes():
            self._promised = False
            return True
        return False

    def _leave(self, me: threading.Thread) -> None:
        with self._lock:
            self._threads.discard(me)
            short = len(self._threads) < self.min_threads or self._waiting > self._idle
            if short and not self._jobs.closed:
                self._start()
            owed = self._owed()
            last = self._jobs.closed and not self._threads
            host, ended = self.host, self._ended_callback
        if owed:
            self.tell_room()
        if last and ended is not None and host is not None:
            host.post(ended)  # the last act of the last thread

    def end(self, done: Callable[[], object]) -> None:
        with self._lock:
            threads = tuple(self._threads)
            ended = functools.partial(self._end_of, threads, done)
            self._ended_callback = ended
            self._jobs.close(len(threads))
        if not threads:
            ended()

    def _end_of(self, threads: Sequence[threading.Thread], done: Callable[[], object]) -> None:
        for thread in threads:
            thread.join()  # all have left the pool; what is left of them is a few bytecodes
        self._reset()
        done()

    def cut(self) -> Sequence[Job]:
        with self._lock:
            begun_never = self._jobs.take_all()
            self._waiting -= len(begun_never)
        return begun_never

    def __repr__(self) -> str:
        return f"ThreadPool(max_threads={self.max_threads}, min_threads={self.min_threads}, queue={self.queue})"


class _Queue:
    """A queue of jobs that can be closed: each thread then gets None once, after the jobs before it."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.closed = False
        self.put = self._items.put

    def get(self, timeout: float | None) -> Job | None:
        """The next job; None after ``timeout`` seconds, or when closed."""
        try:
            return self._items.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self, takers: int) -> None:
        self.closed = True
        for _ in range(takers):
            self._items.put(None)

    def take_all(self) -> list[Job]:
        """Remove and return the jobs that nobody has taken."""
        jobs, ends = [], 0
        while True:
            try:
                job = self._items.get_nowait()
            except queue.Empty:
                break
            if job is None:
                ends += 1
            else:
                jobs.append(job)
        for _ in range(ends):
            self._items.put(None)
        return jobs
