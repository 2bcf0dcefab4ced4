"""DatagramRequestHandler: one packet in, one packet out."""

from __future__ import annotations

import errno
import io
import socket

from handlers.base import BaseRequestHandler


class DatagramRequestHandler(BaseRequestHandler):
    """The packet as a file to read; what is written to ``wfile`` leaves as one packet when ``handle()`` returns.

    packet  the packet's bytes        socket  the server's socket, from which the answer leaves
    """

    def setup(self) -> None:
        self.packet: bytes = self.request
        self.socket: socket.socket = self.request.socket
        self.open_files()

    def open_files(self) -> None:
        """Make ``rfile`` from ``packet``, and an empty ``wfile``."""
        self.rfile = io.BytesIO(self.packet)
        self.wfile = io.BytesIO()

    def finish(self) -> None:
        """Send the answer.  Raises OSError (EDESTADDRREQ) where there is one and the client's socket has no name."""
        answer = self.wfile.getvalue()
        if self.client_address:
            self.socket.sendto(answer, self.client_address)
        elif answer:
            raise OSError(
                errno.EDESTADDRREQ,
                "the client's socket has no name, so the answer has nowhere to go; a client has to bind its own path",
            )
