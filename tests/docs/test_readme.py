"""What README and docs show is run: Python as pasted, served by the loop it makes; the command lines as typed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from strategies import Endpoint, Host, Job, Strategy
from tests.command.service import REACTOR, Service

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

# Runs a snippet, talks to every server of the loop that it turns, prints what they answer, and ends the loop.
RUNNER = """
import os, runpy, socket, sys, threading
from reactor import Reactor

run, me = Reactor.run, os.getpid()

def talk(reactor):
    try:
        for server in reactor.servers:
            with socket.socket(server.address_family, server.socket_type) as client:
                client.settimeout(20)
                client.connect(server.server_address)
                client.sendall(b"hello\\n")
                print(client.recv(100))
    finally:
        reactor.stop()

def run_once(self, *args):
    if os.getpid() == me:  # not a preforked worker, which has a loop of its own
        self.post(threading.Thread(target=talk, args=(self,)).start)
    return run(self, *args)

if "--no-talk" not in sys.argv:
    Reactor.run = run_once
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def blocks(language: str) -> list[tuple[str, str]]:
    """Every fenced block in a language, with the place where it begins."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S):
            line = text.count("\n", 0, match.start()) + 2
            found.append((f"{page.relative_to(ROOT)}:{line}", match[1]))
    return found


def with_free_ports(text: str) -> str:
    return re.sub(r"\b90\d\d\b", "0", text)


PYTHON = blocks("python")
LINES = [
    (place, line) for place, block in blocks("sh") for line in block.splitlines() if "reactor serve" in line
]


def test_there_are_snippets() -> None:
    assert len(PYTHON) >= 6
    assert len(LINES) >= 3


@pytest.mark.parametrize(("place", "code"), PYTHON, ids=[place for place, _ in PYTHON])
def test_a_snippet_runs(place: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "runner.py").write_text(RUNNER)
    (tmp_path / "snippet.py").write_text(with_free_ports(code))
    own_client = "create_connection" in code
    run = subprocess.run(
        [sys.executable, "-W", "error", "runner.py", "snippet.py", *(["--no-talk"] if own_client else [])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    servers = len(re.findall(r"Server\(\(", code))
    assert len([line for line in run.stdout.splitlines() if line not in ("", "b''")]) == servers


@pytest.mark.parametrize(("place", "line"), LINES, ids=[line for _, line in LINES])
def test_a_command_line_serves(place: str, line: str, tmp_path: Path) -> None:
    for _, code in PYTHON:
        if name := re.match(r"# (\w+\.py)\n", code):
            (tmp_path / name[1]).write_text(code)
    words = shlex.split(with_free_ports(line))
    command = [REACTOR] if words[0] == "reactor" else [sys.executable]
    with Service(*words[1:], command=command, cwd=tmp_path) as service:
        assert len(service.addresses) == words.count("--bind")
        assert service.end() == (0, "")


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for block in re.findall(r"^ {4}make (.*?)(?: #|$)|`make (.*?)`", page.read_text(), re.M):
            assert set("".join(block).split()) <= targets, page


def test_the_documented_strategy_is_the_example() -> None:
    (code,) = (code for place, code in PYTHON if place.startswith("docs/strategies.md"))
    assert (ROOT / "examples/own_strategy.py").read_text().endswith(code)


def test_the_page_names_all_that_the_contract_has() -> None:
    page = (ROOT / "docs/strategies.md").read_text()
    for side in (Strategy, Host, Endpoint, Job):
        names = [name for name in vars(side) if not name.startswith("_") and name not in ("host", "endpoints")]
        assert [name for name in names if not re.search(rf"`(host\.|job\.|self\.)?{name}\b", page)] == []


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_links_to_what_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
