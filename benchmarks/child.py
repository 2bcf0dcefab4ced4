"""A process the benchmarks started: its output lines with a deadline, its end by pid."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[1]


class Failed(Exception):
    """A server or load generator did not do its part; the message is one line for the user."""


class Child:
    """`python -m MODULE ARGUMENTS`, leader of a process group of its own.

    The group is how its children (forked workers) end with it; it holds nothing this object did not start.
    """

    def __init__(self, module: str, arguments: list[str]) -> None:
        self.name = " ".join([module.rpartition(".")[2], *arguments])
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed by end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=ROOT,
            start_new_session=True,
        )
        self._buffer = b""

    @property
    def pid(self) -> int:
        """Process id, not reused before `end` has returned."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Write one line to its standard input."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.name}: ended early{self._last_words()}") from None

    def read_line(self, timeout: float) -> str:
        """The next line of its standard output; Failed when it ends or `timeout` seconds pass before."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        fd = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise Failed(f"{self.name}: no answer within {timeout:.0f} s")
            data = os.read(fd, 65536)
            if not data:
                raise Failed(f"{self.name}: ended early{self._last_words()}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._stderr.seek(0)
        lines = self._stderr.read().strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def end(self) -> None:
        """Kill it and what it forked, and reap it: a measured object, nothing in it needs a graceful end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # not reaped yet, so the number still is its own
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end()
