"""The drop-in's request handlers: they work in their constructor, and ``finish()`` always follows ``setup()``."""

from __future__ import annotations

import contextlib
import io
import socket
from typing import Any, BinaryIO, cast

from reactor.neighbours import neighbour

neighbour("handlers")

from handlers.base import BaseRequestHandler as NativeHandler  # noqa: E402  # the check above has to come first
from handlers.datagram import DatagramRequestHandler as NativeDatagramHandler  # noqa: E402
from handlers.stream import SocketWriter as ClassicWriter  # noqa: E402
from handlers.stream import StreamRequestHandler as NativeStreamHandler  # noqa: E402

__all__ = ["BaseRequestHandler", "ClassicWriter", "DatagramRequestHandler", "StreamRequestHandler"]


class BaseRequestHandler(NativeHandler):
    """As ``socketserver.BaseRequestHandler``: the constructor does the work."""

    constructor_runs = True

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        super().__init__(request, client_address, server)
        self.setup()
        try:
            self.handle()
        finally:
            self.finish()


class StreamRequestHandler(BaseRequestHandler, NativeStreamHandler):
    """As ``socketserver.StreamRequestHandler``: ``rfile`` and ``wfile`` come from ``connection.makefile()``."""

    def setup(self) -> None:
        self.connection = self.request
        if self.timeout is not None:
            self.connection.settimeout(self.timeout)
        if self.disable_nagle_algorithm:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.rfile = cast(BinaryIO, self.connection.makefile("rb", self.rbufsize))
        if self.wbufsize == 0:
            self.wfile = cast(BinaryIO, ClassicWriter(self.connection))
        else:
            self.wfile = cast(BinaryIO, self.connection.makefile("wb", self.wbufsize))

    def finish(self) -> None:
        if not self.wfile.closed:
            with contextlib.suppress(OSError):  # the client has gone, and there is nobody to tell
                self.wfile.flush()
        self.wfile.close()
        self.rfile.close()


class DatagramRequestHandler(BaseRequestHandler, NativeDatagramHandler):
    """As ``socketserver.DatagramRequestHandler``: the request is a pair of data and socket."""

    def setup(self) -> None:
        self.packet, self.socket = self.request
        self.rfile = io.BytesIO(self.packet)
        self.wfile = io.BytesIO()

    def finish(self) -> None:
        self.socket.sendto(self.wfile.getvalue(), self.client_address)
