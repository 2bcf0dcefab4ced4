"""Hold the imports between our modules to the floors table, and draw them.

    python tools/floors.py          check; one line per violation, exit status 1 if there is one
    python tools/floors.py --draw   redraw the picture, and drop "planned:" from the rows whose file now exists

The tables and the picture live in docs/architecture.md, between markers, so that the page cannot say one thing and
the code do another. The rules:

* every module has a row, every row has a module (or says "planned:");
* inside a package, imports go strictly down, those for the type checker too; so there are no circles;
* between packages, only what the first table allows;
* no import of ours inside a function, written as a statement or as import_module("...");
* an `__init__.py` may import everything beneath it, and nothing beneath it may import it.

The code is parsed, never run. Needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("reactor", "strategies", "handlers")
PAGE = Path("docs/architecture.md")
PLANNED = "planned: "
REDRAW = "run `make docs`"


@dataclass(frozen=True)
class Import:
    """One import of one of our modules by another: `source` at `path`:`line` names `target`."""

    source: str
    target: str
    path: str
    line: int
    typing_only: bool = False
    deferred: bool = False

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass
class Table:
    """What docs/architecture.md promises."""

    floors: dict[str, int] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)  # module: line of its row
    # (package, package it may import): its modules that may, or None for every one.
    allowed: dict[tuple[str, str], set[str] | None] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


@dataclass
class Code:
    """What the tree holds."""

    modules: dict[str, str] = field(default_factory=dict)  # dotted name: path from the root
    imports: list[Import] = field(default_factory=list)


def package_of(module: str) -> str:
    return module.partition(".")[0]


# -- the page


def section(page: str, name: str) -> tuple[int, str]:
    """The text between the markers `name`, and the number of its first line. ValueError: a marker is missing."""
    match = re.search(rf"<!-- {name}:begin -->\n(.*?)<!-- {name}:end -->", page, re.DOTALL)
    if match is None:
        raise ValueError(f"{PAGE}:1: no section between <!-- {name}:begin --> and <!-- {name}:end -->")
    return page.count("\n", 0, match.start(1)) + 1, match.group(1)


def read_table(page: str) -> Table:
    table = Table()
    first, text = section(page, "floors")
    for line, row in enumerate(text.splitlines(), first):
        cells = [cell.strip().replace("`", "") for cell in row.strip().strip("|").split("|")]
        if not row.startswith("|") or cells[0] in ("package", "module") or set(cells[0]) <= set("-: "):
            continue
        if len(cells) != 3:
            table.errors.append(f"{PAGE}:{line}: a row has three cells, this one {len(cells)}")
        elif cells[0] in PACKAGES:
            names = {f"{cells[0]}.{name.strip()}" for name in cells[2].split(",")}
            table.allowed[cells[0], cells[1]] = None if cells[2] == "every module" else names
        elif not cells[1].isdecimal():
            table.errors.append(f"{PAGE}:{line}: {cells[0]} has floor {cells[1]!r}: write a whole number")
        elif cells[0] in table.floors:
            table.errors.append(f"{PAGE}:{line}: {cells[0]} has a second row: keep one")
        else:
            table.floors[cells[0]] = int(cells[1])
            table.rows[cells[0]] = line
            if cells[2].startswith(PLANNED):
                table.planned.add(cells[0])
    return table


# -- the code


def read_code(root: Path) -> Code:
    code = Code()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            code.modules[name] = path.relative_to(root).as_posix()
    for name, path_ in code.modules.items():
        code.imports += imports_of(name, path_, (root / path_).read_text("utf-8"), code.modules)
    return code


def imports_of(module: str, path: str, text: str, modules: dict[str, str]) -> Iterator[Import]:
    """Every import of ours in one file, at any depth."""

    def walk(node: ast.AST, typing_only: bool, deferred: bool) -> Iterator[Import]:
        if isinstance(node, ast.stmt | ast.expr):
            for name in names_in(node, module, path.endswith("/__init__.py")):
                if package_of(name) in PACKAGES:
                    yield Import(module, owner(name, modules), path, node.lineno, typing_only, deferred)
        if isinstance(node, ast.If) and is_type_checking(node.test):
            for statement in node.body:
                yield from walk(statement, True, deferred)
            for statement in node.orelse:
                yield from walk(statement, typing_only, deferred)
            return
        inside = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, typing_only, inside)

    return walk(ast.parse(text, path), False, False)


def names_in(node: ast.stmt | ast.expr, module: str, is_package: bool) -> list[str]:
    """The dotted names, ours or not, that this one statement or call imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.split(".")
            up = parts[: len(parts) - node.level + is_package]
            base = ".".join([*up, base] if base else up)
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []


