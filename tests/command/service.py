"""A command that serves, in a process of its own: reads what it says, by a deadline, and ends it."""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 20.0  # seconds for anything; long for a loaded machine, short beside the test's timeout
REACTOR = str(Path(sysconfig.get_path("scripts")) / "reactor")
MODULE = (sys.executable, "-m", "reactor")

# A line comes back in capitals, and the connection is parked. After "wait" the handler is in the middle of a request
# until the next line.
WAITS = """
from handlers import CLOSE, PARK, TurnHandler

class Waits(TurnHandler):
    def handle(self):
        line = self.rfile.readline()
        if line == b"wait\\n":
            self.wfile.write(b"begun\\n")
            line = self.rfile.readline()
        if not line:
            return CLOSE
        self.wfile.write(line.upper())
        return PARK
"""


class Service:
    """A running ``reactor serve``: ``addresses`` has the lines that it printed, one for each ``--bind``.

    keep  descriptors that it inherits
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        command: Sequence[str] = MODULE,
        lines: int | None = None,
        keep: Sequence[int] = (),
    ) -> None:
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=keep,
        )
        self.folder = cwd
        self._read = b""
        try:
            wanted = (arguments.count("--bind") or 1) if lines is None else lines
            self.addresses = [self.line() for _ in range(wanted)]
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        """The next line of its standard output, as it comes."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._read:
                assert selector.select(max(0.0, deadline - time.monotonic())), "it says nothing"
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    _, errors = self.process.communicate(timeout=PATIENCE)
                    raise AssertionError(f"it ended with {self.process.returncode}: {errors.decode()}")
                self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def first_client(self, address: str) -> socket.socket:
        """A client of a service that does not say when it has begun."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                return connect(address, self.folder)
            except OSError:
                time.sleep(0.01)
        raise AssertionError(f"nobody answers at {address}; it has ended with {self.process.returncode}")

    def tell(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self) -> tuple[int, str]:
        """Wait until it has ended; its exit status, and what it said on standard error."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors.decode()

    def end(self) -> tuple[int, str]:
        self.tell()
        return self.ended()

    def connect(self, number: int = 0) -> socket.socket:
        """A client of the address in that line."""
        return connect(self.addresses[number], self.folder)


def connect(address: str, folder: Path | None = None) -> socket.socket:
    """A client's socket for an address as ``reactor serve`` writes it; a relative path is one in ``folder``."""
    word, _, rest = address.partition(":")
    kind = socket.SOCK_STREAM if word in ("tcp", "unix") else socket.SOCK_DGRAM
    if word in ("tcp", "udp"):
        match = re.fullmatch(r"//\[?([^]]*?)]?:(\d+)", rest)
        assert match is not None, address
        host, port = match.groups()
        client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        target: tuple[str, int] | str = (host, int(port))
    else:
        client = socket.socket(socket.AF_UNIX, kind)
        target = "\0" + rest[1:] if rest.startswith("@") else str((folder or Path()) / rest)
        if kind is socket.SOCK_DGRAM:
            client.bind("")  # a name of the kernel's choice, for the answer to go to
    try:
        client.settimeout(PATIENCE)
        client.connect(target)
    except BaseException:
        client.close()
        raise
    return client
