"""Binding: the errors that name the address, and Unix paths that are stale, alive or somebody else's."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import Any

from reactor.errors import BindError, UsageError

#: What each refusal of bind() means, and what to do about it.
ADVICE = {
    errno.EADDRINUSE: "another socket has it, or connections of an earlier run linger: stop that program, choose "
    "another address, or set allow_reuse_address = True",
    errno.EACCES: "this user may not bind it; choose a port from 1024 up, or a path in a folder of yours",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address",
    errno.ENOENT: "the folder does not exist; make it first",
    errno.ENOTDIR: "a part of the path is not a folder",
}


def bind(sock: socket.socket, address: Any) -> None:
    """Bind, and name the address in what goes wrong.

    Raises BindError with the system's errno; UsageError for an address that is none.
    """
    try:
        sock.bind(address)
    except OSError as error:
        raise bind_error(error, address) from error
    except (TypeError, ValueError, OverflowError) as error:  # ValueError: a name that cannot be encoded
        raise UsageError(f"server_address={address!r}: {error}") from error


def bind_error(error: OSError, address: Any) -> BindError:
    """The same error, with the address and the way out in its message."""
    reason = error.strerror or str(error)
    code = error.errno
    if code is None and "too long" in reason:  # Python looks at a Unix path before the system does
        code = errno.ENAMETOOLONG
    advice = ADVICE.get(code or 0)
    return BindError(code, f"cannot bind {address!r}: {reason}" + (f": {advice}" if advice else ""))


class UnixPath:
    """The file of a Unix socket that we bound: ours to remove, as long as it is still ours."""

    def __init__(self, path: str | bytes) -> None:
        self.path = os.path.abspath(path)  # the working directory may be another one by the end
        self._identity = identity(path)
        self._pid = os.getpid()  # a forked child has a copy of this object, and no right to the file

    def remove(self) -> bool:
        """Remove the file unless somebody has replaced or removed it, or this is a child; return whether we did."""
        if self._identity is None or self._pid != os.getpid() or identity(self.path) != self._identity:
            return False
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._identity = None
        return True


def identity(path: str | bytes) -> tuple[int, int] | None:
    """Device and inode of a file, or None where there is none."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def bind_unix(sock: socket.socket, path: str | bytes) -> UnixPath | None:
    """Bind a Unix socket: a stale path is replaced, a live one and a file that is no socket are refused.

    Returns the path to remove at the end, None for an abstract or unnamed address.  Raises BindError.
    """
    try:
        bind(sock, path)
    except BindError as error:
        if error.errno != errno.EADDRINUSE or not path or path[:1] in ("\0", b"\0"):
            raise
        _clear_stale(sock, path)
        bind(sock, path)
    if not path or path[:1] in ("\0", b"\0"):
        return None
    return UnixPath(path)


def _clear_stale(sock: socket.socket, path: str | bytes) -> None:
    """Remove a socket file that nobody answers at.  Raises BindError where that is not so."""
    before = identity(path)
    try:
        mode = os.stat(path, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(
            errno.EADDRINUSE,
            f"cannot bind {path!r}: a file that is not a socket is there; remove it or choose another path",
        )
    if _is_live(sock, path):
        raise BindError(
            errno.EADDRINUSE, f"cannot bind {path!r}: a running server answers there; stop it or choose another path"
        )
    if identity(path) == before:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _is_live(sock: socket.socket, path: str | bytes) -> bool:
    """Whether a socket is bound to the path: only ECONNREFUSED says that there is none."""
    with socket.socket(socket.AF_UNIX, sock.type) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # a full backlog, another type of socket, no permission: somebody lives there
            return True
        return True
