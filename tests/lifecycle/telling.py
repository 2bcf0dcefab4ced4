"""A server and handlers that tell each hook, and do what the plan of a connection says.

G  verify_request(): the request was taken      S  setup()         s  it raises
H  handle()                                     h  it raises       F  finish()     f  it raises
E  handle_error()                               D  shutdown_request()
i  the constructor of the handler raises
"""

from __future__ import annotations

import mmap
import re
from enum import IntEnum
from typing import Any

from handlers import AGAIN, CLOSE, PARK, BaseRequestHandler, StreamRequestHandler, Turn, TurnHandler
from reactor import TCPServer
from tests.lifecycle.events import Events


class Plan(IntEnum):
    """What goes wrong with a connection."""

    NOTHING = 0
    CONSTRUCTOR = 1
    SETUP = 2
    HANDLE = 3
    FINISH = 4
    DENIED = 5
    IDLE = 6  # a short idle_timeout, where the handler parks


#: Every life that the contract allows: finish() comes once after the last turn, and not after setup() or handle()
#: raised; the request is shut down once, at the very end; handle_error() is asked once for what was raised.
LIFE = re.compile(r"GD|G(iE|SsE|SH+(hE|F(fE)?))D")


class Oops(Exception):
    pass


class Telling(TCPServer):
    """Tells what its hooks are called for."""

    request_queue_size = 64

    def __init__(self, handler: Any, strategy: Any) -> None:
        self.events = Events()
        #: By client port; shared with every child, so that a plan may be made after the fork.
        self.plans = mmap.mmap(-1, 1 << 16)
        self.ports: dict[int, int] = {}
        super().__init__(("127.0.0.1", 0), handler, strategy=strategy)

    def plan(self, port: int) -> Plan:
        return Plan(self.plans[port])

    def verify_request(self, request: Any, client_address: Any) -> bool:
        port = client_address[1]
        self.ports[id(request)] = port
        self.events.tell(port, "G")
        return self.plan(port) is not Plan.DENIED

    def shutdown_request(self, request: Any) -> None:
        self.events.tell(self.ports[id(request)], "D")
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.events.tell(client_address[1], "E")

    def forget(self) -> None:
        """After the end."""
        self.events.close()
        self.plans.close()


class Hooks(BaseRequestHandler):
    """The hooks, told; mixed into each kind of handler."""

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        super().__init__(request, client_address, server)
        self.port = client_address[1]
        self.plan = server.plan(self.port)
        if self.plan is Plan.CONSTRUCTOR:
            self.tell("i")
            raise Oops

    def tell(self, event: str) -> None:
        self.server.events.tell(self.port, event)

    def setup(self) -> None:
        self.tell("S")
        if self.plan is Plan.SETUP:
            self.tell("s")
            raise Oops
        super().setup()

    def handle(self) -> Any:
        self.tell("H")
        try:
            turn = self.serve()
            if self.plan is Plan.HANDLE:
                raise Oops
            return turn
        except BaseException:
            self.tell("h")
            raise

    def finish(self) -> None:
        self.tell("F")
        super().finish()
        if self.plan is Plan.FINISH:
            self.tell("f")
            raise Oops

    def serve(self) -> Turn | None:
        raise NotImplementedError


class Base(Hooks, BaseRequestHandler):
    """One line, in pieces as they come."""

    def serve(self) -> None:
        line = b""
        while not line.endswith(b"\n") and (piece := self.request.recv(100)):
            line += piece
        if b"X" in line:
            raise Oops
        self.request.sendall(line.lower())


class Stream(Hooks, StreamRequestHandler):
    """Lines, to the end or to one that says C."""

    def serve(self) -> None:
        for line in self.rfile:
            if b"X" in line:
                raise Oops
            self.wfile.write(line.lower())
            if b"C" in line:
                break


class Turns(Hooks, TurnHandler):
    """A line a turn; at the end of the stream it parks, as if it had not seen it."""

    idle_timeout = 60.0

    def setup(self) -> None:
        super().setup()
        if self.plan is Plan.IDLE:
            self.idle_timeout = 0.005

    def serve(self) -> Turn:
        line = self.rfile.readline()
        if b"X" in line:
            raise Oops
        self.wfile.write(line.lower())
        return CLOSE if b"C" in line else AGAIN if b"A" in line else PARK


class RawTurns(Turns):
    """The same without rfile: the end of the stream is seen by nobody but the parking."""

    def serve(self) -> Turn:
        said = self.request.recv(100)
        if b"X" in said:
            raise Oops
        self.request.sendall(said.lower())
        return CLOSE if b"C" in said else AGAIN if b"A" in said else PARK


KINDS = (Base, Stream, Turns, RawTurns)
