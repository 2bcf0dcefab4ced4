"""StreamRequestHandler: a connected socket as a file to read and a file to write."""

from __future__ import annotations

import io
import socket
from typing import TYPE_CHECKING, BinaryIO, ClassVar, cast

from handlers.base import BaseRequestHandler

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class SocketReader(io.RawIOBase):
    """The reading half of a socket as a raw file.  Closing it leaves the socket open: the server owns that.

    It counts what it has received, so that ``tell()`` of a BufferedReader around it tells how much was consumed, and
    the difference is what was read ahead.  After a time-out it refuses to go on, for a line cut in two is lost.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timed_out = False
        self.received = 0
        self.at_end = False

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._sock.fileno()

    def tell(self) -> int:
        return self.received

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self.closed:
            raise ValueError("read from a closed file")
        if self._timed_out:
            raise OSError("cannot read from a stream whose read has timed out")
        try:
            count = self._sock.recv_into(buffer)
        except TimeoutError:
            self._timed_out = True
            raise
        except BlockingIOError:
            return None
        self.received += count
        if not count and memoryview(buffer).nbytes:  # read(0) is no end
            self.at_end = True
        return count


class SocketWriter(io.BufferedIOBase):
    """The writing half of a socket: ``write()`` sends everything before it returns."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._sock.fileno()

    def write(self, data: ReadableBuffer) -> int:
        self._sock.sendall(data)
        with memoryview(data) as view:
            return view.nbytes


class SocketSender(io.RawIOBase):
    """The writing half of a socket under a buffer: ``write()`` sends what fits, and tells how much that was.

    Not SocketWriter: after a time-out the buffer has to know what went out, or its last flush would send that again.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._sock.fileno()

    def write(self, data: ReadableBuffer) -> int | None:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return None


class StreamRequestHandler(BaseRequestHandler):
    """``rfile`` and ``wfile`` over the request's socket.

    rbufsize   bytes of read-ahead; -1 is the platform's default, 0 none
    wbufsize   bytes gathered before a send; 0 sends each write at once, -1 is the platform's default
    timeout    seconds that one read or write may wait, or None to wait for ever
    disable_nagle_algorithm  True sets TCP_NODELAY
    """

    rbufsize: ClassVar[int] = -1
    wbufsize: ClassVar[int] = 0
    timeout: float | None = None
    disable_nagle_algorithm: bool = False

    rfile: BinaryIO
    wfile: BinaryIO

    def setup(self) -> None:
        self.connection: socket.socket = self.request
        if self.timeout is not None:
            self.connection.settimeout(self.timeout)
        if self.disable_nagle_algorithm:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.reader = SocketReader(self.connection)
        if self.rbufsize == 0:
            self.rfile = cast(BinaryIO, self.reader)
        else:
            size = io.DEFAULT_BUFFER_SIZE if self.rbufsize < 0 else self.rbufsize
            self.rfile = cast(BinaryIO, io.BufferedReader(self.reader, size))
        if self.wbufsize == 0:
            self.wfile = cast(BinaryIO, SocketWriter(self.connection))
        else:
            size = io.DEFAULT_BUFFER_SIZE if self.wbufsize < 0 else self.wbufsize
            self.wfile = cast(BinaryIO, io.BufferedWriter(SocketSender(self.connection), size))

    def finish(self) -> None:
        self.release()

    def release(self) -> None:
        # The last flush may meet a peer that has gone: that is the peer's affair, and there is nobody left to tell.
        # A setup() that was overridden, or that failed half way, may have opened neither file.
        for name in ("wfile", "rfile"):
            file = getattr(self, name, None)
            if file is not None:
                try:
                    file.close()
                except (OSError, ValueError):
                    pass

    def read_ahead(self) -> int:
        """Bytes that ``rfile``, or TLS beneath it, has taken off the socket and nobody has read yet."""
        reader = getattr(self, "reader", None)
        if reader is None or self.rfile.closed:
            return 0
        decrypted = getattr(self.connection, "pending", None)  # an SSLSocket's
        return int(reader.received - self.rfile.tell()) + (decrypted() if decrypted is not None else 0)