def owner(name: str, modules: dict[str, str]) -> str:
    """The module behind a dotted name: `reactor.loop.Loop` is of `reactor.loop`, `reactor.Reactor` of `reactor`."""
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return name


def is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


# -- the check


def check(root: Path) -> list[str]:
    """Every violation in the tree under `root`, one line each; empty when it stands."""
    page = (root / PAGE).read_text("utf-8")
    try:
        table, (picture_line, picture) = read_table(page), section(page, "imports")
    except ValueError as error:
        return [str(error)]
    code = read_code(root)
    return [
        *table.errors,
        *against_rows(table, code),
        *against_floors(table, code),
        *([] if picture == draw(table, code) else [f"{PAGE}:{picture_line}: the picture is stale: {REDRAW}"]),
    ]


def against_rows(table: Table, code: Code) -> Iterator[str]:
    for module, path in code.modules.items():
        if module not in table.floors and not path.endswith("/__init__.py"):
            yield f"{path}:1: {module} has no floor: give it a row in {PAGE}"
    for module, line in table.rows.items():
        if module not in code.modules and module not in table.planned:
            yield f"{PAGE}:{line}: {module} has floor {table.floors[module]} and no file: drop the row"
        if module in code.modules and module in table.planned:
            yield f"{PAGE}:{line}: {module} is there and still called planned: {REDRAW}"
    for package, other in table.allowed:
        if (other, package) in table.allowed:
            yield f"{PAGE}:1: {package} and {other} may import each other: keep one of the two rows"


def against_floors(table: Table, code: Code) -> Iterator[str]:
    reach = reachable(code)
    for item in code.imports:
        if item.deferred:
            yield (
                f"{item.where}: {named(item.source, table)} imports {named(item.target, table)} inside a function: "
                "move it to the top of the file, or hand the object in as an argument"
            )
        problem = wrong(item, table)
        if problem is not None:
            circle = ", and it closes a circle" if item.source in reach.get(item.target, ()) else ""
            yield (
                f"{item.where}: {named(item.source, table)} imports {named(item.target, table)}{circle}: {problem}"
            )


def wrong(item: Import, table: Table) -> str | None:
    """What to do about an import that the tables forbid; None for one that they allow."""
    source, target = item.source, item.target
    ours, theirs = package_of(source), package_of(target)
    if ours != theirs:
        if (ours, theirs) not in table.allowed:
            return f"{ours} stands without {theirs}: hand the object in, or move the code to where both are known"
        modules = table.allowed[ours, theirs]
        if modules is not None and source not in modules:
            allowed = ", ".join(sorted(modules))
            return f"of {ours} only {allowed} may: hand the object in from there"
        return None
    if item.path.endswith("/__init__.py") and target.startswith(source + "."):
        return None
    if target == source or source.startswith(target + "."):
        return f"{target}/__init__.py stands above it: import from the module that defines the name"
    if source not in table.floors or target not in table.floors:
        return None  # the missing row has been told
    if table.floors[target] < table.floors[source]:
        return None
    return (
        f"imports go strictly down: move what both need below floor {table.floors[source]}, "
        f"hand it in as an argument, or give {source} a floor above {table.floors[target]}"
    )


