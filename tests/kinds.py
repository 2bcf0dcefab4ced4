"""Kinds: the four servers, an address for each, and a handler that fits."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from reactor import TCPServer, UDPServer, UnixDatagramServer, UnixStreamServer
from tests.answers import Upper, UpperPacket

KINDS: tuple[type[TCPServer], ...] = (TCPServer, UDPServer, UnixStreamServer, UnixDatagramServer)
STREAMS: tuple[type[TCPServer], ...] = (TCPServer, UnixStreamServer)
DATAGRAMS: tuple[type[TCPServer], ...] = (UDPServer, UnixDatagramServer)


def address(kind: type[TCPServer], folder: Path) -> Any:
    """Where a server of this kind can be: a free port, or a path in the folder."""
    return str(folder / kind.__name__) if kind.address_family == socket.AF_UNIX else ("127.0.0.1", 0)


def make(kind: type[TCPServer], folder: Path, handler: Any = None, **arguments: Any) -> TCPServer:
    """A server of this kind; without a handler, one that answers in upper case."""
    if handler is None:
        handler = UpperPacket if kind.socket_type == socket.SOCK_DGRAM else Upper
    return kind(address(kind, folder), handler, **arguments)
