"""What a constructor is given and cannot use is told at once, by name and value, and with what to write instead."""

from __future__ import annotations

import decimal
import fractions
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from handlers import BaseRequestHandler
from reactor import TCPServer
from strategies import ForkingMixIn, ForkPerRequest, Prefork, ThreadPerRequest, ThreadPool

COUNTS: list[tuple[str, Callable[..., Any]]] = [
    ("max_threads", lambda n: ThreadPool(max_threads=n)),
    ("min_threads", lambda n: ThreadPool(min_threads=n)),
    ("queue", lambda n: ThreadPool(queue=n)),
    ("max_threads", lambda n: ThreadPerRequest(max_threads=n)),
    ("max_children", ForkPerRequest),
    ("workers", Prefork),
]

SECONDS: list[tuple[str, Callable[..., Any]]] = [
    ("idle_timeout", lambda s: ThreadPool(idle_timeout=s)),
    ("stop_timeout", lambda s: Prefork(1, stop_timeout=s)),
]


def by_name(value: object) -> str:
    return value if isinstance(value, str) else ""


class Number:
    """A whole number of another make: numpy has some."""

    def __index__(self) -> int:
        return 3


def refused(make: Callable[..., Any], name: str, value: Any, error: type[Exception]) -> str:
    with pytest.raises(error, match=f"^{name}=") as caught:
        make(value)
    return str(caught.value)


@pytest.mark.parametrize(
    "value", [2.0, math.nan, math.inf, "8", b"8", True, False, [8], 8j, decimal.Decimal(8)], ids=repr
)
@pytest.mark.parametrize(("name", "make"), COUNTS, ids=by_name)
def test_what_is_no_whole_number(name: str, make: Callable[..., Any], value: Any):
    said = refused(make, name, value, TypeError)
    assert re.fullmatch(rf"{name}={re.escape(repr(value))}: write a whole number, as in {name}=\d+", said)


@pytest.mark.parametrize("value", [-1, -(10**30), -(10**5000)], ids=["-1", "-10**30", "-10**5000"])
@pytest.mark.parametrize(("name", "make"), COUNTS, ids=by_name)
def test_a_negative_number(name: str, make: Callable[..., Any], value: int):
    refused(make, name, value, ValueError)


@pytest.mark.parametrize(("name", "make"), COUNTS, ids=by_name)
def test_a_whole_number_of_another_make(name: str, make: Callable[..., Any]):
    strategy = make(Number())
    assert type(getattr(strategy, name)) is int
    assert getattr(strategy, name) == 3


def test_huge_numbers():
    """A bound that is never reached is none; as many processes as that are made at once, or tried to."""
    pool = ThreadPool(max_threads=10**30, queue=10**30)
    assert pool.has_room()
    assert ThreadPerRequest(10**30).has_room()
    assert ForkPerRequest(10**30).has_room()
    for value in (10**9, 10**30):
        refused(lambda n: Prefork(n), "workers", value, ValueError)
    refused(lambda n: ThreadPool(8, min_threads=n), "min_threads", 10**30, ValueError)


@pytest.mark.parametrize("value", ["10", b"10", True, [10], None, 10j], ids=repr)
@pytest.mark.parametrize(("name", "make"), SECONDS, ids=by_name)
def test_what_is_no_number_of_seconds(name: str, make: Callable[..., Any], value: Any):
    said = refused(make, name, value, TypeError)
    assert said.endswith(f"{value!r}: write a number of seconds, as in {name}=10.0, or math.inf for ever")


@pytest.mark.parametrize(
    "value",
    [math.nan, -1, -0.1, -math.inf, 10**400, 10**5000],
    ids=["nan", "-1", "-0.1", "-inf", "10**400", "10**5000"],
)
@pytest.mark.parametrize(("name", "make"), SECONDS, ids=by_name)
def test_impossible_seconds(name: str, make: Callable[..., Any], value: Any):
    refused(make, name, value, ValueError)


@pytest.mark.parametrize("value", [1, 0.5, math.inf, 1e300, fractions.Fraction(1, 2), decimal.Decimal("0.5"), Number()])
@pytest.mark.parametrize(("name", "make"), SECONDS, ids=by_name)
def test_seconds(name: str, make: Callable[..., Any], value: Any):
    assert type(getattr(make(value), name)) is float


def test_zero():
    assert Prefork(1, stop_timeout=0).stop_timeout == 0
    assert ThreadPool(queue=0).queue == 0
    refused(lambda s: ThreadPool(idle_timeout=s), "idle_timeout", 0, ValueError)


@pytest.mark.parametrize(("value", "error"), [("40", TypeError), (40.0, TypeError), (0, ValueError)])
def test_the_mix_in_passes_it_on(value: Any, error: type[Exception]):
    """When it is asked for: a program may set the attribute after it has made the server, as with the classic one."""

    class Server(ForkingMixIn, TCPServer):
        max_children = value

    with Server(("127.0.0.1", 0), BaseRequestHandler) as server:
        refused(lambda _: server.strategy, "max_children", value, error)
