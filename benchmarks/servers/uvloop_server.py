"""The asyncio servers on uvloop."""

import asyncio

from benchmarks import optional
from benchmarks.servers import asyncio_server


def serve(mode: str) -> None:
    """Serve until the process is ended."""
    with asyncio.Runner(loop_factory=optional.load("uvloop").new_event_loop) as runner:
        runner.run(asyncio_server.run(mode))
