"""``reactor serve``: handlers on the command line.

Main thread.  Whatever is wrong with what the user wrote is one line on standard error and exit status 2; once the
addresses are printed, the service runs until SIGTERM or SIGINT, drains and exits with 0, however many more come.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import io
import logging
import math
import os
import reprlib
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from types import FrameType
from typing import Any, NoReturn, TextIO, TypeVar

from reactor.addresses import FORMS as ADDRESSES
from reactor.addresses import Address, Kind, parse_address
from reactor.errors import BindError, UsageError
from reactor.job import attempt
from reactor.neighbours import neighbour
from reactor.reactor import Reactor
from reactor.server import BaseServer, TCPServer, UDPServer, UnixDatagramServer, UnixStreamServer
from reactor.sockets import bind_error
from strategies import Inline, Prefork, Strategy, parse_strategy
from strategies.spec import FORMS as STRATEGIES

neighbour("handlers")

from handlers import DatagramRequestHandler, StreamRequestHandler  # noqa: E402  # the check above has to come first
from reactor.echo import EchoDatagram, EchoStream  # noqa: E402

log = logging.getLogger("reactor")

T = TypeVar("T")

BACKLOG = 1024  # connections; what Redis and others ask for is 511, today's Linux allows 4096
MOST_BACKLOG = (1 << 31) - 1  # what listen() can be told; the kernel has a lower bound of its own
MOST_SECONDS = 1_000_000  # of a drain; arbitrary, eleven days

ENDING = (signal.SIGTERM, signal.SIGINT)

EXAMPLES = """\
examples:
  reactor serve                                                an echo at tcp://127.0.0.1:9000
  reactor serve --bind tcp://127.0.0.1:0                       at a free port, which is printed
  reactor serve shop:Orders --bind tcp://0.0.0.0:9000 --strategy prefork:4,threads:8
  reactor serve --bind 'tcp://[::1]:9000' --bind udp://127.0.0.1:9000 --bind unix:echo.sock \\
                --strategy threads:8 --strategy inline --strategy prefork:2

SIGTERM and SIGINT (Ctrl-C) drain: no more requests are taken, those in flight may finish, and the exit status is 0.
A second one cuts them at once; once all has ended, more of them change nothing.

Each address is a line on standard output. Where that is closed, nobody is told; where the lines cannot be written (a
full disk, a broken pipe), nothing is served, and the exit status is 2.

inline, the default, serves one request at a time: a client that keeps its handler waiting keeps all others waiting,
and the first signal waits for it too. threads:N is right for handlers that wait.
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {_one_line(message)} (see {self.prog} --help)\n")


class Command(Parser):
    """One command: it refuses by itself what it does not know, or argparse would send the user to the wrong help."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        for name, value in vars(found).items():
            # Of --bind=-- argparse takes the dashes for the end of the options, and hands on what is left of them.
            if isinstance(value, list) and (not value or [] in value):
                self.error(f"argument --{name.replace('_', '-')}: '--' is no value")
        return found, unknown


def main(argv: Sequence[str] | None = None) -> int:
    """Main thread.  Run the command; returns its exit status, or raises SystemExit with it.

    Once it has served, SIGTERM and SIGINT are ignored: what is left of the process is its end.
    """
    hold_standard_descriptors()
    try:
        arguments = parse(argv)
        with warnings.catch_warnings():
            warnings.showwarning = show_warning  # before the user's module is imported: one of its own wins
            return serve(arguments)
    except UsageError as error:
        message = str(error)
    except BindError as error:
        message = error.strerror or str(error)
    except KeyboardInterrupt:  # before anything was served
        complain("reactor: interrupted")
        return 128 + signal.SIGINT
    finally:
        for stream in (sys.stdout, sys.stderr):
            write_out(stream)
    complain(f"reactor serve: error: {_one_line(message)}")
    return 2


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the user wants.  Raises SystemExit when that is help, or nothing that there is."""
    said = io.StringIO()  # argparse would not tell that nobody can read it
    try:
        with contextlib.redirect_stdout(said):
            return make_parser().parse_args(argv)
    except SystemExit as end:
        if reason := print_out(said.getvalue()):
            complain(f"reactor: error: cannot write to standard output: {reason}")
            raise SystemExit(end.code or 2) from None
        raise


