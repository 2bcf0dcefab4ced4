"""SIGTERM and SIGINT: requests in flight are finished, idle connections let go; a second signal cuts."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.command.service import WAITS, Service


def serve(strategy: str, tmp_path: Path, *more: str) -> Service:
    (tmp_path / "slow.py").write_text(WAITS)
    return Service(
        "serve", "slow:Waits", "--bind", "tcp://127.0.0.1:0", "--strategy", strategy, *more, cwd=tmp_path
    )


def ask(client: socket.socket, line: bytes) -> bytes:
    client.sendall(line)
    return client.recv(100)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("strategy", ["threads:2", "prefork:2,threads:2"])
def test_a_request_in_flight_is_finished_and_an_idle_connection_let_go(
    strategy: str, number: int, tmp_path: Path
) -> None:
    with serve(strategy, tmp_path) as service:
        # Two of each, so that under prefork a worker with an idle one is likely to have one in flight as well.
        with service.connect() as idle, service.connect() as busy:
            assert ask(idle, b"hello\n") == b"HELLO\n"
            assert ask(busy, b"wait\n") == b"begun\n"
            service.tell(number)
            assert idle.recv(1) == b""  # so the drain is on its way
            assert ask(busy, b"done\n") == b"DONE\n"
            assert busy.recv(1) == b""
        assert service.ended() == (0, "")


@pytest.mark.parametrize("strategy", ["inline", "fork:2", "prefork:2"])
def test_a_request_in_flight_is_finished_where_nothing_else_shows_the_drain(strategy: str, tmp_path: Path) -> None:
    with serve(strategy, tmp_path) as service:
        with service.connect() as busy:
            assert ask(busy, b"wait\n") == b"begun\n"
            service.tell()
            assert ask(busy, b"done\n") == b"DONE\n"
            busy.shutdown(socket.SHUT_WR)  # a child that waits for more has no parking to be let go from
            assert busy.recv(1) == b""
        assert service.ended() == (0, "")


@pytest.mark.parametrize("strategy", ["threads:2", "prefork:2,threads:2"])
def test_a_second_signal_cuts_at_once(strategy: str, tmp_path: Path) -> None:
    """By its own deadline this drain would take an hour."""
    with serve(strategy, tmp_path, "--drain-timeout", "3600") as service:
        with service.connect() as idle, service.connect() as busy:
            assert ask(idle, b"hello\n") == b"HELLO\n"
            assert ask(busy, b"wait\n") == b"begun\n"
            service.tell(signal.SIGTERM)
            assert idle.recv(1) == b""
            service.tell(signal.SIGTERM)
            assert gone(busy)
        status, errors = service.ended()
    assert status == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize("strategy", ["inline", "fork:2"])
def test_two_signals_cut_a_handler_that_keeps_the_loop_or_a_child(strategy: str, tmp_path: Path) -> None:
    with serve(strategy, tmp_path, "--drain-timeout", "3600") as service:
        with service.connect() as busy:
            assert ask(busy, b"wait\n") == b"begun\n"
            service.tell(signal.SIGINT)  # two of a kind could become one on their way
            service.tell(signal.SIGTERM)
            assert gone(busy)
        status, errors = service.ended()
    assert status == 0
    assert "Traceback" not in errors


def test_the_deadline_cuts_and_says_what(tmp_path: Path) -> None:
    with serve("threads:2", tmp_path, "--drain-timeout", "0.05") as service:
        with service.connect() as busy:
            assert ask(busy, b"wait\n") == b"begun\n"
            service.tell()
            assert gone(busy)
        status, errors = service.ended()
    assert status == 0
    assert "WARNING reactor: drain: cut <Connection from ('127.0.0.1'," in errors


def gone(client: socket.socket) -> bool:
    """Whether the server has hung up, politely or not."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
