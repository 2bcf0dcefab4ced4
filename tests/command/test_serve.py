"""``reactor serve`` at every kind of address: what it prints, that it answers, that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command.service import MODULE, PATIENCE, REACTOR, Service, connect

V6 = "[::1]"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def ask(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(1000)


KINDS = [
    pytest.param("tcp://127.0.0.1:0", r"tcp://127\.0\.0\.1:[1-9]\d*", id="tcp"),
    pytest.param("udp://127.0.0.1:0", r"udp://127\.0\.0\.1:[1-9]\d*", id="udp"),
    pytest.param(f"tcp://{V6}:0", r"tcp://\[::1\]:[1-9]\d*", id="tcp6"),
    pytest.param(f"udp://{V6}:0", r"udp://\[::1\]:[1-9]\d*", id="udp6"),
    pytest.param("unix:stream", r"unix:stream", id="unix"),
    pytest.param("unixgram:packets", r"unixgram:packets", id="unixgram"),
    pytest.param("unix:@{name}", r"unix:@\S+", id="abstract"),
    pytest.param("unixgram:@{name}", r"unixgram:@\S+", id="abstract-packets"),
]


@pytest.mark.parametrize(("address", "printed"), KINDS)
def test_the_echo_at_every_kind_of_address(address: str, printed: str, tmp_path: Path) -> None:
    if V6 in address and not has_ipv6():
        pytest.skip("no IPv6 here")
    if "@" in address and not sys.platform.startswith("linux"):
        pytest.skip("abstract names are Linux's")
    address = address.format(name=tmp_path)
    with Service("serve", "--bind", address, cwd=tmp_path) as service:
        assert re.fullmatch(printed, service.addresses[0])
        with service.connect() as client:
            for word in (b"one", b"two"):
                assert ask(client, word) == word
        assert service.end() == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("strategy", ["inline", "threads:2", "fork:2", "prefork:2", "prefork:2,threads:2"])
def test_one_strategy_shared_by_all_addresses(strategy: str, tmp_path: Path) -> None:
    binds = ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix:s", "unixgram:g"]
    words = [word for address in binds for word in ("--bind", address)]
    with Service("serve", *words, "--strategy", strategy, cwd=tmp_path) as service:
        assert [line.split(":")[0] for line in service.addresses] == ["tcp", "udp", "unix", "unixgram"]
        for number in range(4):
            with service.connect(number) as client:
                assert ask(client, b"hello") == b"hello"
        assert service.end() == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_strategies_are_paired_with_addresses_in_order(tmp_path: Path) -> None:
    (tmp_path / "who.py").write_text(
        "import os, threading\nfrom handlers import BaseRequestHandler\n"
        "class Who(BaseRequestHandler):\n"
        "    def handle(self):\n"
        "        main = threading.current_thread() is threading.main_thread()\n"
        "        self.request.sendall(b'%d %d' % (os.getpid(), main))\n"
    )
    binds = ("--bind", "tcp://127.0.0.1:0") * 3
    strategies = ("--strategy", "threads:1", "--strategy", "prefork:1", "--strategy", "inline")
    with Service("serve", "who:Who", *binds, *strategies, cwd=tmp_path) as service:
        answers = []
        for number in range(3):
            with service.connect(number) as client:
                answers.append(tuple(map(int, client.recv(100).split())))
        here = service.process.pid
        assert answers[0] == (here, 0)
        assert answers[1][0] != here
        assert answers[2] == (here, 1)
        assert service.end() == (0, "")


@pytest.mark.parametrize("command", [MODULE, (REACTOR,)], ids=["python -m reactor", "reactor"])
def test_a_handler_from_the_current_directory(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "service.py").write_text(
        "from handlers import StreamRequestHandler\n"
        "class Outer:\n"
        "    class Upper(StreamRequestHandler):\n"
        "        def handle(self):\n"
        "            self.wfile.write(self.rfile.readline().upper())\n"
    )
    arguments = ("serve", "shop.service:Outer.Upper", "--bind", "tcp://127.0.0.1:0")
    with Service(*arguments, command=command, cwd=tmp_path) as service:
        with service.connect() as client:
            assert ask(client, b"hello\n") == b"HELLO\n"
        assert service.end() == (0, "")


def test_what_a_handler_raises_goes_to_standard_error_and_the_service_goes_on(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from handlers import BaseRequestHandler\n"
        "class Odd(BaseRequestHandler):\n"
        "    def handle(self):\n"
        "        if self.request.recv(10) == b'bad': raise ValueError('odd one')\n"
        "        self.request.sendall(b'good')\n"
    )
    with Service("serve", "odd:Odd", "--bind", "tcp://127.0.0.1:0", cwd=tmp_path) as service:
        for word, answer in ((b"bad", b""), (b"fine", b"good")):
            with service.connect() as client:
                assert ask(client, word) == answer
        status, errors = service.end()
    assert status == 0
    assert errors.count("ValueError: odd one") == 1


@pytest.mark.parametrize("name", ["factory", "partial", "Theirs"])
def test_what_else_can_be_a_handler(name: str, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "import functools, socketserver\nfrom handlers import BaseRequestHandler\n"
        "class Mine(BaseRequestHandler):\n"
        "    def __init__(self, text, *request):\n"
        "        super().__init__(*request)\n"
        "        self.text = text\n"
        "    def handle(self):\n"
        "        self.request.sendall(self.text)\n"
        "def factory(request, client_address, server):\n"
        "    return Mine(b'hello', request, client_address, server)\n"
        "partial = functools.partial(Mine, b'hello')\n"
        "class Theirs(socketserver.BaseRequestHandler):\n"
        "    def handle(self):\n"
        "        self.request.sendall(b'hello')\n"
    )
    with Service("serve", f"odd:{name}", "--bind", "tcp://127.0.0.1:0", cwd=tmp_path) as service:
        with service.connect() as client:
            assert client.recv(100) == b"hello"
        assert service.end() == (0, "")


def test_a_warning_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "import warnings\nfrom handlers import BaseRequestHandler\n"
        "warnings.warn('mind\\nthe gap', RuntimeWarning)\n"
        "class Odd(BaseRequestHandler):\n"
        "    def handle(self):\n"
        "        self.request.recv(10)\n"
        "        self.request.sendall(b'hello')\n"
    )
    binds = ("--bind", "tcp://127.0.0.1:0") * 2
    strategies = ("--strategy", "threads:1", "--strategy", "fork:1")
    with Service("serve", "odd:Odd", *binds, *strategies, cwd=tmp_path) as service:
        for number in range(2):
            with service.connect(number) as client:
                assert ask(client, b"x") == b"hello"
        status, errors = service.end()
    assert status == 0
    first, second = errors.splitlines()
    assert re.fullmatch(r"reactor serve: RuntimeWarning: mind the gap \(.*odd.py:3\)", first)
    assert re.fullmatch(r"reactor serve: RuntimeWarning: forking beside running threads: ThreadPool.* \(.*\)", second)


def test_a_stale_unix_path_is_replaced_and_removed_at_the_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    with Service("serve", "--bind", "unix:s", cwd=tmp_path) as service:
        with service.connect() as client:
            assert ask(client, b"hello") == b"hello"
        assert service.end() == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_datagram_client_without_a_name_is_no_trouble(tmp_path: Path) -> None:
    with Service("serve", "--bind", "unixgram:g", cwd=tmp_path) as service:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
            nameless.sendto(b"hello", str(tmp_path / "g"))
        with service.connect() as client:
            assert ask(client, b"hello") == b"hello"
        assert service.end() == (0, "")


def test_an_echo_client_who_does_not_read_packets_holds_nobody_up(tmp_path: Path) -> None:
    """The kernel keeps few packets for a Unix socket: an answer that waited for room would stop the loop."""
    with Service("serve", "--bind", "unixgram:g", cwd=tmp_path) as service, service.connect() as silent:
        for _ in range(100):
            silent.send(b"x")
        with service.connect() as client:
            assert ask(client, b"hello") == b"hello"
        assert service.end() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_right_after_the_line_ends_it_well(number: int, tmp_path: Path) -> None:
    with Service("serve", "--bind", "unix:s", "--strategy", "prefork:2", cwd=tmp_path) as service:
        service.tell(number)
        assert service.ended() == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("--help",), ("serve", "--help"), ("--version",)])
def test_help_and_version(words: tuple[str, ...], tmp_path: Path) -> None:
    run = subprocess.run([*MODULE, *words], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert run.stderr == ""
    assert re.match(r"reactor \d+\.\d+" if "--version" in words else "usage: reactor", run.stdout)
    if words[0] == "serve":
        assert "reactor serve shop:Orders --bind tcp://0.0.0.0:9000 --strategy prefork:4,threads:8" in run.stdout
        assert "inline, the default, serves one request at a time" in run.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a file's name has to be text")
def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    with Service("serve", "--bind", os.fsdecode(b"unix:\xff"), cwd=tmp_path) as service:
        assert service.addresses == [r"unix:\udcff"]
        assert service.end() == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_logging_configuration_of_the_module_s_own_wins(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "import logging\nfrom handlers import BaseRequestHandler\n"
        "logging.basicConfig(format='mine: %(message)s')\n"
        "class Odd(BaseRequestHandler):\n"
        "    def handle(self):\n"
        "        raise ValueError('odd one')\n"
    )
    with Service("serve", "odd:Odd", "--bind", "tcp://127.0.0.1:0", cwd=tmp_path) as service:
        with service.connect() as client:
            assert client.recv(1) == b""
        status, errors = service.end()
    assert status == 0
    assert errors.startswith("mine: request from ")


def test_the_address_line_can_be_used_as_it_is(tmp_path: Path) -> None:
    with Service("serve", "--bind", "tcp://localhost:0", cwd=tmp_path) as service:
        with connect(service.addresses[0]) as client:
            assert ask(client, b"hello") == b"hello"
        assert service.end() == (0, "")
