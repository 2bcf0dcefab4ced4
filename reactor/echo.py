"""The built-in echo of ``reactor serve``: what came goes back."""

from __future__ import annotations

import contextlib
import socket

from reactor.neighbours import neighbour

neighbour("handlers")

from handlers import CLOSE, PARK, BaseRequestHandler, Turn, TurnHandler  # noqa: E402  # the check comes first


class EchoStream(TurnHandler):
    """What a client sends goes back at once, in the same pieces; between them the connection is parked."""

    timeout = 10.0  # seconds; under Inline, a client that does not read its echo holds up all others that long
    idle_timeout = 300.0  # seconds; under ForkPerRequest an idle connection keeps a child

    def handle(self) -> Turn:
        try:
            if data := self.request.recv(65536):
                self.request.sendall(data)
                return PARK
        except OSError:  # the client is gone, or does not read: its own affair
            pass
        return CLOSE


class EchoDatagram(BaseRequestHandler):
    """Each packet goes back to where it came from."""

    def handle(self) -> None:
        if self.client_address:  # a client of a Unix datagram socket may have no name
            # Never wait for a client whose queue is full, or is gone: packets may be lost.
            with contextlib.suppress(OSError):
                self.request.socket.sendto(self.request, socket.MSG_DONTWAIT, self.client_address)
