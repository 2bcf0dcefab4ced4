"""Who holds the standard library's socketserver already, and so stays on it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


def dependents(original: ModuleType) -> list[str]:
    """The names of the modules that hold ``original``, one of its classes or a subclass of one."""
    classes = (value for value in vars(original).values() if isinstance(value, type))
    theirs = {cls for cls in classes if cls.__module__ == "socketserver"}

    def held(value: Any) -> bool:
        if isinstance(value, type):
            return not theirs.isdisjoint(value.__mro__)
        return value is original

    return sorted(
        name
        for name, module in tuple(sys.modules.items())
        if module is not original and any(map(held, tuple(getattr(module, "__dict__", {}).values())))
    )
