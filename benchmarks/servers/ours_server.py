"""This project, as a user would write the server."""

from collections.abc import Callable

import strategies
from benchmarks.servers.announce import BACKLOG, HOST, RECV, announce
from handlers import CLOSE, PARK, BaseRequestHandler, StreamRequestHandler, TurnHandler
from reactor import BaseServer, TCPServer, UDPServer


class Once(BaseRequestHandler):
    """One read, one answer."""

    def handle(self) -> None:
        self.request.sendall(self.request.recv(RECV))


class Line(StreamRequestHandler):
    """One line through rfile and wfile."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline())


class Echo(TurnHandler):
    """One exchange per turn; between them the connection is parked."""

    def handle(self) -> object:
        data = self.request.recv(RECV)
        if not data:
            return CLOSE
        self.request.sendall(data)
        return PARK


class Packet(BaseRequestHandler):
    """One datagram back."""

    def handle(self) -> None:
        self.request.socket.sendto(self.request, self.client_address)


class Server(TCPServer):
    """TCP with a backlog above the number of clients."""

    allow_reuse_address = True
    request_queue_size = BACKLOG


def build(mode: str) -> BaseServer:
    """A bound server for `mode`; KeyError for a mode it does not know."""
    modes: dict[str, Callable[[], BaseServer]] = {
        "once": lambda: Server((HOST, 0), Once),
        "line": lambda: Server((HOST, 0), Line),
        "echo": lambda: Server((HOST, 0), Echo),
        "echo-threads": lambda: Server((HOST, 0), Echo, strategy=strategies.ThreadPool(max_threads=8)),
        "udp": lambda: UDPServer((HOST, 0), Packet),
        "threads": lambda: Server((HOST, 0), Once, strategy=strategies.ThreadPool(max_threads=8)),
        "fork": lambda: Server((HOST, 0), Once, strategy=strategies.ForkPerRequest()),
    }
    return modes[mode]()


def serve(mode: str) -> None:
    """Serve until the process is ended."""
    server = build(mode)
    announce(server.socket.getsockname()[1])
    server.serve_forever()
