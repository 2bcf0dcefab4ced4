"""DatagramRequestHandler: one packet in, one packet out."""

from __future__ import annotations

import errno
import io
import select
import socket
import time

from handlers.base import BaseRequestHandler

ASK_AGAIN = 0.01  # seconds between two tries to send where nothing tells that there is room; arbitrary


class DatagramRequestHandler(BaseRequestHandler):
    """The packet as a file to read; what is written to ``wfile`` leaves as one packet when ``handle()`` returns.

    packet  the packet's bytes        socket  the server's socket, from which the answer leaves

    send_timeout  seconds that the answer may wait for room
    """

    send_timeout: float = 1.0

    def setup(self) -> None:
        self.packet: bytes = self.request
        self.socket: socket.socket = self.request.socket
        self.open_files()

    def _send(self, answer: bytes) -> None:
        deadline = None
        while True:
            try:
                self.socket.sendto(answer, socket.MSG_DONTWAIT, self.client_address)
                return
            except BlockingIOError:
                now = time.monotonic()
                deadline = now + self.send_timeout if deadline is None else deadline
                if now >= deadline:
                    raise TimeoutError(
                        errno.ETIMEDOUT,
                        f"no room for the answer to {self.client_address!r} within {self.send_timeout} s: "
                        "its client does not read",
                    ) from None
            # A full send buffer says when it has room.  A client at a Unix path does not, so it is asked again.
            poll = select.poll()
            if self.socket.family != socket.AF_UNIX:
                poll.register(self.socket, select.POLLOUT)
            poll.poll(1000 * min(deadline - now, ASK_AGAIN))

    def open_files(self) -> None:
        """Make ``rfile`` from ``packet``, and an empty ``wfile``."""
        self.rfile = io.BytesIO(self.packet)
        self.wfile = io.BytesIO()

    def finish(self) -> None:
        """Send the answer, waiting at most ``send_timeout`` seconds for room.

        Raises OSError (EDESTADDRREQ) where there is an answer and the client's socket has no name, and TimeoutError
        where there was no room: at a Unix path it is the client who makes it, by reading.
        """
        answer = self.wfile.getvalue()
        if self.client_address:
            self._send(answer)
        elif answer:
            raise OSError(
                errno.EDESTADDRREQ,
                "the client's socket has no name, so the answer has nowhere to go; a client has to bind its own path",
            )
