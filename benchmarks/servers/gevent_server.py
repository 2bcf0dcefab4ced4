"""gevent's own servers, a greenlet per connection."""

from typing import Any

from benchmarks import optional
from benchmarks.servers.announce import BACKLOG, HOST, RECV, announce


def _once(sock: Any, _address: object) -> None:
    sock.sendall(sock.recv(RECV))


def _line(sock: Any, _address: object) -> None:
    with sock.makefile("rb") as lines:
        sock.sendall(lines.readline())


def _echo(sock: Any, _address: object) -> None:
    while data := sock.recv(RECV):
        sock.sendall(data)


def serve(mode: str) -> None:
    """Serve until the process is ended; KeyError for a mode it does not know."""
    gevent_server: Any = optional.load("gevent.server")
    if mode == "udp":

        class Packet(gevent_server.DatagramServer):  # type: ignore[misc]  # Any, see optional.py
            """One datagram back."""

            def handle(self, data: bytes, address: tuple[str, int]) -> None:
                self.sendto(data, address)

        server = Packet((HOST, 0))
    else:
        handle = {"once": _once, "line": _line, "echo": _echo}[mode]
        server = gevent_server.StreamServer((HOST, 0), handle, backlog=BACKLOG)
    server.start()
    announce(server.server_port)
    server.serve_forever()
