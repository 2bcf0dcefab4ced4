"""A handler by its name on the command line, from whatever the user's module does when it is asked for."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import reprlib
import sys
from collections.abc import Callable
from typing import Any

from reactor.errors import UsageError
from reactor.server import BaseServer

HERE = os.path.dirname(__file__)


def find_handler(text: str) -> Callable[..., Any]:
    """The handler that ``MODULE:HANDLER`` names, from the current directory too.  Raises UsageError."""
    name, colon, path = text.partition(":")
    if not colon or not all(part.isidentifier() for word in (name, path) for part in word.split(".")):
        raise UsageError(f"handler {text!r}: write MODULE:HANDLER, as in shop.service:Orders")
    module = _import(text, name)
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            where = getattr(module, "__file__", None) or "built in"
            raise UsageError(f"handler {text!r}: module {name} ({where}) has no {path}") from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module's own __getattr__ may do anything
            raise UsageError(f"handler {text!r}: {part} raised {_raised(error)}") from error
    try:
        fault = _fault(found)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # and so may its metaclass
        raise UsageError(f"handler {text!r}: {path} cannot be asked what it is: {_raised(error)}") from error
    if fault:
        raise UsageError(f"handler {text!r}: {path} {fault}")
    return found  # type: ignore[no-any-return]  # a callable, as far as can be told


def _fault(found: Any) -> str | None:
    """Why this cannot be a handler, as far as can be told without calling it."""
    if not callable(found):
        return f"is {reprlib.repr(found)}, and not a class or another callable"
    if isinstance(found, type):
        if issubclass(found, BaseServer):
            return "is a server, and not a handler; name the class whose handle() answers a request"
        if not callable(getattr(found, "handle", None)):
            return "has no handle(); derive it from a class in our handlers, StreamRequestHandler say"
    try:
        inspect.signature(found).bind(None, None, None)
    except TypeError:
        return "cannot be called with three arguments, as a handler is: the request, the client's address, the server"
    except ValueError:  # written in C, and does not say what it takes
        pass
    return None


def _import(text: str, name: str) -> Any:
    """Import a module, from the current directory too, as ``python -m`` does."""
    with contextlib.suppress(OSError):  # the current directory is gone; the module may be elsewhere
        here = os.getcwd()
        if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
            sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's module does is told in a line
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (name == missing or name.startswith(f"{missing}.")):
            advice = f"; write {name[:-3]}:HANDLER" if name.endswith(".py") else ""
            raise UsageError(f"handler {text!r}: there is no module {name} here{advice}") from error
        raise UsageError(f"handler {text!r}: importing {name} raised {_raised(error)}") from error


def _raised(error: BaseException) -> str:
    """What the user's module raised, which may be an error that cannot even be written."""
    try:
        if isinstance(error, SyntaxError):
            return f"{type(error).__name__} in {error.filename} line {error.lineno}: {error.msg}"
        return f"{type(error).__name__}: {error}{_where(error)}"
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # its message is the user's code, too
        return f"{type(error).__name__}, whose message cannot be had"


def _where(error: BaseException) -> str:
    """The line of the user's that raised it, or nothing where that is not known."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<") and os.path.dirname(file) != HERE:
            place = f" ({file}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place