def named(module: str, table: Table) -> str:
    floor = table.floors.get(module)
    return f"{module} ({'no floor' if floor is None else f'floor {floor}'})"


def reachable(code: Code) -> dict[str, set[str]]:
    """For each module, every module that it imports, directly or not; those for the type checker do not count."""
    direct: dict[str, set[str]] = {}
    for item in code.imports:
        if not item.typing_only:
            direct.setdefault(item.source, set()).add(item.target)
    reach = {}
    for module in direct:
        seen: set[str] = set()
        todo = [*direct[module]]
        while todo:
            if (name := todo.pop()) not in seen:
                seen.add(name)
                todo += direct.get(name, ())
        reach[module] = seen
    return reach


# -- the picture


def draw(table: Table, code: Code) -> str:
    """The imports as a mermaid flowchart: highest floor first, arrows down, one arrow from a module to a package."""
    modules = [name for name, path in code.modules.items() if not path.endswith("/__init__.py")]
    modules.sort(key=lambda name: (PACKAGES.index(package_of(name)), -table.floors.get(name, 0), name))
    lines = ["flowchart TD"]
    for package in PACKAGES:
        inside = [name for name in modules if package_of(name) == package]
        if not inside:
            continue
        lines.append(f"    subgraph {package}")
        lines += [f'        {node(name)}["{name.partition(".")[2]}"]' for name in inside]
        lines.append("    end")
    order = {name: at for at, name in enumerate([*modules, *PACKAGES])}
    for source, target, typing_only in sorted(arrows(code, set(modules)), key=lambda a: (order[a[0]], order[a[1]])):
        lines.append(f"    {node(source)} {'-.->' if typing_only else '-->'} {node(target)}")
    return "\n".join(["```mermaid", *lines, "```", ""])


def node(module: str) -> str:
    # A bare `end`, or a node named as a subgraph, breaks mermaid: modules carry their package, packages stand bare.
    return module.replace(".", "_")


def arrows(code: Code, modules: set[str]) -> set[tuple[str, str, bool]]:
    """(source, target, for the type checker alone), without the arrows that follow from others."""
    run: set[tuple[str, str]] = set()
    typed: set[tuple[str, str]] = set()
    for item in code.imports:
        same = package_of(item.source) == package_of(item.target)
        target = item.target if same else package_of(item.target)
        if item.source in modules and target in (modules if same else PACKAGES):
            (typed if item.typing_only else run).add((item.source, target))
    reach = reachable(code)
    follows = {
        (source, target)
        for source, target in run
        for through in modules
        if (source, through) in run and through != target and target in reach.get(through, ())
    }
    return {(*arrow, False) for arrow in run - follows} | {(*arrow, True) for arrow in typed - run}


def redraw(root: Path) -> bool:
    """Bring the page up to date with the code. True if that changed it. ValueError: a marker is missing."""
    page = (root / PAGE).read_text("utf-8")
    code, table = read_code(root), read_table(page)
    lines = page.splitlines(keepends=True)
    for module in table.planned & code.modules.keys():
        at = table.rows[module] - 1
        lines[at] = lines[at].replace(PLANNED, "", 1)
    new = "".join(lines)
    _, old_picture = section(new, "imports")
    begin = "<!-- imports:begin -->\n"
    new = new.replace(begin + old_picture, begin + draw(table, code))
    if new != page:
        (root / PAGE).write_text(new, "utf-8")
    return new != page


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Hold our imports to the floors table, and draw them.")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--draw", action="store_true", help=f"redraw the picture in {PAGE}")
    options = parser.parse_args(arguments)
    if options.draw:
        print(f"{PAGE}: {'redrawn' if redraw(options.root) else 'up to date'}")
        return 0
    violations = check(options.root)
    for violation in violations:
        print(violation, file=sys.stderr)
    if not violations:
        print(f"floors: {len(read_code(options.root).modules)} modules stand")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
