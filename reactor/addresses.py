"""Addresses as words: ``tcp://127.0.0.1:9000``, ``udp://[::1]:0``, ``unix:PATH``, ``unixgram:@name``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any

from reactor.errors import UsageError

FORMS = "tcp://HOST:PORT, udp://HOST:PORT, unix:PATH or unixgram:PATH"


class Kind(Enum):
    """What lives at an address; the value is the word it begins with."""

    TCP = "tcp"
    UDP = "udp"
    UNIX = "unix"
    UNIXGRAM = "unixgram"

    @property
    def stream(self) -> bool:
        """Whether clients connect; else they send packets."""
        return self in (Kind.TCP, Kind.UNIX)


@dataclass(frozen=True)
class Address:
    """One address.  ``str()`` of it is the word again.

    kind    which of the four
    native  as the socket module wants it: ``(host, port)``, or a path; an abstract name begins with a NUL
    """

    kind: Kind
    native: tuple[str, int] | str

    @classmethod
    def bound(cls, kind: Kind, name: Any) -> Address:
        """The address that ``getsockname()`` told."""
        if kind in (Kind.TCP, Kind.UDP):
            return cls(kind, (name[0], name[1]))
        return cls(kind, os.fsdecode(name))

    def __str__(self) -> str:
        if isinstance(self.native, str):
            path = self.native
            return f"{self.kind.value}:" + (f"@{path[1:]}" if path.startswith("\0") else path)
        host, port = self.native
        return f"{self.kind.value}://" + (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def parse_address(text: str) -> Address:
    """The address that ``text`` names.  Raises UsageError, naming the text and the fix."""
    word, colon, rest = text.partition(":")
    try:
        kind = Kind(word)
    except ValueError:
        raise UsageError(f"address {text!r}: write {FORMS}") from None
    if not colon:
        raise UsageError(f"address {text!r}: write {FORMS}")
    if kind in (Kind.UNIX, Kind.UNIXGRAM):
        return Address(kind, _path(text, kind, rest))
    if not rest.startswith("//"):
        raise UsageError(f"address {text!r}: write {word}://HOST:PORT")
    return Address(kind, _host_and_port(text, kind, rest[2:]))


def _host_and_port(text: str, kind: Kind, rest: str) -> tuple[str, int]:
    host, colon, port = rest.rpartition(":")
    word = kind.value
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise UsageError(f"address {text!r}: only an IPv6 address stands in brackets, as in {word}://[::1]:9000")
    elif rest.startswith("[") or ":" in host:
        raise UsageError(f"address {text!r}: write an IPv6 address in brackets and a port, as in {word}://[::1]:9000")
    if not colon:
        raise UsageError(f"address {text!r}: the port is missing, as in {word}://127.0.0.1:9000; 0 takes a free one")
    if not host:
        raise UsageError(f"address {text!r}: the host is missing; 127.0.0.1 is this machine, 0.0.0.0 every interface")
    if host == "*":
        raise UsageError(f"address {text!r}: for every interface write {word}://0.0.0.0:{port}, or {word}://[::]:{port}")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise UsageError(f"address {text!r}: {port!r} is no port; write a number from 0 (any free one) to 65535")
    return host, int(port)


def _path(text: str, kind: Kind, path: str) -> str:
    word = kind.value
    if path.startswith("//"):
        if not path.startswith("///"):
            raise UsageError(f"address {text!r}: write {word}:{path[2:]} or {word}:{path[1:]}, without the slashes")
        path = path[2:]
    if path.startswith("@"):
        if not sys.platform.startswith("linux"):
            raise UsageError(f"address {text!r}: only Linux has abstract names; write a path")
        path = "\0" + path[1:]
    if path in ("", "\0"):
        raise UsageError(f"address {text!r}: the path is missing, as in {word}:run/echo.sock")
    return path
