"""Bare loops on the socket module: no hooks, no error handling, nothing a framework owes its users.

They are the mark for "how much does the framework cost", so each is written as fast as plain Python goes.
"""

import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from queue import SimpleQueue

from benchmarks.servers.announce import BACKLOG, HOST, RECV, announce


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, 0))
    listener.listen(BACKLOG)
    announce(listener.getsockname()[1])
    return listener


def _accept(listener: socket.socket) -> socket.socket:
    """accept() without its enums, a microsecond less: the mark must not be softer than what can be had."""
    fd: int = listener._accept()[0]  # type: ignore[attr-defined]  # noqa: SLF001
    return socket.socket(2, 1, 0, fd)  # AF_INET, SOCK_STREAM


def _answer(sock: socket.socket) -> None:
    try:
        sock.sendall(sock.recv(RECV))
    except OSError:
        pass  # the client left early
    sock.close()


def _once() -> None:
    listener = _listener()
    while True:
        _answer(_accept(listener))


def _line() -> None:
    listener = _listener()
    while True:
        sock = _accept(listener)
        data = b""
        while not data.endswith(b"\n") and (more := sock.recv(RECV)):
            data += more
        sock.sendall(data)
        sock.close()


def _echo() -> None:
    listener = _listener()
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    socks: dict[int, socket.socket] = {}
    door = listener.fileno()
    while True:
        for fd, _ in poller.poll():
            if fd == door:
                sock = listener.accept()[0]
                sock.setblocking(False)
                socks[sock.fileno()] = sock
                poller.register(sock, select.EPOLLIN)
            elif data := socks[fd].recv(RECV):
                socks[fd].send(data)
            else:
                socks.pop(fd).close()


def _udp() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    announce(sock.getsockname()[1])
    while True:
        sock.sendto(*sock.recvfrom(RECV))


def _threads() -> None:
    listener = _listener()
    queue: SimpleQueue[socket.socket] = SimpleQueue()

    def work() -> None:
        while True:
            _answer(queue.get())

    for _ in range(8):
        threading.Thread(target=work, daemon=True).start()
    while True:
        queue.put(_accept(listener))


def _fork() -> None:
    listener = _listener()
    living: set[int] = set()
    while True:
        sock = _accept(listener)
        pid = os.fork()
        if not pid:
            signal.alarm(10)
            _answer(sock)
            os._exit(0)
        living.add(pid)
        sock.close()
        for child in tuple(living):
            if os.waitpid(child, os.WNOHANG)[0]:
                living.discard(child)


def serve(mode: str) -> None:
    """Serve until the process is ended; KeyError for a mode it does not know."""
    modes: dict[str, Callable[[], None]] = {
        "once": _once,
        "line": _line,
        "echo": _echo,
        "udp": _udp,
        "threads": _threads,
        "fork": _fork,
    }
    modes[mode]()
