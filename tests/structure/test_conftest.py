"""The fixtures that guard every test do catch what they are there for: a pytest inside this one, over made-up tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]

MADE_UP = """
import logging, os, socket, subprocess, sys, threading, warnings
import pytest

held = []
loop_log = logging.getLogger("reactor.loop")

def test_sound():
    with socket.socket():
        pass
    thread = threading.Thread(target=str)
    thread.start()
    subprocess.run([sys.executable, "-c", ""], check=True)

def test_thread_on_its_way_out():
    threading.Thread(target=threading.Event().wait, args=(0.05,)).start()

def test_descriptor():
    held.append(socket.socket())

def test_descriptor_put_in_anothers_place():
    os.dup2(os.open(os.devnull, os.O_RDONLY), held[0].fileno())

def test_collected_socket():
    socket.socket()

def test_child():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

def test_stuck_child():
    held.append(subprocess.Popen(["sleep", "600"]))
    while not open(f"/proc/{held[-1].pid}/cmdline").read():  # the system tells it a moment after
        pass
    held[-1].returncode = 0

def test_after_a_child():
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)

def test_child_that_comes_back():
    pid = os.fork()
    if pid:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 70

def test_thread(monkeypatch):
    monkeypatch.setattr("tests.leaks.Census.leaks.__defaults__", (0.01,))
    threading.Thread(target=threading.Event().wait, daemon=True, name="stuck-worker").start()

def test_thread_that_raises():
    thread = threading.Thread(target=int, args=("x",))
    thread.start()
    thread.join()

def test_warning():
    warnings.warn("mind the gap")

def test_log():
    loop_log.warning("worker %d died", 3)

def test_quiet_log():
    loop_log.info("worker %d died", 3)

@pytest.mark.logs(r"worker \\d died")
def test_log_expected():
    loop_log.error("worker %d died", 3)

@pytest.mark.logs(r"worker \\d died")
def test_log_another():
    loop_log.error("worker 3 died")
    logging.getLogger("strategies").warning("queue full")

@pytest.mark.logs("worker", "queue")
def test_log_missing():
    loop_log.error("worker 3 died")

@pytest.mark.logs("worker", required=False)
def test_log_optional():
    pass
"""

# The test, and what its report has to say; None: it passes.
EXPECTED = {
    "test_sound": None,
    "test_thread_on_its_way_out": None,
    "test_descriptor": "descriptor ",
    "test_descriptor_put_in_anothers_place": "/dev/null",
    "test_collected_socket": "unclosed <socket.socket",
    "test_child": "ended, not reaped",
    "test_stuck_child": "sleep 600",
    "test_after_a_child": None,
    "test_child_that_comes_back": None,
    "test_thread": "thread stuck-worker",
    "test_thread_that_raises": "PytestUnhandledThreadExceptionWarning",
    "test_warning": "mind the gap",
    "test_log": "WARNING reactor.loop: worker 3 died",
    "test_quiet_log": None,
    "test_log_expected": None,
    "test_log_another": "WARNING strategies: queue full",
    "test_log_missing": "expected in the log and not there:\n  queue",
    "test_log_optional": None,
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For each made-up test, all that was reported against it; "" for one that passed."""
    folder = tmp_path_factory.mktemp("made-up")
    (folder / "test_made_up.py").write_text(MADE_UP)
    options = ["-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--junit-xml", str(folder / "report.xml"), str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    told: dict[str, str] = {}
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        parts = [f"{part.get('message')}\n{part.text}" for part in case if part.tag in ("failure", "error")]
        told[case.get("name", "")] = told.get(case.get("name", ""), "") + "\n".join(parts)
    return told


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_caught(name: str, reports: dict[str, str]) -> None:
    expected = EXPECTED[name]
    if expected is None:
        assert reports[name] == ""
    else:
        assert expected in reports[name]
