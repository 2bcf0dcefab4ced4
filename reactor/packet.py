"""A datagram: the packet's bytes, and the packet as a job."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from reactor.job import RequestJob


class Datagram(bytes):
    """The bytes of one packet, and where they came in.

    socket     the server's socket; answer with ``request.socket.sendto(answer, client_address)``
    truncated  whether the packet was longer than the server's ``max_packet_size``
    """

    socket: socket.socket
    truncated: bool = False

    @property
    def local_address(self) -> Any:
        """The address that the server's socket is bound to."""
        return self.socket.getsockname()


class Packet(RequestJob):
    """A datagram as a job: one turn, nothing to close, and the answer leaves by the server's own socket."""

    __slots__ = ()

    def holds(self) -> Sequence[Any]:
        return (self.server.socket,)
