"""ThreadPerRequest: a fresh thread for each job, as the classic ThreadingMixIn promises."""

from __future__ import annotations

import itertools
import resource
import threading
from collections.abc import Callable

from strategies.arguments import count
from strategies.contract import Job, Saturated, Strategy
from strategies.log import Log
from strategies.shortage import Shortage

log = Log("strategies")


class ThreadPerRequest(Strategy):
    """A thread of its own for each job: no thread-local state survives a request.

    max_threads     threads at most; None takes the limit on open descriptors, which each connection needs one of
    daemon          True: closing the server, and leaving the program, do not wait for the threads
    block_on_close  False: closing the server does not wait for the others either

    An exception that ends a thread goes to ``threading.excepthook``, and, since that says nothing of SystemExit, that
    one is logged.  Raises ValueError for a ``max_threads`` below 1, TypeError for what is no whole number.
    """

    def __init__(self, max_threads: int | None = None, daemon: bool = False, block_on_close: bool = True) -> None:
        if max_threads is None:
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            max_threads = soft if 0 < soft < 1 << 20 else 1 << 20
        self.max_threads = count("max_threads", max_threads, 1, "at least 1 thread is needed")
        self.daemon = daemon
        self.block_on_close = block_on_close
        self.threads: set[threading.Thread] = set()
        self._names = itertools.count(1)
        self._lock = threading.Lock()
        self._promised = False
        self._shortage = Shortage("threads", self.tell_room)
        self._on_empty: Callable[[], object] | None = None

    @property
    def waits_on_close(self) -> bool:  # type: ignore[override]  # a fact of the threads, not a choice of its own
        return self.block_on_close and not self.daemon

    def has_room(self) -> bool:
        with self._lock:
            self._promised = len(self.threads) >= self.max_threads
            return not self._promised

    def submit(self, job: Job) -> None:
        with self._lock:
            if len(self.threads) >= self.max_threads:
                self._promised = True
                raise Saturated
            thread = threading.Thread(
                target=self._work, args=(job,), name=f"ThreadPerRequest-{next(self._names)}", daemon=self.daemon
            )
            self.threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            with self._lock:
                self.threads.discard(thread)
            self._shortage.refused(self, self.host, error, len(self.threads))
            raise Saturated from error
        self._shortage.given()

    def _work(self, job: Job) -> None:
        """Worker thread."""
        me = threading.current_thread()
        try:
            job.run()
        except SystemExit as error:
            log.error("%s was ended by %r", me.name, error, exc_info=error)
            raise
        finally:
            self._left(me)

    def _left(self, thread: threading.Thread) -> None:
        with self._lock:
            self.threads.discard(thread)
            owed, self._promised = self._promised, False
            on_empty = None
            if not self.threads:
                on_empty, self._on_empty = self._on_empty, None
        if owed:
            self.tell_room()
        if on_empty is not None and self.host is not None:
            self.host.post(on_empty)

    def end(self, done: Callable[[], object]) -> None:
        self._shortage.forget()
        if not self.waits_on_close:  # nobody waits for them
            done()
            return
        with self._lock:
            threads = tuple(self.threads)

            def ended() -> None:
                for thread in threads:
                    thread.join()  # all have done their jobs; what is left of them is a few bytecodes
                done()

            if threads:
                self._on_empty = ended
        if not threads:
            done()

    def abandon(self) -> None:
        super().abandon()
        self._lock = threading.Lock()
        self.threads = set()
        self._promised = False
        self._shortage = Shortage("threads", self.tell_room)
        self._on_empty = None

    def __repr__(self) -> str:
        return f"ThreadPerRequest(max_threads={self.max_threads}, daemon={self.daemon})"
