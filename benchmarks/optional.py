"""Packages that make the benchmarks nicer or richer, and may be missing."""

import importlib
import importlib.util
from typing import Any


def installed(name: str) -> bool:
    """True when `name` can be imported; does not import it."""
    return importlib.util.find_spec(name) is not None


def load(name: str) -> Any:
    """The module, or None.

    Typed Any on purpose: the type check must give the same answer whether or not the package is there.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
