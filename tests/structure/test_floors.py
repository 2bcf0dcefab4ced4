"""The imports stand on their floors, and tools/floors.py sees each way of not doing so."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tools import floors

ROOT = Path(__file__).resolve().parents[2]

PAGE = """\
# Architecture

<!-- floors:begin -->
| package | may import | which of its modules |
|---|---|---|
| `reactor` | `strategies` | every module |
| `reactor` | `handlers` | `cli` |

| module | floor | what it is |
|---|---|---|
| `handlers.base` | 0 | |
| `strategies.inline` | 1 | |
| `reactor.errors` | 0 | |
| `reactor.loop` | 1 | |
| `reactor.server` | 2 | |
| `reactor.cli` | 3 | |
<!-- floors:end -->

<!-- imports:begin -->
<!-- imports:end -->
"""

SOUND = {
    "handlers/__init__.py": "from handlers.base import Base",
    "handlers/base.py": "import socket",
    "strategies/__init__.py": "from .inline import Inline",
    "strategies/inline.py": "",
    "reactor/__init__.py": "from . import server",
    "reactor/errors.py": "",
    "reactor/loop.py": "from reactor.errors import Fault",
    "reactor/server.py": "import strategies\nfrom .loop import Loop\nfrom . import errors",
    "reactor/cli.py": "from handlers import Base\nfrom reactor.server import Server",
}


def tree(root: Path, **changed: str) -> Path:
    """A sound little project under `root`, but for what `changed` says: reactor__loop="..." for reactor/loop.py."""
    files = SOUND | {f"{name.replace('__', '/', 1)}.py": text for name, text in changed.items()}
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    write_page(root, PAGE)
    return root


def write_page(root: Path, page: str) -> None:
    (root / "docs").mkdir(exist_ok=True)
    (root / floors.PAGE).write_text(page)
    floors.redraw(root)


def test_our_own_code_stands() -> None:
    assert floors.check(ROOT) == []


def test_a_sound_tree_has_no_violation(tmp_path: Path) -> None:
    assert floors.check(tree(tmp_path)) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param(
            {"reactor__loop": "\nfrom reactor.server import Server"},
            "reactor/loop.py:2: reactor.loop (floor 1) imports reactor.server (floor 2), and it closes a circle: "
            "imports go strictly down",
            id="up-and-a-circle",
        ),
        pytest.param(
            {"reactor__errors": "from reactor.cli import main"},
            "reactor/errors.py:1: reactor.errors (floor 0) imports reactor.cli (floor 3)",
            id="up",
        ),
        pytest.param(
            {"reactor__loop": "from . import loop"},
            "reactor/loop.py:1: reactor.loop (floor 1) imports reactor.loop (floor 1)",
            id="itself",
        ),
        pytest.param(
            {
                "reactor__loop": """\
                from typing import TYPE_CHECKING
                if TYPE_CHECKING:
                    from .server import Server
                """
            },
            "reactor/loop.py:3: reactor.loop (floor 1) imports reactor.server (floor 2)",
            id="up-for-the-type-checker",
        ),
        pytest.param(
            {"reactor__loop": "try:\n    import reactor.server\nexcept ImportError:\n    pass"},
            "reactor/loop.py:2: reactor.loop (floor 1) imports reactor.server (floor 2)",
            id="up-inside-try",
        ),
        pytest.param(
            {"reactor__server": "def f():\n    from reactor.loop import Loop"},
            "reactor/server.py:2: reactor.server (floor 2) imports reactor.loop (floor 1) inside a function",
            id="deferred",
        ),
        pytest.param(
            {"reactor__server": "class S:\n    async def f(self):\n        import_module('reactor.loop')"},
            "reactor/server.py:3: reactor.server (floor 2) imports reactor.loop (floor 1) inside a function",
            id="deferred-by-name",
        ),
        pytest.param(
            {"handlers____init__": "def __getattr__(name):\n    from . import base"},
            "handlers/__init__.py:2: handlers (no floor) imports handlers.base (floor 0) inside a function",
            id="deferred-in-a-package",
        ),
        pytest.param(
            {"reactor__cli": "from reactor import Server"},
            "reactor/cli.py:1: reactor.cli (floor 3) imports reactor (no floor): reactor/__init__.py stands above it",
            id="the-package-from-inside",
        ),
        pytest.param(
            {"handlers__base": "from reactor.errors import Fault"},
            "handlers/base.py:1: handlers.base (floor 0) imports reactor.errors (floor 0): "
            "handlers stands without reactor",
            id="handlers-import-the-reactor",
        ),
        pytest.param(
            {"strategies__inline": "import reactor.loop as loop"},
            "strategies/inline.py:1: strategies.inline (floor 1) imports reactor.loop (floor 1): "
            "strategies stands without reactor",
            id="strategies-import-the-reactor",
        ),
        pytest.param(
            {"strategies____init__": "from handlers import Base"},
            "strategies/__init__.py:1: strategies (no floor) imports handlers (no floor): "
            "strategies stands without handlers",
            id="a-package-imports-another",
        ),
        pytest.param(
            {"reactor__server": "from handlers.base import Base"},
            "reactor/server.py:1: reactor.server (floor 2) imports handlers.base (floor 0): "
            "of reactor only reactor.cli may",
            id="a-module-that-may-not",
        ),
        pytest.param(
            {"reactor____init__": "from handlers import Base"},
            "reactor/__init__.py:1: reactor (no floor) imports handlers (no floor): of reactor only reactor.cli may",
            id="the-reactor-re-exports-handlers",
        ),
        pytest.param(
            {"reactor__stranger": ""},
            "reactor/stranger.py:1: reactor.stranger has no floor: give it a row in docs/architecture.md",
            id="no-row",
        ),
    ],
)
def test_a_violation_is_one_line_with_place_floors_and_the_fix(
    tmp_path: Path, changed: dict[str, str], expected: str
) -> None:
    (line,) = floors.check(tree(tmp_path, **changed))
    assert line.startswith(expected)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("| `reactor.cli` | 3 | |", "", "reactor/cli.py:1: reactor.cli has no floor", id="no-row"),
        pytest.param(
            "| `reactor.cli` | 3 | |",
            "| `reactor.cli` | 3 | |\n| `reactor.gone` | 1 | |",
            "docs/architecture.md:17: reactor.gone has floor 1 and no file: drop the row",
            id="no-file",
        ),
        pytest.param(
            "| `reactor.cli` | 3 | |",
            "| `reactor.cli` | 3 | |\n| `reactor.loop` | 0 | |",
            "docs/architecture.md:17: reactor.loop has a second row",
            id="two-rows",
        ),
        pytest.param(
            "| `reactor.cli` | 3 | |",
            "| `reactor.cli` | top | |",
            "docs/architecture.md:16: reactor.cli has floor 'top'",
            id="not-a-number",
        ),
        pytest.param(
            "| `reactor.cli` | 3 | |",
            "| `reactor.cli` | 3 |",
            "docs/architecture.md:16: a row has three cells",
            id="a-short-row",
        ),
        pytest.param(
            "| `reactor` | `handlers` | `cli` |",
            "| `reactor` | `handlers` | `cli` |\n| `handlers` | `reactor` | every module |",
            "docs/architecture.md:1: reactor and handlers may import each other",
            id="packages-in-a-circle",
        ),
    ],
)
def test_a_table_that_is_wrong_is_told(tmp_path: Path, old: str, new: str, expected: str) -> None:
    root = tree(tmp_path)
    write_page(root, PAGE.replace(old, new))
    assert any(line.startswith(expected) for line in floors.check(root))


def test_a_planned_row_needs_no_file_and_loses_the_word_when_it_comes(tmp_path: Path) -> None:
    root = tree(tmp_path)
    write_page(root, PAGE.replace("| 3 | |\n", "| 3 | |\n| `reactor.later` | 4 | planned: soon |\n"))
    assert floors.check(root) == []

    (root / "reactor/later.py").write_text("")
    assert "docs/architecture.md:17: reactor.later is there and still called planned: run `make docs`" in (
        floors.check(root)
    )
    assert floors.redraw(root)
    assert floors.check(root) == []
    assert "| `reactor.later` | 4 | soon |" in (root / floors.PAGE).read_text()


def test_a_stale_picture_is_told_and_redrawn(tmp_path: Path) -> None:
    root = tree(tmp_path)
    (root / "reactor/cli.py").write_text("import reactor.errors")
    (line,) = floors.check(root)
    assert line == "docs/architecture.md:20: the picture is stale: run `make docs`"
    assert floors.redraw(root)
    assert not floors.redraw(root)
    assert floors.check(root) == []


def test_a_page_without_markers_is_told(tmp_path: Path) -> None:
    root = tree(tmp_path)
    (root / floors.PAGE).write_text("# Architecture\n")
    (line,) = floors.check(root)
    assert line.startswith("docs/architecture.md:1: no section between <!-- floors:begin -->")


def test_the_picture_leaves_out_what_follows(tmp_path: Path) -> None:
    text = """\
    from typing import TYPE_CHECKING
    from .loop import Loop
    from .errors import Fault
    import strategies.inline
    if TYPE_CHECKING:
        from .errors import Other
    """
    root = tree(tmp_path, reactor__server=text, reactor__loop="if TYPE_CHECKING:\n    from .errors import Fault")
    picture = floors.draw(floors.read_table(PAGE), floors.read_code(root))
    assert [line.strip() for line in picture.splitlines() if ">" in line] == [
        "reactor_cli --> reactor_server",
        "reactor_cli --> handlers",
        "reactor_server --> reactor_loop",
        "reactor_server --> reactor_errors",
        "reactor_server --> strategies",
        "reactor_loop -.-> reactor_errors",
    ]
    root = tree(tmp_path, reactor__server=text)
    picture = floors.draw(floors.read_table(PAGE), floors.read_code(root))
    assert "reactor_server --> reactor_errors" not in picture


def test_the_command_says_what_is_wrong_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree(tmp_path)
    assert floors.main(["--root", str(root)]) == 0
    assert "9 modules stand" in capsys.readouterr().out
    (root / "reactor/stranger.py").write_text("")
    assert floors.main(["--root", str(root)]) == 1
    assert "reactor/stranger.py:1: " in capsys.readouterr().err
    assert floors.main(["--root", str(root), "--draw"]) == 0
