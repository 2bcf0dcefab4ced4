"""Run one of CPython's own test modules in a process of its own and print each test's outcome as JSON.

    python tests/dropin/runner.py [--ours] [--skip PATTERN]... test.test_socketserver [PATTERN]...

PATTERN is a part of a test's id, as for ``unittest -k``; without one the whole module runs.  ``--ours`` calls
``reactor.socketserver.install()`` before anything else is imported.  The last line of standard output is the answer:

    outcomes      id: "ok", "skipped", "failed", "expected failure", ...; the worst of its subtests'
    details       id: traceback, of what failed
    socketserver  the file that the name ``socketserver`` stands for at the end
    served        the server classes that were made, as "module.name", and the file that their BaseServer is from
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[2]


class Outcomes(unittest.TestResult):
    """By id.  A test's subtests and its tear-down can only make its outcome worse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.details: dict[str, str] = {}

    def _say(self, test: Any, outcome: str, error: Any = None) -> None:
        name = test.id()
        if self.found.get(name) != "failed":
            self.found[name] = outcome
        if error is not None:
            self.details[name] = self._exc_info_to_string(error, test)  # type: ignore[attr-defined]

    def addSuccess(self, test: Any) -> None:
        if test.id() not in self.found:
            self._say(test, "ok")

    def addError(self, test: Any, err: Any) -> None:
        self._say(test, "failed", err)

    addFailure = addError

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self._say(test, "failed", err)

    def addSkip(self, test: Any, reason: str) -> None:
        self._say(test, "skipped")

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        self._say(test, "expected failure")

    def addUnexpectedSuccess(self, test: Any) -> None:
        self._say(test, "unexpected success")


def each(suite: Any) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        else:
            yield test


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", action="store_true")
    parser.add_argument("--skip", action="append", default=[])
    parser.add_argument("module")
    parser.add_argument("patterns", nargs="*")
    options = parser.parse_args()

    sys.path[0] = str(HOME)  # not this folder, whose names would hide others
    if options.ours:
        from reactor import socketserver as ours

        ours.install()
    import socketserver

    served: dict[str, str] = {}
    spy_on(socketserver.BaseServer, served)

    from test import support

    # What regrtest sets up: modules ask for resources, and skip what needs them, when they are imported too.
    support.use_resources = ["network"]
    support.verbose = False

    suite = unittest.defaultTestLoader.loadTestsFromName(options.module)
    wanted = unittest.TestSuite(
        test
        for test in each(suite)
        if not any(pattern in test.id() for pattern in options.skip)
        and (not options.patterns or any(pattern in test.id() for pattern in options.patterns))
    )
    result = Outcomes()
    wanted.run(result)
    answer = {
        "outcomes": result.found,
        "details": result.details,
        "socketserver": sys.modules["socketserver"].__file__,
        "served": served,
    }
    print(json.dumps(answer), flush=True)
    os._exit(0)  # threads that a test left are no reason to wait


def spy_on(base: Any, served: dict[str, str]) -> None:
    """Note the class of each server that is made, and the file of the BaseServer under it."""
    original = base.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        kind = type(self)
        root = next(cls for cls in kind.__mro__ if cls.__name__ == "BaseServer")
        served[f"{kind.__module__}.{kind.__qualname__}"] = root._handle_request_noblock.__code__.co_filename
        original(self, *args, **kwargs)

    base.__init__ = init


if __name__ == "__main__":
    main()
