"""Unix paths: a stale one is replaced, a live one refused, ours removed at the end and nobody else's."""

from __future__ import annotations

import errno
import os
import socket
import sys
import uuid
from pathlib import Path

import pytest

from reactor import BindError, TCPServer, UnixDatagramServer, UnixStreamServer
from strategies import ForkPerRequest, Prefork
from tests.answers import Upper
from tests.clients import ask
from tests.kinds import make
from tests.serving import Serving

UNIX: list[type[TCPServer]] = [UnixStreamServer, UnixDatagramServer]


def leave_stale(kind: type[TCPServer], path: str) -> None:
    """What a server that was killed leaves behind."""
    with socket.socket(socket.AF_UNIX, kind.socket_type) as dead:
        dead.bind(path)


@pytest.mark.parametrize("kind", UNIX)
def test_removed_on_close(kind: type[TCPServer], tmp_path: Path):
    with make(kind, tmp_path) as server:
        path = server.server_address
        assert os.path.exists(path)
    assert not os.path.exists(path)


@pytest.mark.parametrize("kind", UNIX)
def test_stale_is_replaced(kind: type[TCPServer], tmp_path: Path):
    leave_stale(kind, str(tmp_path / kind.__name__))
    with make(kind, tmp_path) as server:
        assert ask(server, b"abc", server.handle_request) == b"ABC"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", UNIX)
def test_live_is_refused(kind: type[TCPServer], tmp_path: Path):
    with make(kind, tmp_path) as server:
        with pytest.raises(BindError, match="a running server answers there; stop it") as refused:
            make(kind, tmp_path)
        assert refused.value.errno == errno.EADDRINUSE
        assert server.server_address in str(refused.value)
        with Serving(server):  # unharmed
            assert ask(server, b"abc") == b"ABC"


def test_live_one_of_the_other_kind_is_refused(tmp_path: Path):
    path = str(tmp_path / "path")
    with UnixStreamServer(path, Upper), pytest.raises(BindError, match="running server"):
        UnixDatagramServer(path, Upper)


def test_live_one_with_a_full_queue_is_refused(tmp_path: Path):
    class Short(UnixStreamServer):
        request_queue_size = 0

    with make(Short, tmp_path) as server:
        clients = []
        try:
            for _ in range(50):
                clients.append(socket.socket(socket.AF_UNIX))
                clients[-1].setblocking(False)
                clients[-1].connect(server.server_address)
        except BlockingIOError:
            pass
        with pytest.raises(BindError, match="running server"):
            make(Short, tmp_path)
        for client in clients:
            client.close()


@pytest.mark.parametrize("kind", UNIX)
@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_what_is_no_socket_is_refused(kind: type[TCPServer], what: str, tmp_path: Path):
    path = tmp_path / kind.__name__
    if what == "file":
        path.write_text("precious")
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BindError, match="not a socket") as refused:
        make(kind, tmp_path)
    assert refused.value.errno == errno.EADDRINUSE
    assert os.path.lexists(path)
    assert what != "file" or path.read_text() == "precious"


def test_missing_folder(tmp_path: Path):
    with pytest.raises(BindError, match="folder does not exist"):
        UnixStreamServer(str(tmp_path / "missing" / "path"), Upper)


@pytest.mark.parametrize("kind", UNIX)
def test_not_removed_when_it_is_another_ones(kind: type[TCPServer], tmp_path: Path):
    one = make(kind, tmp_path)
    os.unlink(one.server_address)
    with make(kind, tmp_path) as two:  # took the place over
        one.server_close()
        assert os.path.exists(two.server_address)
        assert ask(two, b"abc", two.handle_request) == b"ABC"


def test_removed_by_somebody_else(tmp_path: Path):
    with make(UnixStreamServer, tmp_path) as server:
        os.unlink(server.server_address)


def test_path_object(tmp_path: Path):
    with UnixStreamServer(tmp_path / "path", Upper) as server:
        assert ask(server, b"abc", server.handle_request) == b"ABC"
    assert list(tmp_path.iterdir()) == []


def test_path_that_is_relative_survives_a_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    with UnixStreamServer("path", Upper):
        monkeypatch.chdir(tmp_path / "sub")
    assert [found.name for found in tmp_path.iterdir()] == ["sub"]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
@pytest.mark.parametrize("kind", UNIX)
def test_abstract_name(kind: type[TCPServer]):
    name = f"\0{uuid.uuid4()}"
    with kind(name, Upper) as server:
        assert server.server_address in (name, name.encode())
        if kind is UnixStreamServer:
            assert ask(server, b"abc", server.handle_request) == b"ABC"
        with pytest.raises(BindError):
            kind(name, Upper)
    with kind(name, Upper):  # free again, and no file was meant
        pass


@pytest.mark.parametrize("make_strategy", [ForkPerRequest, lambda: Prefork(2)])
@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
def test_children_leave_it_alone(make_strategy: type[ForkPerRequest], tmp_path: Path):
    with make(UnixStreamServer, tmp_path, strategy=make_strategy()) as server, Serving(server):
        for _ in range(3):
            assert ask(server, b"abc") == b"ABC"
            assert os.path.exists(server.server_address)
    assert list(tmp_path.iterdir()) == []


def test_bound_and_never_activated(tmp_path: Path):
    server = make(UnixStreamServer, tmp_path, bind_and_activate=False)
    server.server_bind()
    server.server_close()
    assert list(tmp_path.iterdir()) == []
