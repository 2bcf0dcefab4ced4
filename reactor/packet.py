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

    socket: socket.socket = None  # type: ignore[assignment]  # stands in the class of each socket's packets
    truncated: bool = False

    @property
    def local_address(self) -> Any:
        """The address that the server's socket is bound to."""
        return self.socket.getsockname()


def datagrams_of(sock: socket.socket) -> type[Datagram]:
    """The class of the packets that come in by one socket: a dictionary for each of them would double their price."""
    return type("Datagram", (Datagram,), {"socket": sock, "__module__": __name__, "__slots__": ()})


class Packet(RequestJob):
    """A datagram as a job: one turn, nothing to close, and the answer leaves by the server's own socket."""

    def holds(self) -> Sequence[Any]:
        return (self.server.socket,)
