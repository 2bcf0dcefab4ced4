"""Whatever is wrong with what the user wrote: one line on standard error, nothing on standard output, status 2."""

from __future__ import annotations

import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.command.service import MODULE, PATIENCE, REACTOR

MODULES = {
    "fine.py": "from handlers import *\nclass Stream(StreamRequestHandler): pass\n"
    "class Packet(DatagramRequestHandler): pass\nnumber = 7\n",
    "odd.py": "import reactor, socketserver\nclass Server(reactor.TCPServer): pass\nclass Plain: pass\n"
    "class One:\n    def __init__(self, request): pass\n    def handle(self): pass\ndef function(): pass\n",
    "raises.py": "raise RuntimeError('the database\\nis away')",
    "exits.py": "import sys; sys.exit('no configuration')",
    "broken.py": "def f(:\n",
    "lazy.py": "def __getattr__(name):\n    raise LookupError(f'no {name} today')\n",
    "needs.py": "import not_installed_anywhere",
    "worse.py": "class Worse(BaseException): pass\nraise Worse('no\\x1b[31m way')",
    "silent.py": "class Silent(Exception):\n    def __str__(self):\n        raise ValueError('not this one')\n"
    "raise Silent\n",
    "lazy_exit.py": "def __getattr__(name):\n    raise SystemExit(0)\n",
    "shy.py": "class Shy:\n    def __repr__(self):\n        raise ValueError('not me')\nshy = Shy()\n"
    "import os\nbig = list(range(10**6))\n",
    "meta.py": "class Meta(type):\n    def __getattr__(cls, name):\n        raise RuntimeError('who asks?')\n"
    "class Odd(metaclass=Meta): pass\n",
    "no_errors.py": "import sys\nsys.stderr.close()\nraise RuntimeError\n",
}


