"""One datagram in flight on each of `concurrency` sockets."""

import select
import socket
from time import monotonic_ns

from benchmarks.load.tally import Tally

LOST_NS = 200_000_000  # an answer that takes longer counts as lost, and the next datagram goes out


class Udp:
    """Answers are matched by a number in their first eight bytes: a late one is not taken for the current one."""

    def __init__(self, port: int, concurrency: int, size: int) -> None:
        self._padding = b"x" * (size - 8)
        self._poller = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        self._number = 0
        for _ in range(concurrency):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.connect(("127.0.0.1", port))
            self._socks[sock.fileno()] = sock
            self._poller.register(sock, select.EPOLLIN)

    def run(self, seconds: float, limit: int) -> Tally:
        """Send for `seconds` or until `limit` answers, whichever is first, then wait for the last answers."""
        tally = Tally()
        latencies = tally.latencies_ns
        deadline = monotonic_ns() + int(seconds * 1e9)
        flight = {fd: self._send(fd) for fd in self._socks}
        sweep = 0
        while flight:
            for fd, _ in self._poller.poll(0.02):
                try:
                    data = self._socks[fd].recv(65536)
                except OSError:
                    tally.errors += 1
                    continue
                now = monotonic_ns()
                if fd not in flight or data[:8] != flight[fd][0]:
                    continue
                latencies.append(now - flight[fd][1])
                if now < deadline and len(latencies) < limit:
                    flight[fd] = self._send(fd)
                else:
                    del flight[fd]
            now = monotonic_ns()
            if now > sweep:
                sweep = now + LOST_NS // 10
                self._count_lost(flight, now, deadline, tally)
        tally.done = len(latencies)
        return tally

    def _send(self, fd: int) -> tuple[bytes, int]:
        self._number += 1
        number = self._number.to_bytes(8, "big")
        begun = monotonic_ns()
        self._socks[fd].send(number + self._padding)
        return number, begun

    def _count_lost(self, flight: dict[int, tuple[bytes, int]], now: int, deadline: int, tally: Tally) -> None:
        for fd in [fd for fd, (_, begun) in flight.items() if now - begun > LOST_NS]:
            tally.lost += 1
            if now < deadline:
                flight[fd] = self._send(fd)
            else:
                del flight[fd]
