"""The servers that are compared."""

from dataclasses import dataclass

from benchmarks import optional


@dataclass(frozen=True)
class Subject:
    """One kind of server; `benchmarks/servers/NAME_server.py` runs it."""

    name: str
    needs: str
    summary: str

    @property
    def installed(self) -> bool:
        """True when the package it stands on can be imported."""
        return optional.installed(self.needs)


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("ours", "reactor", "this project, as a user would write the server"),
        Subject("stdlib", "socketserver", "the standard library's socketserver"),
        Subject("raw", "socket", "a bare loop in Python: what a framework could at best reach"),
        Subject("asyncio", "asyncio", "asyncio, protocols (streams for `line`)"),
        Subject("uvloop", "uvloop", "the same on uvloop, a loop in C"),
        Subject("gevent", "gevent", "gevent's StreamServer and DatagramServer, a loop in C"),
    )
}
