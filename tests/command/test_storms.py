"""Signals by the dozen, whenever they come: what was told to end ends with 0, and without a traceback."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.command.service import MODULE, PATIENCE, WAITS, Service

BOTH = (signal.SIGTERM, signal.SIGINT)


def storm(process: subprocess.Popen[bytes], pause: float) -> int:
    """Signals until it has ended; how many there were."""
    deadline = time.monotonic() + PATIENCE
    for count, number in enumerate(itertools.cycle(BOTH)):
        if process.poll() is not None or time.monotonic() > deadline:
            return count
        process.send_signal(number)
        time.sleep(pause)
    raise AssertionError("never")


@pytest.mark.parametrize("pause", [0.0, 0.001])
@pytest.mark.parametrize("strategy", ["inline", "threads:2", "fork:2", "prefork:2", "prefork:2,threads:2"])
def test_a_storm_of_signals_ends_it_with_0(strategy: str, pause: float, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(WAITS)
    binds = ("--bind", "unix:s", "--bind", "tcp://127.0.0.1:0")
    with Service("serve", "odd:Waits", *binds, "--strategy", strategy, cwd=tmp_path) as service:
        with service.connect() as busy:
            busy.sendall(b"wait\n")
            assert busy.recv(100) == b"begun\n"
            with service.connect():
                assert storm(service.process, pause) > 5
        status, errors = service.ended()
        assert (status, "Traceback" in errors) == (0, False), errors
        assert not (tmp_path / "s").exists()


def test_a_storm_that_begins_before_it_serves(tmp_path: Path) -> None:
    """Before its line a signal may end it as it ends any program; after it, in one way only."""
    served = 0
    for number in range(12):
        process = subprocess.Popen(
            [*MODULE, "serve", "--bind", "unix:s", "--strategy", "prefork:1"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while number % 3 and not (tmp_path / "s").exists() and time.monotonic() < deadline:
                time.sleep(0.0003 * number)
            storm(process, 0.0)
            said, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.communicate()
        if said:
            served += 1
            # The second signal kills a worker, however new: that is told, and nothing else.
            others = [line for line in errors.splitlines() if b"was killed before it had come to its end" not in line]
            assert (process.returncode, others) == (0, [])
            assert not (tmp_path / "s").exists()
        (tmp_path / "s").unlink(missing_ok=True)
    assert served


@pytest.mark.parametrize("number", BOTH)
def test_signals_while_the_interpreter_ends(number: int, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "import atexit, os, time\n"
        "from handlers import StreamRequestHandler as Plain\n"
        "def last():\n"
        "    print('ending', flush=True)\n"
        f"    deadline = time.monotonic() + {PATIENCE}\n"
        "    while not os.path.exists('enough') and time.monotonic() < deadline:\n"
        "        time.sleep(0.01)\n"
        "    print('ended', flush=True)\n"
        "atexit.register(last)\n"
    )
    with Service("serve", "odd:Plain", "--bind", "unix:s", cwd=tmp_path) as service:
        service.tell()
        assert service.line() == "ending"
        for _ in range(10):
            service.tell(number)
            time.sleep(0.002)
        (tmp_path / "enough").touch()
        assert service.line() == "ended"
        assert service.ended() == (0, "")


def test_a_signal_cuts_a_finish_that_runs_while_the_server_closes(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        WAITS.replace("Waits", "Lasts")
        + "    def finish(self):\n"
        "        self.wfile.write(b'finishing\\n')\n"
        "        self.rfile.read()\n"
    )
    with (
        Service("serve", "odd:Lasts", "--bind", "unix:s", cwd=tmp_path) as service,
        service.connect() as idle,
        service.connect() as busy,
    ):
        idle.sendall(b"hello\n")
        assert idle.recv(100) == b"HELLO\n"
        busy.sendall(b"wait\n")
        assert busy.recv(100) == b"begun\n"
        for number in BOTH:
            service.tell(number)
        assert idle.recv(100) == b"finishing\n"
        service.tell()
        status, errors = service.ended()
    assert (status, "Traceback" in errors) == (0, False), errors
    assert not (tmp_path / "s").exists()


def test_a_cut_of_an_inline_request_is_one_of_the_workers_too(tmp_path: Path) -> None:
    """By their own deadline the workers would have an hour."""
    (tmp_path / "odd.py").write_text(WAITS)
    binds = ("--bind", "unix:a", "--bind", "unix:b", "--strategy", "inline", "--strategy", "prefork:1")
    with (
        Service("serve", "odd:Waits", *binds, "--drain-timeout", "3600", cwd=tmp_path) as service,
        service.connect(0) as here,
        service.connect(1) as there,
    ):
        for client in (here, there):
            client.sendall(b"wait\n")
            assert client.recv(100) == b"begun\n"
        for number in BOTH:
            service.tell(number)
        status, errors = service.ended()
    assert (status, "Traceback" in errors) == (0, False), errors
