"""Strategies by name, as the command line writes them: ``prefork:4,threads:8``."""

from __future__ import annotations

from collections.abc import Callable

from strategies.contract import Strategy
from strategies.forking import ForkPerRequest
from strategies.inline import Inline
from strategies.prefork import Prefork
from strategies.threads import ThreadPool

FORMS = "inline, threads:N, fork:N, prefork:N or prefork:N,threads:M"

#: What each number may be at most.  Arbitrary, and beyond what a machine bears: a slip of the finger is told before it
#: is tried.  Whoever needs more constructs the strategy.
MOST = {"threads": 10_000, "fork": 10_000, "prefork": 1_000}


def parse_strategy(text: str) -> Strategy:
    """Make the strategy that ``text`` names.  Raises ValueError, naming the text and the forms there are."""
    outer, comma, inner = (part.strip() for part in text.partition(","))
    name = outer.partition(":")[0]
    if not comma:
        return _one(text, outer, Prefork)
    if name != "prefork":
        raise ValueError(f"strategy {text!r}: only prefork takes an inner strategy; write {FORMS}")
    if inner.partition(":")[0] not in ("inline", "threads"):
        missing = f"{inner!r} cannot run in a worker" if inner else "the inner strategy is missing"
        raise ValueError(f"strategy {text!r}: {missing}; after the comma write inline or threads:M")
    within = _one(text, inner, Prefork)
    return _one(text, outer, lambda count: Prefork(count, within))


def _one(text: str, word: str, prefork: Callable[[int], Strategy]) -> Strategy:
    """The strategy of one word, which is ``text`` or a part of it."""
    name, _, number = word.partition(":")
    if name == "inline" and not number:
        return Inline()
    makers: dict[str, Callable[[int], Strategy]] = {"threads": ThreadPool, "fork": ForkPerRequest, "prefork": prefork}
    if name not in makers:
        raise ValueError(f"strategy {text!r}: write {FORMS}")
    most = MOST[name]
    if not (number.isascii() and number.isdigit() and len(number) < 20 and 0 < int(number) <= most):
        raise ValueError(f"strategy {text!r}: {name} takes a number from 1 to {most}, as in {name}:4; write {FORMS}")
    return makers[name](int(number))