def make_parser() -> Parser:
    parser = Parser(prog="reactor", description="Socket servers: one loop, many servers, a strategy for each.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Command)
    serve = commands.add_parser(
        "serve",
        help="serve a handler, or an echo, at any number of addresses",
        description="Serve a handler, or the built-in echo, at any number of addresses in one loop.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    serve.add_argument(
        "handler", nargs="?", metavar="MODULE:HANDLER", help="a handler class, importable from here; default: an echo"
    )
    serve.add_argument(
        "--bind",
        action="append",
        type=_argument(parse_address),
        metavar="ADDRESS",
        help=f"{ADDRESSES}; may be repeated; port 0 takes a free one; default: tcp://127.0.0.1:9000",
    )
    serve.add_argument(
        "--strategy",
        action="append",
        type=_argument(parse_strategy),
        metavar="STRATEGY",
        help=f"{STRATEGIES}; one for all addresses, or one for each; default: inline",
    )
    serve.add_argument(
        "--drain-timeout",
        type=_argument(_seconds),
        default=30.0,
        metavar="S",
        help="seconds that requests in flight have to finish when told to stop; default: %(default)g",
    )
    serve.add_argument(
        "--backlog",
        type=_argument(_backlog),
        default=BACKLOG,
        metavar="N",
        help="connections that the kernel holds until they are accepted; default: %(default)d",
    )
    return parser


# -- serving


def serve(arguments: argparse.Namespace) -> int:
    """Bind, tell, and serve until a signal.  Raises UsageError and BindError for what the user has to mend."""
    addresses: list[Address] = arguments.bind or [Address(Kind.TCP, ("127.0.0.1", 9000))]
    strategies = pair(arguments.strategy or [Inline()], len(addresses))
    handler = None if arguments.handler is None else find_handler(arguments.handler)
    # After the user's module was imported: a logging configuration of its own wins.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for strategy in strategies:
        if isinstance(strategy, Prefork):
            strategy.stop_timeout = arguments.drain_timeout
    try:
        reactor = Reactor()
    except OSError as error:
        raise UsageError(f"cannot begin: {error.strerror}; allow this process more (see ulimit -a)") from error
    with reactor, Stop(reactor, arguments.drain_timeout, strategies), contextlib.ExitStack() as opened:
        for address, strategy in zip(addresses, strategies, strict=True):
            opened.callback(close, reactor.add(bind(address, handler, strategy, arguments.backlog)))
        bound = zip(addresses, reactor.servers, strict=True)
        tell(Address.bound(address.kind, server.server_address) for address, server in bound)
        with contextlib.suppress(Cut):
            reactor.run()
        for server in reactor.servers:
            server.close_timeout = 1.0  # seconds; the drain has waited already
    return 0


def close(server: BaseServer) -> None:
    """Close it, whatever a signal cuts meanwhile: a handler's finish() may run in here."""
    while True:
        with contextlib.suppress(Cut):
            server.server_close()
            return


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One line, without the source code: whoever types a command did not write that."""
    complain(f"reactor serve: {category.__name__}: {_one_line(str(message))} ({filename}:{lineno})", file)


def complain(line: str, file: TextIO | None = None) -> None:
    """Say it on standard error; where that is closed or full, the exit status has to say it."""
    stream = file or sys.stderr
    if stream is not None:  # print() would take it for standard output
        with contextlib.suppress(OSError, ValueError):
            print(line, file=stream, flush=True)
    write_out(stream)


def tell(addresses: Iterable[Address]) -> None:
    """Print one line per address, at once.

    Where standard output is closed nobody wants to know.  Raises UsageError where somebody does, and cannot be told.
    """
    if reason := print_out("".join(f"{_printable(str(address))}\n" for address in addresses)):
        raise UsageError(f"cannot print the addresses on standard output: {reason}; close it (>&-) to do without them")


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


class Cut(BaseException):
    """Raised by a second signal into an inline handler that keeps the loop from turning."""


class Stop:
    """What SIGTERM and SIGINT do inside this block: the first begins the drain, another cuts it short.

    After it they do nothing any more.  The old handlers come back only when it is left by an exception: to end by a
    signal, after all was ended well, would tell whoever waits for this process that it was not.

    Signal handlers interrupt each other.  Whatever comes in a storm of signals, few of them may do more than return,
    or they would pile up on the stack.
    """

    def __init__(self, reactor: Reactor, timeout: float, strategies: Iterable[Strategy]) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._preforks = {strategy for strategy in strategies if isinstance(strategy, Prefork)}
        self._told = False
        self._hurried = False
        self._looking = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        for number in ENDING:
            self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:
            for number, old in self._before.items():
                signal.signal(number, old if old is not None else signal.SIG_DFL)
            return
        # One that comes between Python's half of the change and the kernel's would be reported as lost.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """Signal handler, main thread."""
        if not self._told:
            self._told = True
            self._reactor.drain(self._timeout)
            return
        if not self._hurried:
            self._hurried = True
            self._reactor.drain(0.0)
        if self._looking:  # the one that is interrupted here looks at the same stack
            return
        self._looking = True
        try:
            inside = _in_a_request(frame)
        finally:
            self._looking = False
        if inside:
            # run() ends by the exception then, and not by the drain that would cut them.
            for strategy in self._preforks:
                self._reactor.post(strategy.cut)
            raise Cut


def _in_a_request(frame: FrameType | None) -> bool:
    """Signal handler.  Whether it has interrupted an inline request, on whose end the loop waits.

    The stack is asked, because a mark set by each request would cost each request.
    """
    while frame is not None and frame.f_code is not attempt.__code__:
        frame = frame.f_back
    return frame is not None


def pair(strategies: Sequence[Strategy], count: int) -> Sequence[Strategy]:
    """One strategy for each of ``count`` addresses.  Raises UsageError when there is neither one nor that many."""
    if len(strategies) == 1:
        return [strategies[0]] * count
    if len(strategies) != count:
        raise UsageError(
            f"{len(strategies)} strategies for {count} address{'es' if count > 1 else ''}: "
            "give one --strategy for all, or one for each --bind, in the same order"
        )
    return strategies


def bind(address: Address, handler: Callable[..., Any] | None, strategy: Strategy, backlog: int) -> BaseServer:
    """A bound server.  Raises BindError; UsageError for an address that cannot be, or a handler of the other kind."""
    kind = address.kind
    if handler is None:
        handler = EchoStream if kind.stream else EchoDatagram
    wrong = DatagramRequestHandler if kind.stream else StreamRequestHandler
    if isinstance(handler, type) and issubclass(handler, wrong):
        theirs = "packets: bind udp:// or unixgram:" if kind.stream else "connections: bind tcp:// or unix:"
        raise UsageError(f"{handler.__name__} cannot be served at {address}: a {wrong.__name__} takes {theirs}")
    try:
        server = SERVERS[kind](address.native, handler, bind_and_activate=False, strategy=strategy)
    except OSError as error:  # no such address family on this machine, no descriptor left
        raise _as_written(bind_error(error, address.native), address) from error
    server.request_queue_size = backlog
    # Not for packets: there it would let two programs share an address, and each lose what the other gets.
    server.allow_reuse_address = kind is Kind.TCP
    server.logger = log
    with contextlib.ExitStack() as failed:
        failed.callback(server.server_close)
        try:
            server.server_bind()
            server.server_activate()
        except OSError as error:
            named = error if isinstance(error, BindError) else bind_error(error, address.native)
            raise _as_written(named, address) from error
        except (ValueError, TypeError, OverflowError) as error:  # what the socket module takes for no address at all
            raise UsageError(f"address {str(address)!r}: {error}") from error
        failed.pop_all()
    return server


def _as_written(error: BindError, address: Address) -> BindError:
    """The server knows the address as the socket module writes it; the user wrote a word."""
    return BindError(error.errno, str(error.strerror).replace(repr(address.native), str(address)))


SERVERS: dict[Kind, type[TCPServer]] = {
    Kind.TCP: TCPServer,
    Kind.UDP: UDPServer,
    Kind.UNIX: UnixStreamServer,
    Kind.UNIXGRAM: UnixDatagramServer,
}


# -- what the words mean


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
        return f"{type(error).__name__}: {error}"
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # its message is the user's code, too
        return f"{type(error).__name__}, whose message cannot be had"


def _argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """The same, with what it raises as argparse wants it: without that, argparse would swallow the message."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MOST_SECONDS:
        raise UsageError(f"{text!r}: the seconds to finish are a number from 0 to {MOST_SECONDS}")
    return seconds


def _backlog(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= MOST_BACKLOG):
        raise UsageError(f"{text!r}: the connections that may wait are a whole number from 1 to {MOST_BACKLOG}")
    return int(text)


def _version() -> str:
    try:
        return metadata.version("selectors-reactor")
    except metadata.PackageNotFoundError:  # run from a copied folder
        return "of unknown version"


def _one_line(message: str) -> str:
    return _printable(" ".join(message.split()))


def _printable(text: str) -> str:
    """One line, and nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
