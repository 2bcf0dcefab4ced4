"""What every test here lives under: nothing leaked, nothing logged unasked, no forked child that goes on testing."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator

import hypothesis
import pytest

from tests.leaks import Census

LOGGERS = ("reactor", "strategies", "handlers")

# The same examples in every run: a red build is red for its commit. The soak looks for new ones.
hypothesis.settings.register_profile(
    "quick", max_examples=50, deadline=None, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.register_profile(
    "soak",
    max_examples=2000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("quick")


@pytest.fixture(autouse=True)
def leaks() -> Iterator[Census]:
    """Fail a test that leaves a descriptor, a thread or a child behind; gives the count from before the test.

    First in, last out: a fixture that a test asks for has been torn down by the time that this one counts.
    """
    pid = os.getpid()
    before = Census.take()
    yield before
    if os.getpid() != pid:
        # A child that a test forked came back up through pytest: it would run the rest of the suite, beside us.
        os.write(2, b"a forked child returned into pytest\n")
        os._exit(70)  # EX_SOFTWARE
    left = before.leaks()
    before.end_children()
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


class _Kept(logging.Handler):
    """Keeps what is logged. Any thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def logs(request: pytest.FixtureRequest) -> Iterator[list[logging.LogRecord]]:
    """Fail a test whose warnings and errors on our loggers are not the expected ones; gives the list of them.

        @pytest.mark.logs(r"no free descriptors", r"worker \\d+ died")

    Each pattern must be found in a record's message, and each record must match a pattern. `required=False`: the
    records may come, or not. Marks add up: on the test, its class, its module. Only this process's records are seen.
    """
    kept = _Kept()
    for name in LOGGERS:
        logging.getLogger(name).addHandler(kept)
    yield kept.records
    for name in LOGGERS:
        logging.getLogger(name).removeHandler(kept)

    messages = [record.getMessage() for record in kept.records]
    patterns = {
        pattern: mark.kwargs.get("required", True)
        for mark in request.node.iter_markers("logs")
        for pattern in mark.args
    }
    unexpected = [
        f"{record.levelname} {record.name}: {message}"
        for record, message in zip(kept.records, messages, strict=True)
        if not any(re.search(pattern, message) for pattern in patterns)
    ]
    missing = [
        pattern
        for pattern, required in patterns.items()
        if required and not any(re.search(pattern, message) for message in messages)
    ]
    if unexpected:
        pytest.fail("logged unasked (mark the test with logs(...)):\n  " + "\n  ".join(unexpected), pytrace=False)
    if missing:
        pytest.fail("expected in the log and not there:\n  " + "\n  ".join(missing), pytrace=False)
