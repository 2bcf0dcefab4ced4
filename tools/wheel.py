"""Check the one wheel in a folder: what it holds, and that it works where nothing else is installed.

    python tools/wheel.py dist
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

PACKAGES = ("handlers", "reactor", "strategies")


def missing(wheel: Path) -> list[str]:
    """What is wrong with the wheel's contents, one line each."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(about).decode())
    wanted = {f"{package}/{name}" for package in PACKAGES for name in ("__init__.py", "py.typed")}
    here = {path.as_posix() for package in PACKAGES for path in Path(package).rglob("*.py")}
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    return [
        *(f"not in the wheel: {name}" for name in sorted((wanted | here) - names)),
        *(f"in the wheel, and not ours: {name}" for name in sorted(tops - set(PACKAGES))),
        *(f"needs at run time: {need}" for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need),
    ]


def try_it(wheel: Path) -> None:
    """Install it, import the three packages and ask the command for its help. CalledProcessError: one failed."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        commands = Path(folder) / "bin"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        for command in (
            ["python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel.resolve())],
            ["python", "-W", "error", "-c", f"import {', '.join(PACKAGES)}"],
            ["reactor", "--help"],
        ):
            subprocess.run(
                [commands / command[0], *command[1:]],
                check=True,
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
            )


def main() -> int:
    (wheel,) = Path(sys.argv[1]).glob("*.whl")
    if problems := missing(wheel):
        print("\n".join(problems), file=sys.stderr)
        return 1
    try_it(wheel)
    print(f"{wheel.name}: complete, installs and runs by itself")
    return 0


if __name__ == "__main__":
    sys.exit(main())
