"""The standard streams of a command: closed, full or broken, each is met once, and never by a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO


def complain(line: str, file: TextIO | None = None) -> None:
    """Say it on standard error; where that is closed or full, the exit status has to say it."""
    stream = file or sys.stderr
    if stream is not None:  # print() would take it for standard output
        with contextlib.suppress(OSError, ValueError):
            print(line, file=stream, flush=True)
    write_out(stream)


def print_out(text: str) -> str | None:
    """Print it at once; returns the reason why that cannot be done.  Where standard output is closed, nothing is."""
    reason: str | None = None
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # for a terminal that does not know a letter
        print(text, end="")
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError:  # closed by the user's module
        pass
    return write_out(sys.stdout) or reason


def write_out(stream: TextIO | None) -> str | None:
    """Flush it.  What cannot be written is dropped, and the reason returned.

    Else the interpreter would try once more at its end, and exit with 120.
    """
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())  # type: ignore[union-attr]  # None does not raise
            os.close(null)
        return error.strerror or str(error)
    except (ValueError, AttributeError):  # closed, or something else put in its place
        pass
    return None


def hold_standard_descriptors() -> None:
    """Keep the number of one that the caller has closed: a socket would get it, and a child print into that."""
    with contextlib.suppress(OSError):
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(fd, True)
        os.close(fd)


def one_line(message: str) -> str:
    return printable(" ".join(message.split()))


def printable(text: str) -> str:
    """One line, and nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
