"""A selectors-based reactor with pluggable concurrency strategies: the servers, and the loop that turns them."""

from reactor.neighbours import neighbour

neighbour("strategies")

from reactor.drain import DrainReport  # noqa: E402  # the check above has to come first
from reactor.errors import BindError, UsageError  # noqa: E402
from reactor.packet import Datagram  # noqa: E402
from reactor.reactor import Reactor  # noqa: E402
from reactor.server import BaseServer, TCPServer, UDPServer, UnixDatagramServer, UnixStreamServer  # noqa: E402

__all__ = [
    "BaseServer",
    "BindError",
    "Datagram",
    "DrainReport",
    "Reactor",
    "TCPServer",
    "UDPServer",
    "UnixDatagramServer",
    "UnixStreamServer",
    "UsageError",
]
