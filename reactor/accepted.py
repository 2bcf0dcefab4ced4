"""Accepted: a connected socket, as it comes off a listener.

A real socket in all that it does.  The standard library's class sets two attributes in each new one, in Python; here
they stand in the class until one is needed.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

Plain: Any = socket.SocketType  # the half of a socket that is written in C

close = Plain.close


class Accepted(socket.socket):
    """As ``socket.socket``."""

    # The names are those of the base class, whose methods read and set them.
    _io_refs = 0  # how many files made by makefile() are open
    _lingers = False  # closed, but for those files

    __init__ = Plain.__init__

    @property
    def _closed(self) -> bool:
        return self._lingers or self.fileno() < 0

    @_closed.setter
    def _closed(self, closed: bool) -> None:
        self._lingers = closed

    def close(self) -> None:
        """Close it, once the files made of it are closed."""
        if self._io_refs > 0:
            self._lingers = True
        else:
            close(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For multiprocessing, which knows sockets by their very class."""
        reduction: Any = sys.modules.get("multiprocessing.reduction")
        reduce = reduction and reduction.ForkingPickler._extra_reducers.get(socket.socket)  # noqa: SLF001
        return reduce(self) if reduce else super().__reduce_ex__(protocol)
