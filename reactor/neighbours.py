"""The three import names are generic words.  Where a user's own file hides one of ours, say so in one line."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any


def neighbour(name: str) -> ModuleType:
    """Import our package ``name``, which lies beside this one.

    Raises ImportError, naming the file that Python found in its place and the ways out; that file is not run.  Under
    ``python -m reactor`` the line goes to standard error, and SystemExit is raised: no traceback of ours helps there.
    """
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    file = _place(name)
    if file is None or _same(os.path.join(home, name, os.path.basename(file)), file):
        return importlib.import_module(name)
    message = (
        f"reactor needs its own package {name!r}, but Python found {file} first: rename that file, move it into a "
        f"package of yours, or keep its folder off sys.path (python -P; pytest --import-mode=importlib)"
    )
    if _is_the_command():
        print(f"reactor: error: {message}", file=sys.stderr)
        sys.exit(2)
    raise ImportError(message, name=name, path=file)


def _place(name: str) -> str | None:
    """Where Python has the module from, or would have it from; None where that is nowhere."""
    if name in sys.modules:
        found: Any = sys.modules[name]
        file = getattr(found, "__file__", None)
        folders = getattr(found, "__path__", ())
    else:
        # Not importlib.util.find_spec(), since importlib.util imports threading: a fork would look for its threads.
        specs = (finder.find_spec(name, None) for finder in sys.meta_path)
        found = next((spec for spec in specs if spec is not None), None)
        if found is None:
            return None
        file = found.origin
        folders = found.submodule_search_locations or ()
    return file or next(iter(folders), "an unknown place")


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _is_the_command() -> bool:
    """Whether this is ``python -m reactor``, on its way to our __main__: only until that begins is argv[0] "-m"."""
    if sys.argv[:1] != ["-m"]:
        return False
    word = sys.orig_argv[-len(sys.argv)]  # the last one before those that are the command's own
    return word == "reactor" or (word.startswith("-") and word.endswith("mreactor"))
