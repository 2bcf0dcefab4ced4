"""Who runs a request, and who accepts: strategies know a Host, Endpoints and Jobs; no socket, no loop.

A strategy is imported when it is asked for: one that makes processes is the cheaper, the less its program has loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strategies.contract import Endpoint, Host, Job, Saturated, Strategy
    from strategies.forking import ForkPerRequest
    from strategies.forkingmixin import ForkingMixIn
    from strategies.inline import Inline
    from strategies.perrequest import ThreadPerRequest
    from strategies.prefork import Prefork
    from strategies.spec import parse_strategy
    from strategies.threadingmixin import ThreadingMixIn
    from strategies.threads import ThreadPool

__all__ = [
    "Endpoint",
    "ForkPerRequest",
    "ForkingMixIn",
    "Host",
    "Inline",
    "Job",
    "Prefork",
    "Saturated",
    "Strategy",
    "ThreadPerRequest",
    "ThreadPool",
    "ThreadingMixIn",
    "parse_strategy",
]

_HOMES = {
    "contract": ("Endpoint", "Host", "Job", "Saturated", "Strategy"),
    "forking": ("ForkPerRequest",),
    "inline": ("Inline",),
    "forkingmixin": ("ForkingMixIn",),
    "perrequest": ("ThreadPerRequest",),
    "prefork": ("Prefork",),
    "spec": ("parse_strategy",),
    "threadingmixin": ("ThreadingMixIn",),
    "threads": ("ThreadPool",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            value = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
