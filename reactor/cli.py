"""``reactor serve``: handlers on the command line.

Main thread.  Whatever is wrong with what the user wrote is one line on standard error and exit status 2; once the
addresses are printed, the service runs until SIGTERM or SIGINT, drains and exits with 0, however many more come.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import math
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from typing import Any, NoReturn, TextIO, TypeVar

from reactor.addresses import FORMS as ADDRESSES
from reactor.addresses import Address, Kind, parse_address
from reactor.errors import BindError, UsageError
from reactor.finding import find_handler
from reactor.neighbours import neighbour
from reactor.reactor import Reactor
from reactor.server import BaseServer, TCPServer, UDPServer, UnixDatagramServer, UnixStreamServer
from reactor.sockets import bind_error
from reactor.stop import Cut, Stop
from reactor.streams import complain, hold_standard_descriptors, one_line, print_out, printable, write_out
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
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


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
    complain(f"reactor serve: error: {one_line(message)}")
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
    complain(f"reactor serve: {category.__name__}: {one_line(str(message))} ({filename}:{lineno})", file)


def tell(addresses: Iterable[Address]) -> None:
    """Print one line per address, at once.

    Where standard output is closed nobody wants to know.  Raises UsageError where somebody does, and cannot be told.
    """
    if reason := print_out("".join(f"{printable(str(address))}\n" for address in addresses)):
        raise UsageError(f"cannot print the addresses on standard output: {reason}; close it (>&-) to do without them")


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
    text = str(error.strerror).replace(repr(address.native), str(address))
    return BindError(error.errno, text.replace(", or set allow_reuse_address = True", ""))  # it is set


SERVERS: dict[Kind, type[TCPServer]] = {
    Kind.TCP: TCPServer,
    Kind.UDP: UDPServer,
    Kind.UNIX: UnixStreamServer,
    Kind.UNIXGRAM: UnixDatagramServer,
}


# -- what the words mean


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
