"""Errors, named by whose fault they are: yours, the system's or the peer's, ours."""

from __future__ import annotations


class UsageError(ValueError):
    """Yours: an argument, or a call at the wrong time.  The message names the value and the fix."""


class BindError(OSError):
    """The system's: an address could not be bound.  ``errno`` is the system's; the message names the address."""


class IllegalMove(AssertionError):
    """Ours: a state was to change in a way that its table does not have.  Nothing was changed."""


def end_server(error: BaseException) -> None:
    """Mark what a server's own hook raised: it is not one request's affair, and ends the server."""
    error.ends_server = True  # type: ignore[attr-defined]


def ends_server(error: BaseException) -> bool:
    """Whether the error was marked by ``end_server()``."""
    return getattr(error, "ends_server", False)
