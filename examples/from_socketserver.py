"""A program written for the standard library, moved over in two steps.

The class below is from the ``socketserver`` documentation, unchanged.  ``install()`` puts our module in the place of
``socketserver``, and whatever is imported afterwards (http.server, here) runs on the reactor.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Iterator

import reactor.socketserver

reactor.socketserver.install()

import http.server  # noqa: E402  # after install(), or it would keep the standard library's classes
import socketserver  # noqa: E402


class MyTCPHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.data = self.rfile.readline().strip()
        self.wfile.write(self.data.upper())


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"served by {socketserver.TCPServer.serve_forever.__module__}\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """Serve in a thread; gives the port."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with server:
        yield int(server.server_address[1])
        server.shutdown()  # at once; the standard library's polls, and takes up to half a second
        thread.join()


def main() -> None:
    echo = socketserver.TCPServer(("127.0.0.1", 0), MyTCPHandler)
    with serving(echo) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"hello\n")
        print(client.recv(100).decode())
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    with serving(web) as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        print(answer.read().decode(), end="")


if __name__ == "__main__":
    main()
