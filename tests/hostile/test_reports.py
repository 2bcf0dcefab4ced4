"""What has to be said does not end a server, however badly it can be said."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from handlers import BaseRequestHandler
from reactor import TCPServer
from strategies import Inline, Job
from tests.serving import DEADLINE, Serving

ROOT = str(Path(__file__).parents[2])
PROGRAM = """
import os, resource, sys
from reactor.server import attach
from handlers import BaseRequestHandler
from reactor import TCPServer
from strategies import Inline, ThreadPool

class Raises(BaseRequestHandler):
    def handle(self):
        raise ValueError("told")

server = TCPServer(("127.0.0.1", 0), Raises, strategy={strategy})
attach(server)
assert not {{"logging", "traceback"}} & set(sys.modules)
used = len(os.listdir("/proc/self/fd")) - 1  # the listing needs one itself
resource.setrlimit(resource.RLIMIT_NOFILE, (used + {spare}, 1024))
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit(2)")
@pytest.mark.parametrize("spare", [0, 1])
@pytest.mark.parametrize("strategy", ["Inline()", "ThreadPool(4)"])
def test_descriptors_run_out_before_logging_was_ever_imported(strategy: str, spare: int) -> None:
    """With none to spare it is the listener who has to tell, with one the handler.  The suite has imported logging and
    traceback, so this has to be a program of its own."""
    program = f"import sys; sys.path.insert(0, {ROOT!r})\n" + PROGRAM.format(strategy=strategy, spare=spare)
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stderr is not None
        port = int(child.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
            if not spare:
                assert "resting" in child.stderr.readline()
                resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (1024, 1024))
            assert client.recv(10) == b""
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
            assert client.recv(10) == b""
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate(timeout=DEADLINE)


class Raises(BaseRequestHandler):
    def handle(self) -> None:
        raise ValueError("told")


class Broken:
    def write(self, text: str) -> int:
        raise BrokenPipeError

    flush = write


@pytest.mark.parametrize("stdout", [None, Broken()])
def test_a_standard_output_that_is_gone(monkeypatch: pytest.MonkeyPatch, stdout: Any) -> None:
    with TCPServer(("127.0.0.1", 0), Raises) as server, Serving(server):
        monkeypatch.setattr(sys, "stdout", stdout)
        for _ in range(2):
            with socket.create_connection(server.server_address, DEADLINE) as client:
                assert client.recv(10) == b""
        monkeypatch.undo()


def test_a_strategy_derived_from_inline_is_asked() -> None:
    class Counting(Inline):
        jobs = 0

        def submit(self, job: Job) -> Job | None:
            self.jobs += 1
            return super().submit(job)

    strategy = Counting()
    server = TCPServer(("127.0.0.1", 0), BaseRequestHandler, strategy=strategy)
    with server, Serving(server), socket.create_connection(server.server_address, DEADLINE) as client:
        assert client.recv(10) == b""
    assert strategy.jobs == 1
