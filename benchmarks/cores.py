"""Which core each process of a sample is pinned to."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """Core numbers for the server, the load generator, and this process (which only waits)."""

    server: tuple[int, ...]
    load: tuple[int, ...]
    watcher: tuple[int, ...]

    @property
    def used(self) -> frozenset[int]:
        """The cores on which somebody else's work would disturb a sample."""
        return frozenset(self.server + self.load)


def together(allowed: list[int]) -> Cores:
    """Server and client on the first core: without cross-core wake-ups CPU per request is an honest figure."""
    return Cores(server=(allowed[0],), load=(allowed[0],), watcher=(allowed[-1],))


def spread(allowed: list[int]) -> Cores:
    """The server may use every core, the client the last: threads fight for the interpreter lock as in life."""
    return Cores(server=tuple(allowed), load=(allowed[-1],), watcher=(allowed[-1],))


def allowed() -> list[int]:
    """The cores this process may use, in order."""
    return sorted(os.sched_getaffinity(0))


def text(cores: tuple[int, ...]) -> str:
    """For a command line: "0,1"."""
    return ",".join(map(str, cores))


def pin(text: str) -> None:
    """Pin the calling process, and what it starts from now on, to cores given as "0,1"."""
    os.sched_setaffinity(0, {int(core) for core in text.split(",")})
