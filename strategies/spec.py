"""Strategies by name, as the command line writes them: ``prefork:4,threads:8``."""

from __future__ import annotations

from collections.abc import Callable

from strategies.contract import Strategy
from strategies.forking import ForkPerRequest
from strategies.inline import Inline
from strategies.prefork import Prefork
from strategies.threads import ThreadPool

FORMS = "inline, threads:N, fork:N, prefork:N or prefork:N,threads:M"


def parse_strategy(text: str) -> Strategy:
    """Make the strategy that ``text`` names.  Raises ValueError, naming the text and the forms there are."""
    outer, comma, inner = text.partition(",")
    name, _, number = outer.strip().partition(":")
    if comma and name != "prefork":
        raise ValueError(f"strategy {text!r}: only prefork takes an inner strategy; write {FORMS}")
    makers: dict[str, Callable[[int], Strategy]] = {
        "threads": ThreadPool,
        "fork": ForkPerRequest,
        "prefork": lambda count: Prefork(count, parse_strategy(inner) if comma else None),
    }
    if name == "inline" and not number:
        return Inline()
    if name not in makers:
        raise ValueError(f"strategy {text!r}: write {FORMS}")
    if not (number.isascii() and number.isdigit() and int(number) > 0):
        raise ValueError(f"strategy {text!r}: {name} takes a number from 1 up, as in {name}:4; write {FORMS}")
    try:
        return makers[name](int(number))
    except TypeError as error:
        raise ValueError(f"strategy {text!r}: {error}") from error
