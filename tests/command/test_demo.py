"""``make run``: five servers in one loop, which are talked to as the demo says, and end when told to."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command.service import PATIENCE, Service

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_demo_answers_as_it_says_and_ends_cleanly(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no nc there, so the commands are Python's
    command = [sys.executable, "-W", "error", str(EXAMPLES / "demo.py")]
    with Service(command=command, cwd=tmp_path, lines=11) as service:
        lines = [line.strip() for line in service.addresses]
        assert lines[-1] == "Ctrl-C ends it."
        assert all(line.startswith("python3 -c ") for line in lines[1:-1:2])
        monkeypatch.undo()
        answers = [
            subprocess.run(
                [sys.executable, *shlex.split(line)[1:]],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=True,
            ).stdout.strip()
            for line in lines[1:-1:2]
        ]
        assert answers[0] == "1: HELLO"
        assert re.search(r"\d\d:\d\d:\d\d$", answers[1])
        assert re.fullmatch(r"process \d+ has read: hello", answers[2])
        assert answers[2].split()[1] != str(service.process.pid)
        assert answers[3:] == ["desserts", "hello, Guido"]
        (folder,) = tmp_path.iterdir()
        assert folder.is_dir()
        service.tell(number)
        assert service.line() == "ended"
        assert service.ended() == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_two_demos_run_side_by_side(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "demo.py")]
    with (
        Service(command=command, cwd=tmp_path, lines=11) as first,
        Service(command=command, cwd=tmp_path, lines=11) as second,
    ):
        ports = [set(re.findall(r"127\.0\.0\.1\D+(\d+)", " ".join(demo.addresses))) for demo in (first, second)]
        assert not ports[0] & ports[1]
        assert first.end() == (0, "")
        assert second.end() == (0, "")


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("own_strategy", "HELLO"),
        ("keepalive", "200 connections are open; the pool has 2 threads"),
        ("from_socketserver", "served by reactor.socketserver"),
    ],
)
def test_an_example_runs_and_says_nothing_odd(name: str, last: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[-1] == last
