"""rfile and wfile against what socket.makefile() makes of the same socket."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import StreamRequestHandler
from tests.pairs import pair
from tests.serving import DEADLINE

SIZES = st.sampled_from([0, 1, 2, 3, 5, 8, 40, -1])
READS = st.lists(
    st.tuples(st.sampled_from(["read", "readline", "read1", "peek", "readinto", "readlines", "next"]), SIZES)
    | st.just(("close", 0)),
    max_size=12,
)
CHUNKS = st.lists(st.binary(max_size=12) | st.sampled_from([b"a\n", b"\n", b"long line\nshort\n"]), max_size=6)


def stream_handler(sock: socket.socket, **attributes: Any) -> StreamRequestHandler:
    """A handler that is set up, without any server."""
    handler = type("Handler", (StreamRequestHandler,), attributes)(sock, None, None)
    handler.setup()
    return handler


def outcome(file: Any, name: str, size: int) -> Any:
    """What a call gives, or the type of what it raises."""
    try:
        if name == "close":
            return file.close()
        if name == "next":
            return next(file, b"no more")
        if name == "readinto":
            room = bytearray(max(size, 0))
            return file.readinto(room), bytes(room)
        return getattr(file, name)(size)
    except (OSError, ValueError, AttributeError) as error:
        return type(error)


@given(st.sampled_from([0, 1, 7, -1]), CHUNKS, READS)
def test_reading_is_as_from_makefile(rbufsize: int, chunks: list[bytes], reads: list[tuple[str, int]]) -> None:
    with pair() as (ours, to_ours), pair() as (other, to_other):
        for chunk in chunks:
            to_ours.sendall(chunk)
            to_other.sendall(chunk)
        to_ours.shutdown(socket.SHUT_WR)
        to_other.shutdown(socket.SHUT_WR)
        handler = stream_handler(ours, rbufsize=rbufsize)
        with other.makefile("rb", rbufsize if rbufsize >= 0 else None) as file:
            for name, size in reads:
                assert outcome(handler.rfile, name, size) == outcome(file, name, size), (name, size)
        handler.release()
        assert ours.fileno() >= 0, "closing the files closes no socket"


@given(st.sampled_from([0, 1, 7, -1]), CHUNKS, st.lists(st.integers(0, 9), max_size=8))
def test_what_was_read_ahead_is_what_is_left(rbufsize: int, chunks: list[bytes], sizes: list[int]) -> None:
    with pair() as (ours, theirs):
        for chunk in chunks:
            theirs.sendall(chunk)
        theirs.shutdown(socket.SHUT_WR)
        handler = stream_handler(ours, rbufsize=rbufsize)
        consumed = 0
        for size in sizes:
            consumed += len(handler.rfile.read(size))
        left = handler.read_ahead()
        assert left >= 0
        kernel = b""
        while piece := ours.recv(100):
            kernel += piece
        assert consumed + left + len(kernel) == sum(map(len, chunks))
        handler.release()
        assert handler.read_ahead() == 0


def test_reading_nothing_is_no_end_of_file() -> None:
    with pair() as (ours, theirs):
        handler = stream_handler(ours, rbufsize=0)
        theirs.sendall(b"x")
        assert handler.rfile.read(0) == b""
        assert not handler.reader.at_end
        assert handler.rfile.read(1) == b"x"
        theirs.close()
        assert handler.rfile.read(1) == b""
        assert handler.reader.at_end
        handler.release()


WRITES = st.lists(st.sampled_from(["flush"]) | st.binary(max_size=20), max_size=8)


@given(st.sampled_from([0, 1, 7, -1]), WRITES)
def test_writing_is_as_to_makefile(wbufsize: int, writes: list[Any]) -> None:
    with pair() as (ours, to_ours), pair() as (other, to_other):
        handler = stream_handler(ours, wbufsize=wbufsize)
        file: Any = other.makefile("wb", wbufsize if wbufsize >= 0 else None)
        for what in writes:
            for target in (handler.wfile, file):
                if what == "flush":
                    target.flush()
                else:
                    assert target.write(memoryview(what)) == len(what)
            assert available(to_ours) == available(to_other)
        handler.release()
        file.close()
        ours.close()
        other.close()
        assert to_ours.recv(1000) == to_other.recv(1000)


def available(sock: socket.socket) -> bytes:
    sock.setblocking(False)  # MSG_DONTWAIT does not keep a socket with a time-out from waiting
    try:
        return sock.recv(1000, socket.MSG_PEEK)
    except BlockingIOError:
        return b""
    finally:
        sock.settimeout(DEADLINE)


def test_a_write_of_more_than_bytes_counts_bytes() -> None:
    with pair() as (ours, theirs):
        handler = stream_handler(ours)
        assert handler.wfile.write(memoryview(b"abcdefgh").cast("I")) == 8
        assert theirs.recv(100) == b"abcdefgh"
        handler.release()


def test_the_last_flush_after_a_time_out_sends_only_the_rest() -> None:
    """The buffer's own sendall() would not know how much went out, and send it again."""
    said = bytes(i * 7 % 251 for i in range(1 << 20))
    with pair() as (ours, theirs):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        handler = stream_handler(ours, wbufsize=1 << 21, timeout=0.05)
        handler.wfile.write(said)
        with pytest.raises(TimeoutError):
            handler.wfile.flush()
        ours.settimeout(DEADLINE)
        ender = threading.Thread(target=lambda: (handler.release(), ours.shutdown(socket.SHUT_WR)))
        ender.start()
        heard = bytearray()
        while piece := theirs.recv(1 << 16):
            heard += piece
        ender.join(DEADLINE)
        assert heard == said


def test_after_a_time_out_reading_refuses_to_go_on() -> None:
    with pair() as (ours, theirs):
        handler = stream_handler(ours, timeout=0.01)
        theirs.sendall(b"half a li")
        with pytest.raises(TimeoutError):
            handler.rfile.readline()
        theirs.sendall(b"ne\n")
        with pytest.raises(OSError, match="timed out"):
            handler.rfile.readline()
        handler.release()


def test_a_socket_that_does_not_block_reads_none() -> None:
    with pair() as (ours, _):
        ours.setblocking(False)
        for rbufsize in (0, -1):
            handler = stream_handler(ours, rbufsize=rbufsize)
            assert handler.rfile.read(3) is None
            assert not handler.reader.at_end
            handler.release()


def test_the_last_flush_to_a_client_that_has_gone_is_nobodys_affair() -> None:
    with pair() as (ours, theirs):
        handler = stream_handler(ours, wbufsize=-1)
        handler.wfile.write(b"too late")
        theirs.close()
        handler.finish()
        assert handler.wfile.closed
        assert handler.rfile.closed


def test_options_reach_the_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        request, _ = listener.accept()
        with request:
            handler = stream_handler(request, timeout=2.5, disable_nagle_algorithm=True)
            assert request.gettimeout() == 2.5
            assert request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert handler.rfile.fileno() == handler.wfile.fileno() == request.fileno() != client.fileno()
            handler.release()
