"""CPython's own tests of socketserver and of what is built on it end on the drop-in as they end on the original.

They are in the interpreter's ``test`` package, and not here.  ``runner.py`` runs each module in a process of its own,
once as it is and once after ``install()``, all of them side by side; the outcomes are compared by test id.

The quick suite leaves out what mostly waits; ``make test-cpython`` runs all of the five.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import reactor.socketserver

RUNNER = Path(__file__).with_name("runner.py")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("test.test_socketserver") is None, reason="this interpreter comes without its test package"
)


@dataclass(frozen=True)
class Plan:
    """Which of a module's tests to run, and the servers that must have been seen."""

    module: str
    servers: tuple[str, ...]
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    least: int = 1  # tests that have to be there: a pattern that matches nothing proves nothing
    seconds: float = 50.0

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        skips = [word for pattern in self.skip for word in ("--skip", pattern)]
        command = [sys.executable, str(RUNNER), *arguments, *skips, self.module, *self.only]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


FULL = (
    Plan("test.test_socketserver", ("test.test_socketserver.", "socketserver."), least=20),
    Plan("test.test_httpservers", ("http.server.HTTPServer",), least=60),
    Plan("test.test_wsgiref", ("wsgiref.simple_server.WSGIServer",), least=30),
    Plan("test.test_xmlrpc", ("test.test_xmlrpc.", "xmlrpc.server."), least=60),
    Plan("test.test_logging", ("test.test_logging.", "logging.config."), least=150),
)
QUICK = (
    *FULL[:3],
    Plan(
        "test.test_xmlrpc",
        ("test.test_xmlrpc.", "xmlrpc.server."),
        only=("ServerTestCase", "ServerEncodingTestCase", "UseBuiltinTypesTestCase", "CGIHandlerTestCase"),
        # Each waits for three seconds.
        skip=("test_root_path", "test_empty_path", "test_invalid_path", "test_path3", "test_path_"),
        least=25,
    ),
    Plan(
        "test.test_logging",
        ("test.test_logging.TestTCPServer", "test.test_logging.TestUDPServer", "test.test_logging.TestHTTPServer"),
        only=("SocketHandlerTest", "DatagramHandlerTest", "SysLogHandlerTest", "HTTPHandlerTest"),
        skip=("test_noserver",),
        least=8,
    ),
)


@dataclass
class Side:
    """What one process said."""

    outcomes: dict[str, str]
    details: dict[str, str]
    socketserver: str
    served: dict[str, str] = field(default_factory=dict)


Sides = dict[str, tuple[Side, Side]]


def run_all(plans: tuple[Plan, ...]) -> Sides:
    """Each plan on the original and on ours, side by side."""
    running = [(plan, plan.start(), plan.start("--ours")) for plan in plans]
    try:
        return {plan.module: (answer(plan, theirs), answer(plan, ours)) for plan, theirs, ours in running}
    finally:
        for _, *processes in running:
            for process in processes:
                process.kill()
                process.communicate()


def answer(plan: Plan, process: subprocess.Popen[str]) -> Side:
    said, errors = process.communicate(timeout=plan.seconds)
    assert process.returncode == 0, errors
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return Side(**answer)


def check(plan: Plan, sides: Sides) -> None:
    theirs, ours = sides[plan.module]
    assert ours.socketserver == reactor.socketserver.__file__
    assert theirs.socketserver != ours.socketserver
    assert len(theirs.outcomes) >= plan.least
    for side in (theirs, ours):
        assert set(side.served.values()) == {side.socketserver}
        for server in plan.servers:
            assert any(name.startswith(server) for name in side.served), f"no {server} in {sorted(side.served)}"
    different = {
        name: (theirs.outcomes.get(name), ours.outcomes.get(name))
        for name in theirs.outcomes.keys() | ours.outcomes.keys()
        if theirs.outcomes.get(name) != ours.outcomes.get(name)
    }
    assert not different, "\n".join(filter(None, map(ours.details.get, different)))


@pytest.fixture(scope="module")
def quick() -> Sides:
    return run_all(QUICK)


@pytest.mark.parametrize("plan", QUICK, ids=lambda plan: plan.module)
def test_same_outcomes(plan: Plan, quick: Sides) -> None:
    check(plan, quick)


@pytest.fixture(scope="module")
def full() -> Sides:
    return run_all(FULL)


@pytest.mark.cpython
@pytest.mark.parametrize("plan", FULL, ids=lambda plan: plan.module)
def test_same_outcomes_of_all(plan: Plan, full: Sides) -> None:
    check(plan, full)


def test_another_outcome_is_told() -> None:
    """The comparison itself: a test that fails on ours, and one that is not there, are differences."""
    plan = Plan("m", ("S",))
    theirs = Side({"a": "ok", "b": "ok"}, {}, "there", {"S": "there"})
    here = reactor.socketserver.__file__
    check(plan, {"m": (theirs, Side({"a": "ok", "b": "ok"}, {}, here, {"S": here}))})
    with pytest.raises(AssertionError, match="it broke"):
        check(plan, {"m": (theirs, Side({"a": "failed", "b": "ok"}, {"a": "it broke"}, here, {"S": here}))})
    with pytest.raises(AssertionError):
        check(plan, {"m": (theirs, Side({"a": "ok"}, {}, here, {"S": here}))})
    with pytest.raises(AssertionError):
        check(plan, {"m": (theirs, Side({"a": "ok", "b": "ok"}, {}, here, {"S": "there"}))})
