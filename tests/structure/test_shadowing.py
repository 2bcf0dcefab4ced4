"""The three import names are common words: a user's own file that hides one of ours is named in one line."""

from __future__ import annotations

import compileall
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WAYS_OUT = ("rename that file", "move it into a package of yours", "python -P", "pytest --import-mode=importlib")


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=50, check=False
    )


def put(folder: Path, name: str) -> Path:
    """An empty module or package of that name, as a user has it."""
    file = folder / name
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text("")
    return file


@pytest.mark.parametrize("name", ["strategies.py", "strategies/__init__.py"])
def test_a_strategies_module_of_the_user_s_is_named(name: str, tmp_path: Path) -> None:
    file = put(tmp_path, name)
    run = python("-c", "import reactor", cwd=tmp_path)
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("ImportError: reactor needs its own package 'strategies', but Python found ")
    assert str(file) in last
    assert all(way in last for way in WAYS_OUT)


@pytest.mark.parametrize("name", ["handlers.py", "handlers/__init__.py"])
@pytest.mark.parametrize("module", ["reactor.socketserver", "reactor.cli"])
def test_a_handlers_module_of_the_user_s_is_named(module: str, name: str, tmp_path: Path) -> None:
    file = put(tmp_path, name)
    run = python("-c", f"import {module}", cwd=tmp_path)
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("ImportError: reactor needs its own package 'handlers', but Python found ")
    assert str(file) in last
    assert all(way in last for way in WAYS_OUT)


@pytest.mark.parametrize("text", ["", "from reactor import TCPServer", "raise SystemExit('run by mistake')", "def f(:"])
@pytest.mark.parametrize("name", ["strategies.py", "strategies/__init__.py", "handlers.py"])
def test_under_python_m_it_is_one_line(name: str, text: str, tmp_path: Path) -> None:
    file = put(tmp_path, name)
    file.write_text(text)
    ours = file.stem if file.stem != "__init__" else file.parent.name
    for word in (("-m", "reactor"), ("-mreactor",), ("-Wm", "-sm", "reactor")):
        run = python(*word, "serve", "-m", cwd=tmp_path)
        assert (run.returncode, run.stdout) == (2, "")
        (line,) = run.stderr.splitlines()
        assert line.startswith(f"reactor: error: reactor needs its own package {ours!r}")
        assert str(file) in line
        assert all(way in line for way in WAYS_OUT)


@pytest.mark.parametrize("words", [("-m", "shop"), ("-m", "shop.reactor"), ("-mshop", "-m", "reactor")])
def test_another_program_under_python_m_gets_the_error(words: tuple[str, ...], tmp_path: Path) -> None:
    """It imports us while Python still looks for its __main__."""
    put(tmp_path, "strategies.py")
    put(tmp_path, "shop/__init__.py").write_text(
        "try:\n    import reactor\nexcept ImportError as error:\n    print(error.name)\n"
    )
    put(tmp_path, "shop/__main__.py")
    put(tmp_path, "shop/reactor.py")
    run = python(*words, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "strategies\n", "")


@pytest.mark.parametrize("text", ["from reactor import TCPServer", "raise SystemExit('run by mistake')", "def f(:"])
def test_the_user_s_file_is_not_run(text: str, tmp_path: Path) -> None:
    """It may import us in its turn; what that raises would hide the reason."""
    file = put(tmp_path, "strategies.py")
    file.write_text(text)
    run = python("-c", "import reactor", cwd=tmp_path)
    assert run.returncode == 1
    assert str(file) in run.stderr.splitlines()[-1]


def test_our_own_without_their_source_are_ours(tmp_path: Path) -> None:
    home = Path(__file__).resolve().parents[2]
    for name in ("reactor", "strategies", "handlers"):
        shutil.copytree(home / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(tmp_path, quiet=1, legacy=True)
    for source in tmp_path.rglob("*.py"):
        source.unlink()
    run = python("-c", "import reactor.cli; print(reactor.__file__)", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{tmp_path / 'reactor' / '__init__.pyc'}\n"


def test_a_handlers_module_of_the_user_s_leaves_the_reactor_alone(tmp_path: Path) -> None:
    file = put(tmp_path, "handlers.py")
    file.write_text("""
class Hello:
    def __init__(self, request, client_address, server):
        request.sendall(b"hello")
""")
    program = """
import socket, handlers, reactor, threading
with reactor.TCPServer(("127.0.0.1", 0), handlers.Hello) as server:
    with socket.create_connection(server.server_address) as client:
        server.handle_request()
        print(handlers.__file__, client.recv(10))
"""
    run = python("-W", "error", "-c", program, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{file} b'hello'\n"


def test_a_user_s_module_that_was_imported_first_is_named_too(tmp_path: Path) -> None:
    file = put(tmp_path / "elsewhere", "strategies.py")
    program = f"import sys; sys.path.insert(0, {str(file.parent)!r}); import strategies; import reactor"
    run = python("-c", program, cwd=tmp_path)
    assert str(file) in run.stderr.splitlines()[-1]


@pytest.mark.parametrize("module", ["reactor", "reactor.socketserver", "reactor.cli"])
def test_the_way_out_by_a_safe_path(module: str, tmp_path: Path) -> None:
    put(tmp_path, "strategies.py")
    put(tmp_path, "handlers.py")
    run = python("-P", "-c", f"import {module}", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("module", ["reactor", "reactor.socketserver"])
def test_the_way_out_by_a_package(module: str, tmp_path: Path) -> None:
    put(tmp_path, "shop/__init__.py")
    put(tmp_path, "shop/strategies.py")
    put(tmp_path, "shop/handlers.py")
    run = python("-c", f"import shop.strategies, shop.handlers, {module}", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "module"), [("strategies", "reactor"), ("handlers", "reactor.socketserver")]
)
def test_a_file_beside_the_tests_under_pytest(name: str, module: str, tmp_path: Path) -> None:
    """By default pytest puts each test's folder first on the path, so that tests/strategies.py hides ours."""
    file = put(tmp_path, f"tests/{name}.py")
    put(tmp_path, "tests/test_it.py").write_text(f"import {module}\n\ndef test_it():\n    pass\n")
    put(tmp_path, "pytest.ini").write_text("[pytest]\n")
    pytest_here = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")

    run = python(*pytest_here, cwd=tmp_path)
    assert run.returncode == 2
    (line,) = (line for line in run.stdout.splitlines() if line.startswith("E   ImportError: "))
    assert str(file) in line
    assert "pytest --import-mode=importlib" in line

    run = python(*pytest_here, "--import-mode=importlib", cwd=tmp_path)
    assert run.returncode == 0, run.stdout
