"""asyncio: protocols, its fastest way; streams for `line`, its way to read lines."""

import asyncio
import socket
from typing import cast

from benchmarks.servers.announce import BACKLOG, HOST, RECV, announce


class Once(asyncio.Protocol):
    """One read, one answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.close()


class Echo(asyncio.BufferedProtocol):
    """Until the peer closes.

    Buffered, with a buffer of its own: asyncio's plain protocols read 256 KiB at a time, for which malloc maps
    and unmaps memory at every call, or not, depending on what else was allocated.
    """

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(RECV))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(bytes(self.buffer[:nbytes]))


class Packet(asyncio.DatagramProtocol):
    """One datagram back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


async def _line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    writer.close()


async def run(mode: str) -> None:
    """Serve for good on whatever loop is running; KeyError for a mode it does not know."""
    loop = asyncio.get_running_loop()
    if mode == "udp":
        transport, _ = await loop.create_datagram_endpoint(Packet, (HOST, 0))
        announce(transport.get_extra_info("sockname")[1])
        await asyncio.Event().wait()
    listener = socket.create_server((HOST, 0), backlog=BACKLOG)
    if mode == "line":
        server: asyncio.AbstractServer = await asyncio.start_server(_line, sock=listener, backlog=BACKLOG)
    else:
        factory = {"once": Once, "echo": Echo}[mode]
        server = await loop.create_server(factory, sock=listener, backlog=BACKLOG)
    announce(listener.getsockname()[1])
    await server.serve_forever()


def serve(mode: str) -> None:
    """Serve until the process is ended."""
    asyncio.run(run(mode))
