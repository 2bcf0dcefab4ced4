"""Ping-pong on persistent connections."""

import select
import socket
from time import monotonic_ns

from benchmarks.load.tally import Tally

CONNECT_S = 5.0
DRAIN_NS = 2_000_000_000  # arbitrary, as in conn.py


class Echo:
    """One message in flight on each of `concurrency` connections."""

    def __init__(self, port: int, concurrency: int, size: int) -> None:
        self._message = b"x" * (size - 1) + b"\n"
        self._poller = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        for _ in range(concurrency):
            sock = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            self._socks[sock.fileno()] = sock
            self._poller.register(sock, select.EPOLLIN)

    def run(self, seconds: float, limit: int) -> Tally:
        """Ping for `seconds` or `limit` exchanges, whichever ends first, then wait for the last answers."""
        tally = Tally()
        message, size, latencies = self._message, len(self._message), tally.latencies_ns
        deadline = monotonic_ns() + int(seconds * 1e9)
        begun = dict.fromkeys(self._socks, 0)
        waiting = dict.fromkeys(self._socks, size)
        for fd, sock in self._socks.items():
            begun[fd] = monotonic_ns()
            sock.send(message)
        while waiting and monotonic_ns() < deadline + DRAIN_NS:
            for fd, _ in self._poller.poll(0.1):
                sock = self._socks[fd]
                try:
                    data = sock.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    tally.errors += 1
                    del self._socks[fd], waiting[fd]
                    sock.close()
                    continue
                waiting[fd] -= len(data)
                if waiting[fd]:
                    continue
                now = monotonic_ns()
                latencies.append(now - begun[fd])
                if now < deadline and len(latencies) < limit:
                    waiting[fd] = size
                    begun[fd] = now
                    sock.send(message)
                else:
                    del waiting[fd]
        tally.done = len(latencies)
        tally.lost = len(waiting)
        return tally
