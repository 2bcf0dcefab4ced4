"""What is installed: three packages that load no more than they must, typed, with nothing to depend on."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import pytest

DISTRIBUTION = "selectors-reactor"


def loaded_by(statement: str, folder: Path) -> set[str]:
    """The top-level modules in a new interpreter after `statement`, run away from the checkout."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{statement}; import sys; print(*sys.modules)"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return {name.partition(".")[0] for name in run.stdout.split()}


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("handlers", {"reactor", "strategies"}),
        ("strategies", {"reactor", "handlers"}),
        ("reactor", {"handlers"}),
    ],
)
def test_a_package_loads_none_of_those_it_stands_without(package: str, others: set[str], tmp_path: Path) -> None:
    loaded = loaded_by(f"import {package}", tmp_path)
    assert package in loaded
    assert not others & loaded


@pytest.mark.parametrize("package", ["handlers", "strategies", "reactor"])
def test_a_package_is_marked_as_typed(package: str) -> None:
    assert resources.files(package).joinpath("py.typed").is_file()


def test_nothing_is_needed_at_run_time() -> None:
    assert [need for need in metadata.requires(DISTRIBUTION) or [] if "extra ==" not in need] == []


def test_the_command_is_there() -> None:
    (command,) = metadata.distribution(DISTRIBUTION).entry_points.select(group="console_scripts", name="reactor")
    assert callable(command.load())
