"""Children: fork, one descriptor in the loop for each child, reap by pid; TERM, then KILL.

What a fork copies is the hard part, so every rule about it stands here.

* Signals are blocked from before the fork until the child has put its handlers back.  Otherwise a signal meant for the
  child could run the parent's handler in it, and be lost.
* A child takes TERM and the rest at their defaults, and ignores INT: a Ctrl-C goes to the whole terminal, and it is the
  parent who decides how its children end.
* What the standard streams hold is flushed before, so that no child prints it again.
* A child never returns to its parent's frames: it ends in ``os._exit()``, whatever happens.
* What a child touches it copies, a page at a time, at some microseconds each; and so does the parent after the fork.  A
  function is two pages, an attribute that is looked up for the first time up to three.  So both do little here, by few
  functions, and nothing is cleared or freed in a child that the end of the process will free.
* Children are found by their own descriptor and waited for by their own pid.  ``waitpid(-1)`` would steal the children
  of subprocess, multiprocessing and the user.  Where somebody else has stolen ours, the child counts as gone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
import warnings
from _thread import _count as threads
from collections.abc import Callable
from typing import Any, NoReturn

from strategies.contract import Host, Undo
from strategies.log import Log

# CPython's own half of the signal module: the same calls, without making enum members of all that they return.
plain: Any = sys.modules.get("_signal", signal)

# What a child calls, found beforehand: see above.
getsignal, set_signal, set_wakeup_fd = plain.getsignal, plain.signal, plain.set_wakeup_fd
sigmask, SIG_BLOCK, SIG_SETMASK = plain.pthread_sigmask, plain.SIG_BLOCK, plain.SIG_SETMASK
SIG_DFL, SIG_IGN = plain.SIG_DFL, plain.SIG_IGN
close, end_process = os.close, os._exit

log = Log("strategies")

GRACE = 1.0  # seconds between TERM and KILL, when a child is cut
POLL = 0.02  # seconds between two looks at a child that has no descriptor, or whose descriptor came too early
LOST = -1000  # the status of a child that somebody else has waited for: no signal has that number

#: What a program may have a handler for: blocked round a fork.  No more than 18: from there on the set that each
#: change of the mask returns takes memory from the heap, and a dozen pages with it.
CAUGHT = tuple(
    int(number)
    for name in "HUP INT QUIT TERM USR1 USR2 ALRM VTALRM PROF CHLD CONT TSTP TTIN TTOU WINCH IO XCPU XFSZ".split()
    if (number := getattr(signal, f"SIG{name}", None)) is not None
)

#: What is put back to its default in the child: SIGPWR, too, which hardly anybody has a handler for.
RESET = (*CAUGHT, *([int(signal.SIGPWR)] if hasattr(signal, "SIGPWR") else []))

SIGINT = int(signal.SIGINT)

Gone = Callable[..., object]


class Children:
    """The live children of one strategy.  Loop thread.

    pids     the live children
    spawned  how many there have been
    """

    def __init__(self) -> None:
        self.pids: set[int] = set()
        self.spawned = 0
        # By pid: what is called when it has gone, and with what; how to look after it no more; its descriptor, or -1.
        self._live: dict[int, tuple[Gone, tuple[Any, ...], Undo | None, int]] = {}
        self._parents: object = None
        self._warned = False

    def __len__(self) -> int:
        return len(self._live)

    def spawn(self, host: Host, body: Callable[..., object], gone: Gone, *args: Any) -> int:
        """Fork a child that runs ``body(*args)`` and exits; ``gone(*args, pid, status)`` is called once it was reaped.

        ``status`` is what ``os.waitstatus_to_exitcode()`` makes of it: the exit code, or minus the signal's number.
        Raises OSError (EAGAIN, ENOMEM, EMFILE) when there is no process or descriptor to be had; nothing is left then.
        """
        threaded = threads() > 0 and self._warn_of_threads()
        _flush()
        # Changing the mask runs the handlers of signals that have come, and a handler may raise (Ctrl-C): so the old
        # mask is known before, and put back when the child is on the books.
        mask = sigmask(SIG_BLOCK, ())
        try:
            sigmask(SIG_BLOCK, CAUGHT)
            pidfd = hasattr(os, "pidfd_open")
            sentinel, writing = (-1, -1) if pidfd else os.pipe()
            try:
                pid = _fork_quietly() if threaded else os.fork()
                if pid == 0:
                    _child(body, args, mask, sentinel)
            except BaseException:
                if not pidfd:
                    os.close(sentinel)
                    os.close(writing)
                raise
            self.pids.add(pid)
            self.spawned += 1
            self._live[pid] = gone, args, None, -1
            if not pidfd:
                os.close(writing)
            try:
                if pidfd:
                    sentinel = os.pidfd_open(pid)
                undo = host.watch(sentinel, functools.partial(self._ended, host, pid))
                self._live[pid] = gone, args, undo, sentinel
            except OSError:  # no descriptor left, or no room in the selector: this child is looked after by the clock
                if sentinel >= 0:
                    os.close(sentinel)
                self._look_again(host, pid)
        finally:
            sigmask(SIG_SETMASK, mask)
        return pid

    def _ended(self, host: Host, pid: int) -> None:
        """Loop thread.  The sentinel of a child has become readable."""
        if not self._reap(pid):
            _, _, undo, sentinel = self._live[pid]
            _let_go(undo, sentinel)
            self._look_again(host, pid)

    def _look_again(self, host: Host, pid: int) -> None:
        def look() -> None:
            if not self._reap(pid):
                self._look_again(host, pid)

        gone, args, _, _ = self._live[pid]
        self._live[pid] = gone, args, host.call_at(time.monotonic() + POLL, look), -1

    def collect(self, *, blocking: bool = False) -> None:
        """Reap those that have ended; with ``blocking``, wait until all have."""
        for pid in tuple(self._live):
            self._reap(pid, 0 if blocking else os.WNOHANG)

    def disown(self) -> None:
        """Look after the live ones no more."""
        for _, _, undo, sentinel in self._live.values():
            _let_go(undo, sentinel)
        self._live.clear()
        self.pids.clear()

    def _reap(self, pid: int, flags: int = os.WNOHANG) -> bool:
        try:
            found, status = os.waitpid(pid, flags)
        except ChildProcessError:
            code = LOST
        else:
            if found == 0:
                return False
            code = os.waitstatus_to_exitcode(status)
        gone, args, undo, sentinel = self._live.pop(pid)
        self.pids.discard(pid)
        if undo is not None:  # as in _let_go(), which would be two more pages for each child
            undo()
        if sentinel >= 0:
            os.close(sentinel)
        gone(*args, pid, code)
        return True

    def abandon(self) -> None:
        """Forked child.  Close the copies of the sentinels of its siblings, which are not its own children."""
        for _, _, _, sentinel in self._live.values():
            if sentinel >= 0:
                os.close(sentinel)
        self._parents = self._live, self.pids  # kept: freeing them touches them all
        self._live, self.pids = {}, set()

    def signal(self, number: int) -> None:
        """Send a signal to every child.  None is missed, and no stranger hit: an unreaped pid is not given anew."""
        for pid in tuple(self._live):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def cut(self, host: Host, grace: float = GRACE) -> None:
        """TERM to all, and ``grace`` seconds later KILL to those that are still there."""
        self.signal(signal.SIGTERM)
        doomed = tuple(self._live)

        def kill() -> None:
            for pid in doomed:
                if pid in self._live:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

        if doomed:
            host.call_at(time.monotonic() + grace, kill)

    def _warn_of_threads(self) -> bool:
        threading = sys.modules.get("threading")
        if threading is None:  # they were started past it, and have no names
            return False
        me = threading.current_thread()
        others = [thread.name for thread in threading.enumerate() if thread is not me and thread.is_alive()]
        if others and not self._warned:
            self._warned = True
            warnings.warn(
                f"forking beside running threads: {', '.join(sorted(others))}.  Locks that they hold stay locked "
                "in the child; start process-making servers first, or use ThreadPool for this one",
                RuntimeWarning,
                stacklevel=2,
            )
        return bool(others)


def _let_go(undo: Undo | None, sentinel: int) -> None:
    """Loop thread.  A child is looked after no more, or in another way."""
    if undo is not None:
        undo()
    if sentinel >= 0:
        os.close(sentinel)


def _fork_quietly() -> int:
    """3.12 and later warn at each fork beside threads, without a name; we have warned, once, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _child(body: Callable[..., object], args: tuple[Any, ...], mask: set[int], sentinel: int) -> NoReturn:
    """Forked child: the third door behind which any exception is met, reported and ended."""
    code = 1
    try:
        if sentinel >= 0:
            close(sentinel)
        set_wakeup_fd(-1)
        for number in RESET:
            if callable(getsignal(number)):
                set_signal(number, SIG_DFL)
        set_signal(SIGINT, SIG_IGN)
        sigmask(SIG_SETMASK, mask)
        body(*args)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        log.error("child %d was ended by %r", os.getpid(), error)
    except BaseException:  # noqa: BLE001  # the third door
        with contextlib.suppress(Exception):
            print(f"child {os.getpid()} was ended by:", file=sys.stderr)
            import traceback

            traceback.print_exc()
    finally:
        _flush()
        end_process(code & 0xFF)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:  # what contextlib.suppress() touches is copied, too
            stream.flush()
        except Exception:  # noqa: BLE001  # a closed or broken stream has nothing to print twice
            pass