def refused(*arguments: str, cwd: Path) -> str:
    """What the command says; it has to refuse, in one line."""
    run = subprocess.run(
        [*MODULE, *arguments], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert run.returncode == 2, run
    assert run.stdout == ""
    (line,) = run.stderr.splitlines()
    assert line.startswith("reactor")
    return line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), r"required: COMMAND"),
        (("sing",), r"invalid choice: 'sing'"),
        (("--loud", "serve"), r"unrecognized arguments: --loud \(see reactor --help\)"),
        (("serve", "--loud"), r"reactor serve: error: unrecognized arguments: --loud \(see reactor serve --help\)"),
        (("serve", "fine:Stream", "more"), r"unrecognized arguments: more \(see reactor serve --help\)"),
        (("serve", "--bind", "http://127.0.0.1:80"), r"'http://127.0.0.1:80': write tcp://HOST:PORT, udp://"),
        (("serve", "--bind", "tcp://127.0.0.1"), r"'tcp://127.0.0.1': the port is missing, as in tcp://"),
        (("serve", "--bind", "tcp://127.0.0.1:-1"), r"'-1' is no port; write a number from 0"),
        (("serve", "--bind", "tcp://127.0.0.1:65536"), r"'65536' is no port"),
        (("serve", "--bind", "tcp://::1:80"), r"brackets and a port, as in tcp://\[::1\]:9000"),
        (("serve", "--bind", "unix:"), r"'unix:': the path is missing"),
        (("serve", "--bind", "unix:no/such/folder/s"), r"cannot bind unix:no/such/folder/s: .*make it first"),
        (("serve", "--bind", "unix:" + "x" * 200), r"cannot bind unix:x+: AF_UNIX path too long"),
        (("serve", "--bind", "tcp://192.0.2.1:0"), r"cannot bind tcp://192.0.2.1:0: .*no interface"),
        (("serve", "--bind", "tcp://\u00e9..b:0"), r"(cannot bind|address) .*\S+: .*encod"),
        (("serve", "--bind", f"udp://{'x' * 70}\u00e9:0"), r"(cannot bind|address) .*\S+: .*encod"),
        (("serve", "--bind", "unix:fine.py"), r"cannot bind unix:fine.py: a file that is not a socket is there"),
        (("serve", "--bind=--"), r"'--'"),
        (("serve", "--strategy=--"), r"'--'"),
        (("serve", "--drain-timeout=--"), r"'--'"),
        (("serve", "--backlog=--"), r"'--'"),
        (("serve", "--bind", "unix:" + "x" * 5000), r"cannot bind unix:x+: AF_UNIX path too long"),
        (("serve", "--bind", "tcp://a\x1b[31m:0"), r"tcp://a\\x1b\[31m:0"),
        (("serve", "--bind", "tcp://\udcff:0"), r"tcp://\\udcff:0': .*encod"),
        (("serve", "\udcff:Echo"), r"handler '\\udcff:Echo': write MODULE:HANDLER"),
        (("serve", "--\udcff"), r"unrecognized arguments: --\\udcff"),
        (("serve", "--strategy", "threads"), r"strategy 'threads': threads takes a number"),
        (("serve", "--strategy", "fork:-3"), r"strategy 'fork:-3': fork takes a number from 1 to 10000"),
        (("serve", "--strategy", "threads:99999999999999999999"), r"'threads:9+': threads takes .* from 1 to 10000"),
        (("serve", "--strategy", "threads:" + "9" * 5000), r"'threads:9+': threads takes .* from 1 to 10000"),
        (("serve", "--strategy", "prefork:99999999999999999999"), r"'prefork:9+': prefork takes .* from 1 to 1000,"),
        (("serve", "--strategy", "prefork:2,threads:10001"), r"'prefork:2,threads:10001': threads takes a number"),
        (("serve", "--strategy", "prefork:2,"), r"'prefork:2,': the inner strategy is missing; after the comma write"),
        (("serve", "--strategy", "threads:2,inline"), r"'threads:2,inline': only prefork takes an inner strategy"),
        (("serve", "--strategy", "magic:4"), r"strategy 'magic:4': write inline, threads:N"),
        (("serve", "--strategy", "prefork:2,fork:2"), r"'prefork:2,fork:2': 'fork:2' cannot run in a worker"),
        (("serve", "--strategy", "prefork:2,prefork:2,inline"), r"'prefork:2,inline' cannot run in a worker"),
        (("serve", "--strategy", "inline", "--strategy", "inline"), r"2 strategies for 1 address: give one --strat"),
        (("serve", "--backlog", "-1"), r"'-1': .* a whole number from 1 to 2147483647"),
        (("serve", "--backlog", "99999999999999"), r"'99999999999999': .* a whole number from 1 to 2147483647"),
        (("serve", "--backlog", "9" * 5000), r"'9+': .* a whole number from 1 to 2147483647"),
        (("serve", "--drain-timeout", "-1"), r"'-1': the seconds to finish are a number from 0 to 1000000"),
        (("serve", "--drain-timeout", "1e300"), r"'1e300': the seconds to finish are a number from 0 to 1000000"),
        (("serve", "--drain-timeout", "nan"), r"'nan': the seconds"),
        (("serve", "--drain-timeout", "soon"), r"'soon': the seconds"),
        (("serve", "fine"), r"handler 'fine': write MODULE:HANDLER"),
        (("serve", "fine:"), r"handler 'fine:': write MODULE:HANDLER"),
        (("serve", "missing:Echo"), r"handler 'missing:Echo': there is no module missing here"),
        (("serve", "fine.py:Stream"), r"there is no module fine.py here; write fine:HANDLER"),
        (("serve", "fine:Missing"), r"module fine \(.*fine.py\) has no Missing"),
        (("serve", "fine:Stream.Missing"), r"module fine \(.*fine.py\) has no Stream.Missing"),
        (("serve", "lazy:Echo"), r"Echo raised LookupError: no Echo today"),
        (("serve", "fine:number"), r"number is 7, and not a class or another callable"),
        (("serve", "odd:Server"), r"Server is a server, and not a handler"),
        (("serve", "odd:socketserver.TCPServer"), r"socketserver.TCPServer has no handle\(\)"),
        (("serve", "odd:Plain"), r"handler 'odd:Plain': Plain has no handle\(\); derive it from"),
        (("serve", "odd:One"), r"One cannot be called with three arguments"),
        (("serve", "odd:function"), r"function cannot be called with three arguments"),
        (("serve", "raises:Echo"), r"importing raises raised RuntimeError: the database is away"),
        (("serve", "exits:Echo"), r"importing exits raised SystemExit: no configuration"),
        (("serve", "broken:Echo"), r"importing broken raised SyntaxError in .*broken.py line 1"),
        (("serve", "needs:Echo"), r"importing needs raised ModuleNotFoundError: .*'not_installed_anywhere'"),
        (("serve", "worse:Echo"), r"importing worse raised Worse: no\\x1b\[31m way"),
        (("serve", "silent:Echo"), r"importing silent raised Silent, whose message cannot be had"),
        (("serve", "lazy_exit:Echo"), r"handler 'lazy_exit:Echo': Echo raised SystemExit: 0"),
        (("serve", "shy:shy"), r"shy is <Shy instance at .*>, and not a class"),
        (("serve", "shy:big"), r"big is \[.{1,60}\], and not a class"),
        (("serve", "shy:os.environ"), r"os.environ is .{1,60}, and not a class"),
        (("serve", "meta:Odd"), r"Odd cannot be asked what it is: RuntimeError: who asks\?"),
        (("serve", "fine:Packet", "--bind", "tcp://127.0.0.1:0"), r"Packet cannot be served at tcp://127.0.0.1:0"),
        (("serve", "fine:Stream", "--bind", "unixgram:s"), r"StreamRequestHandler takes connections: bind tcp://"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_a_mistake_is_told_in_one_line(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    assert re.search(says, refused(*arguments, cwd=tmp_path))


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_an_address_in_use(kind: str, tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        if kind == "tcp":
            other.listen()
        address = f"{kind}://127.0.0.1:{other.getsockname()[1]}"
        line = refused("serve", "--bind", address, cwd=tmp_path)
    assert f"cannot bind {address}: Address already in use: another socket has it" in line


def test_a_unix_path_in_use_and_what_was_bound_before_it_is_gone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "live"))
        other.listen()
        line = refused("serve", "--bind", "unix:first", "--bind", "unix:live", cwd=tmp_path)
    assert "a running server answers there" in line
    assert {path.name for path in tmp_path.iterdir()} == {"live"}


def test_no_permission(tmp_path: Path) -> None:
    """Sysfs lets nobody make a file, root neither."""
    folder = Path("/sys/kernel") if sys.platform == "linux" else tmp_path
    if folder is tmp_path:
        tmp_path.chmod(0o500)
    line = refused("serve", "--bind", f"unix:{folder}/reactor.sock", cwd=Path("/"))
    assert re.search(r"cannot bind unix:\S+: (Permission denied|Operation not permitted|Read-only file system)", line)


def test_a_user_s_handlers_module_hides_ours(tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text("")
    line = refused("serve", cwd=tmp_path)
    assert str(tmp_path / "handlers.py") in line
    assert "rename that file" in line


def test_the_script_names_the_file_when_it_was_ours_that_was_meant(tmp_path: Path) -> None:
    """The script does not begin in the current directory: there it is our own package that ``handlers:X`` finds."""
    (tmp_path / "handlers.py").write_text("class Mine: pass")
    run = subprocess.run(
        [REACTOR, "serve", "handlers:Mine"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert re.search(r"module handlers \(.*handlers/__init__.py\) has no Mine", run.stderr)


def test_a_module_that_closes_standard_error_has_the_status_left(tmp_path: Path) -> None:
    (tmp_path / "no_errors.py").write_text(MODULES["no_errors.py"])
    assert run("serve", "no_errors:Echo", cwd=tmp_path) == (2, "", "")


@pytest.mark.parametrize("how", ["raise KeyboardInterrupt", "import signal; signal.raise_signal(signal.SIGINT)"])
def test_an_interrupt_before_anything_is_served(how: str, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(how)
    assert run("serve", "odd:Echo", cwd=tmp_path) == (130, "", "reactor: interrupted\n")


def test_an_interrupt_while_we_are_imported(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text("raise KeyboardInterrupt")  # found before the standard library's
    assert run("serve", cwd=tmp_path) == (130, "", "reactor: interrupted\n")


def test_a_current_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    status, said, errors = run("serve", "nope:Echo", cwd=gone, before=gone.rmdir)
    assert (status, said) == (2, "")
    assert errors == "reactor serve: error: handler 'nope:Echo': there is no module nope here\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how few are enough is known there")
@pytest.mark.parametrize("most", [4, 6])
def test_too_few_descriptors(most: int, tmp_path: Path) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    # Without the site module, which would need more of them than we do.
    module = "import sys; sys.path.insert(0, sys.argv.pop(1)); from reactor.cli import main; sys.exit(main())"
    home = str(Path(__file__).resolve().parents[2])
    command = (sys.executable, "-S", "-c", module, home)
    status, said, errors = run("serve", "--bind", "tcp://127.0.0.1:0", cwd=tmp_path, before=few, command=command)
    assert (status, said) == (2, "")
    assert re.fullmatch(r"reactor serve: error: cannot (begin|bind tcp://127.0.0.1:0): Too many open files.*\n", errors)


def run(
    *arguments: str, cwd: Path, before: Callable[[], object] | None = None, command: Sequence[str] = MODULE
) -> tuple[int, str, str]:
    """Run the command; ``before()`` is called in its process.  Its exit status, and what it said on both streams."""
    end = subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        preexec_fn=before,
    )
    return end.returncode, end.stdout, end.stderr
