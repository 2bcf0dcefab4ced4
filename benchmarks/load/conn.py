"""Connect, send, read the answer, close: `concurrency` at a time."""

import errno
import select
import socket
from time import monotonic_ns

from benchmarks.load.tally import Tally

DRAIN_NS = 2_000_000_000  # arbitrary: what is under way at the deadline may take this long to end
_UNDER_WAY = {0, errno.EINPROGRESS, errno.EAGAIN}


class _Open:
    """A connection under way: bytes read so far, ns at connect."""

    __slots__ = ("begun", "got", "sock")

    def __init__(self, sock: socket.socket, begun: int) -> None:
        self.sock, self.begun, self.got = sock, begun, 0


class Conn:
    """A closed loop: every answer starts the next connection."""

    def __init__(self, port: int, concurrency: int, size: int) -> None:
        self._address = ("127.0.0.1", port)
        self._concurrency = concurrency
        self._message = b"x" * (size - 1) + b"\n"
        self._poller = select.epoll()
        self._open: dict[int, _Open] = {}

    def run(self, seconds: float, limit: int) -> Tally:
        """Load for `seconds` or `limit` connections, whichever ends first, then let the open ones finish."""
        tally = Tally()
        deadline = monotonic_ns() + int(seconds * 1e9)
        started = 0
        for _ in range(min(self._concurrency, limit)):
            started += 1
            self._start(tally)
        while self._open:
            now = monotonic_ns()
            if now > deadline + DRAIN_NS:
                break
            for fd, events in self._poller.poll(0.1):
                if self._step(fd, events, tally) and monotonic_ns() < deadline and started < limit:
                    started += 1
                    self._start(tally)
        self._give_up(tally)
        return tally

    def _start(self, tally: Tally) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        begun = monotonic_ns()
        if sock.connect_ex(self._address) not in _UNDER_WAY:
            tally.errors += 1
            sock.close()
            return
        wanted = select.EPOLLIN
        try:
            sock.send(self._message)  # on loopback the handshake is over by now, nearly always
        except OSError:
            wanted |= select.EPOLLOUT
        self._open[sock.fileno()] = _Open(sock, begun)
        self._poller.register(sock, wanted)

    def _step(self, fd: int, events: int, tally: Tally) -> bool:
        """True when the connection is over, well or not."""
        state = self._open[fd]
        sock = state.sock
        try:
            if events & select.EPOLLOUT:
                sock.send(self._message)
                self._poller.modify(fd, select.EPOLLIN)
                return False
            data = sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        state.got += len(data)
        if data and state.got < len(self._message):
            return False
        if state.got == len(self._message):
            tally.done += 1
            tally.latencies_ns.append(monotonic_ns() - state.begun)
        else:
            tally.errors += 1
        del self._open[fd]
        sock.close()
        return True

    def _give_up(self, tally: Tally) -> None:
        tally.lost += len(self._open)
        for state in self._open.values():
            state.sock.close()
        self._open.clear()
