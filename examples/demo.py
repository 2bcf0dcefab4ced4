"""Five servers in one loop, each under a strategy of its own.  ``make run`` starts this; Ctrl-C ends it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from handlers import CLOSE, PARK, BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler, Turn, TurnHandler
from reactor import BaseServer, BindError, Reactor, TCPServer, UDPServer, UnixStreamServer
from reactor.signals import on_signals
from strategies import Inline, Prefork, Strategy, ThreadPerRequest, ThreadPool

DRAIN = 2.0  # seconds that requests in flight have to finish at the end


class Upper(TurnHandler):
    """A line comes back in capitals.  Between two lines the connection is parked, and holds no thread."""

    timeout = 10.0  # seconds that half a line may keep a thread waiting

    def setup(self) -> None:
        super().setup()
        self.count = 0

    def handle(self) -> Turn:
        line = self.rfile.readline()
        if not line:
            return CLOSE
        self.count += 1
        self.wfile.write(b"%d: %s" % (self.count, line.upper()))
        return PARK


class Clock(StreamRequestHandler):
    """Answers at once and reads nothing: right for the loop's own thread."""

    def handle(self) -> None:
        self.wfile.write(time.strftime("%A, %d %B %Y, %H:%M:%S\n").encode())


class Who(Upper):
    """Tells which of the worker processes has the connection."""

    def handle(self) -> Turn:
        line = self.rfile.readline()
        if not line:
            return CLOSE
        self.wfile.write(b"process %d has read: %s" % (os.getpid(), line))
        return PARK


class Backwards(DatagramRequestHandler):
    """A packet comes back in reverse."""

    def handle(self) -> None:
        self.wfile.write(self.packet.rstrip()[::-1] + b"\n")


class Greeter(StreamRequestHandler):
    """Keeps its thread to the end: the classic way, with a thread for each client."""

    timeout = 60.0  # seconds

    def handle(self) -> None:
        name = self.rfile.readline().strip()
        self.wfile.write(b"hello, %s\n" % name)


class Demo(TCPServer):
    allow_reuse_address = True
    request_queue_size = 128


def near(kind: type[TCPServer], port: int, handler: type[BaseRequestHandler], strategy: Strategy) -> TCPServer:
    """A server at the port, or at any free one where another program has it."""
    try:
        return kind(("127.0.0.1", port), handler, strategy=strategy)
    except BindError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return kind(("127.0.0.1", 0), handler, strategy=strategy)


def how_to_talk(server: BaseServer, say: str) -> str:
    """A command that talks to the server: with nc, or with Python where there is no nc."""
    address = server.server_address
    here = f"-U {address}" if isinstance(address, str) else f"{address[0]} {address[1]}"
    if shutil.which("nc"):
        if isinstance(server, UDPServer):
            return f"echo {say} | nc -u -w1 {here}"
        return f"echo {say} | nc {here}" if say else f"nc {here}"
    if isinstance(server, UDPServer):
        connect = f"s = socket.socket(type=socket.SOCK_DGRAM); s.connect({address})"
    elif isinstance(address, str):
        connect = f"s = socket.socket(socket.AF_UNIX); s.connect('{address}')"
    else:
        connect = f"s = socket.create_connection({address})"
    talk = f"s.sendall(b'{say}\\n'); print(s.recv(99).decode())" if say else "print(s.recv(99).decode())"
    return f'python3 -c "import socket; {connect}; {talk}"'


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="reactor-demo-") as folder, Reactor() as reactor:
        shown = [
            (
                "TCP, ThreadPool(8): lines in capitals; an idle connection holds no thread",
                near(Demo, 9001, Upper, ThreadPool(8)),
                "hello",
            ),
            ("TCP, Inline(): the time", near(Demo, 9002, Clock, Inline()), ""),
            (
                "TCP, Prefork(2): which worker process has you",
                near(Demo, 9003, Who, Prefork(2, stop_timeout=DRAIN)),
                "hello",
            ),
            ("UDP, Inline(): packets backwards", near(UDPServer, 9004, Backwards, Inline()), "stressed"),
            (
                "Unix, ThreadPerRequest(): greets you by name",
                UnixStreamServer(str(Path(folder) / "demo.sock"), Greeter, strategy=ThreadPerRequest()),
                "Guido",
            ),
        ]
        for _, server, _ in shown:
            reactor.add(server)
        with on_signals(lambda: reactor.drain(DRAIN), signal.SIGINT, signal.SIGTERM):
            for what, server, say in shown:
                print(f"{what}\n    {how_to_talk(server, say)}")
            print("Ctrl-C ends it.", flush=True)
            reactor.run()
            reactor.close()
    print("ended")


if __name__ == "__main__":
    main()
