"""The three import names are generic words.  Where a user's own file hides one of ours, say so in one line."""

from __future__ import annotations

import importlib
import os
from types import ModuleType


def neighbour(name: str) -> ModuleType:
    """Import our package ``name``, which lies beside this one.

    Raises ImportError, naming the file that Python found in its place and the ways out.
    """
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = importlib.import_module(name)
    file = getattr(found, "__file__", None) or next(iter(getattr(found, "__path__", ())), "an unknown place")
    if os.path.realpath(os.path.join(home, name, "__init__.py")) != os.path.realpath(file):
        raise ImportError(
            f"reactor needs its own package {name!r}, but Python found {file} first: rename that file, move it into a "
            f"package of yours, or keep its folder off sys.path (python -P; pytest --import-mode=importlib)",
            name=name,
            path=file,
        )
    return found
