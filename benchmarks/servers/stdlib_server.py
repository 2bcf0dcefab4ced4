"""The standard library's socketserver, as its documentation shows it."""

import socketserver
from collections.abc import Callable

from benchmarks.servers.announce import BACKLOG, HOST, RECV, announce


class Once(socketserver.BaseRequestHandler):
    """One read, one answer."""

    def handle(self) -> None:
        self.request.sendall(self.request.recv(RECV))


class Line(socketserver.StreamRequestHandler):
    """One line through rfile and wfile."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline())


class Echo(socketserver.BaseRequestHandler):
    """Until the peer closes."""

    def handle(self) -> None:
        while data := self.request.recv(RECV):
            self.request.sendall(data)


class Packet(socketserver.BaseRequestHandler):
    """One datagram back."""

    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data, self.client_address)


class Inline(socketserver.TCPServer):
    """One request after the other."""

    allow_reuse_address = True
    request_queue_size = BACKLOG


class Threads(socketserver.ThreadingTCPServer):
    """A thread per request."""

    allow_reuse_address = True
    request_queue_size = BACKLOG
    daemon_threads = True


class Forks(socketserver.ForkingTCPServer):
    """A child per request."""

    allow_reuse_address = True
    request_queue_size = BACKLOG


def build(mode: str) -> socketserver.TCPServer:
    """A bound server for `mode`; KeyError for a mode it does not know."""
    modes: dict[str, Callable[[], socketserver.TCPServer]] = {
        "once": lambda: Inline((HOST, 0), Once),
        "line": lambda: Inline((HOST, 0), Line),
        "echo": lambda: Threads((HOST, 0), Echo),
        "echo-threads": lambda: Threads((HOST, 0), Echo),
        "udp": lambda: socketserver.UDPServer((HOST, 0), Packet),
        "threads": lambda: Threads((HOST, 0), Once),
        "fork": lambda: Forks((HOST, 0), Once),
    }
    return modes[mode]()


def serve(mode: str) -> None:
    """Serve until the process is ended."""
    server = build(mode)
    announce(server.socket.getsockname()[1])
    server.serve_forever()
