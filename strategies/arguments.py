"""What a constructor is given: looked at where it comes in, so that what is wrong with it is said there, by name.

A number that is none of these would be told of much later, on another thread, or never.
"""

from __future__ import annotations

import operator
from typing import Any


def count(name: str, value: Any, least: int, why: str, most: int | None = None) -> int:
    """A whole number, from ``least`` to ``most``; ``why`` says what it has to be.

    Raises TypeError for what is no whole number, ValueError for one that is out of bounds.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}: write a whole number, as in {name}={max(least, 8)}") from None
    if number < least or (most is not None and number > most):
        raise ValueError(f"{name}={_shown(number)}: {why}")
    return number


def seconds(name: str, value: Any, why: str, *, zero: bool) -> float:
    """A number of seconds, ``math.inf`` for ever; 0 only where ``zero`` says so.  ``why`` says what it has to be.

    Raises TypeError for what is no number, ValueError for one that is out of bounds.
    """
    if isinstance(value, bool) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{name}={value!r}: write a number of seconds, as in {name}=10.0, or math.inf for ever")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name}={_shown(value)}: write math.inf for ever") from None
    if not (number > 0 or (zero and number == 0)):  # NaN is neither
        raise ValueError(f"{name}={value!r}: {why}")
    return number


def _shown(value: Any) -> str:
    """What the number is.  Python writes no int of more than some thousand digits."""
    try:
        return repr(value)
    except ValueError:
        return f"<a number of {value.bit_length()} bits>"
