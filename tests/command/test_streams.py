"""Standard streams that are closed, full, or read by nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command.service import MODULE, PATIENCE, Service

FULL = Path("/dev/full")

full = pytest.mark.skipif(not FULL.exists(), reason="no device here that is always full")


@contextmanager
def nobody_reads(kind: str) -> Iterator[int]:
    """The end to write into of something that cannot be written to."""
    if kind == "full":
        writing = os.open(FULL, os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


@pytest.fixture(params=["buffered", "unbuffered"])
def env(request: pytest.FixtureRequest) -> dict[str, str]:
    found = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return found | ({"PYTHONUNBUFFERED": "1"} if request.param == "unbuffered" else {})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("serve", "--bind", "unix:s"), "reactor serve: error: cannot print the addresses on standard output: "),
        (("serve", "--help"), "reactor: error: cannot write to standard output: "),
        (("--version",), "reactor: error: cannot write to standard output: "),
    ],
)
@pytest.mark.parametrize("kind", [pytest.param("full", marks=full), "broken pipe"])
def test_what_cannot_be_printed_is_told_in_one_line(
    kind: str, words: tuple[str, ...], says: str, env: dict[str, str], tmp_path: Path
) -> None:
    with nobody_reads(kind) as writing:
        run = subprocess.run(
            [*MODULE, *words],
            cwd=tmp_path,
            env=env,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert line.startswith(says)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("closed", "module"),
    [
        (">&-", ""),
        ("<&- >&- 2>&-", ""),
        ("", "import sys; sys.stdout.close()"),
        ("", "import sys; sys.stdout = None"),
    ],
)
def test_where_standard_output_is_closed_it_serves_and_tells_nobody(closed: str, module: str, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        f"{module}\nimport os\nfrom handlers import StreamRequestHandler\n"
        "class Odd(StreamRequestHandler):\n"
        "    def handle(self):\n"
        "        self.wfile.write(b'%d' % os.fstat(1).st_rdev)\n"
    )
    command = ("sh", "-c", f'exec "$@" {closed}', "sh", *MODULE)
    with Service("serve", "odd:Odd", "--bind", "unix:s", command=command, cwd=tmp_path, lines=0) as service:
        with service.first_client("unix:s") as client:
            device = int(client.recv(100))
            if ">&-" in closed:  # and no socket has its number, into which a child would print
                assert device == os.stat(os.devnull).st_rdev
        assert service.end() == (0, "")


@pytest.mark.parametrize("kind", [pytest.param("full", marks=full), "broken pipe"])
def test_what_is_told_to_nobody_while_it_serves_changes_no_status(kind: str, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from handlers import StreamRequestHandler\n"
        "class Odd(StreamRequestHandler):\n"
        "    def handle(self):\n"
        "        print('a line of a handler')\n"
        "        raise ValueError('odd one')\n"
    )
    with nobody_reads(kind) as writing:
        # The addresses can be read; what comes later cannot.
        command = ("env", "-u", "PYTHONUNBUFFERED", sys.executable, "-c", LATER, str(writing))
        with Service("serve", "odd:Odd", "--bind", "unix:s", command=command, cwd=tmp_path, keep=(writing,)) as service:
            with service.connect() as client:
                assert client.recv(1) == b""
            assert service.end() == (0, "")


LATER = """
import os, sys
import reactor.cli
tell = reactor.cli.tell
later = int(sys.argv.pop(1))
def tell_and_lose(addresses):
    tell(addresses)
    os.dup2(later, 1)
    os.dup2(later, 2)
reactor.cli.tell = tell_and_lose
sys.exit(reactor.cli.main())
"""


@pytest.mark.parametrize("words", [("serve", "--bind", "x"), ("serve", "nope:Echo"), ("sing",)])
@pytest.mark.parametrize("kind", [pytest.param("full", marks=full), "broken pipe", "closed"])
def test_a_mistake_that_cannot_be_told_is_still_the_status(kind: str, words: tuple[str, ...], tmp_path: Path) -> None:
    with nobody_reads("broken pipe" if kind == "closed" else kind) as writing:
        run = subprocess.run(
            ["sh", "-c", f'exec "$@" {"2>&-" if kind == "closed" else ""}', "sh", *MODULE, *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=writing,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert (run.returncode, run.stdout) == (2, "")
