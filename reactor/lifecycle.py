"""The state tables, and the one function that moves a state.

A request's state says who owns it: that side alone may run it, close it or hand it on.

ADMITTED  verified; on its way to a strategy         the loop, then the strategy
RUNNING   a handler runs                             the thread or child that runs it
PARKED    waits for the client to send               the loop
READY     the client has sent, or AGAIN was asked    the loop, then the strategy
ENDING    a parked one that is to end                the loop, then the strategy
LEFT      a child owns it; this copy is closed       nobody here; settled when the child is gone
CLOSED    closed and settled                         nobody

An endpoint's state says whether its server takes requests.

RESTING   no loop turns for it (at first, and again after the loop stopped)
SERVING   it takes requests
DRAINING  it takes none; those admitted may finish
CLOSING   its server was closed; those admitted may finish
CLOSED    nothing is left
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from reactor.errors import IllegalMove


class RequestState(IntEnum):
    """What a request is doing, and so who owns it."""

    ADMITTED = 0
    RUNNING = 1
    PARKED = 2
    READY = 3
    ENDING = 4
    LEFT = 5
    CLOSED = 6


class EndpointState(IntEnum):
    """Whether a server takes requests."""

    RESTING = 10
    SERVING = 11
    DRAINING = 12
    CLOSING = 13
    CLOSED = 14


R, E = RequestState, EndpointState

MOVES: dict[IntEnum, frozenset[IntEnum]] = {
    R.ADMITTED: frozenset({R.RUNNING, R.PARKED, R.LEFT, R.CLOSED}),
    R.RUNNING: frozenset({R.PARKED, R.READY, R.CLOSED}),
    R.PARKED: frozenset({R.READY, R.ENDING}),
    R.READY: frozenset({R.RUNNING, R.ENDING, R.LEFT, R.CLOSED}),
    R.ENDING: frozenset({R.RUNNING, R.LEFT, R.CLOSED}),
    R.LEFT: frozenset({R.CLOSED}),
    R.CLOSED: frozenset(),
    E.RESTING: frozenset({E.SERVING, E.CLOSING}),
    E.SERVING: frozenset({E.RESTING, E.DRAINING, E.CLOSING}),
    E.DRAINING: frozenset({E.RESTING, E.CLOSING}),
    E.CLOSING: frozenset({E.CLOSED}),
    E.CLOSED: frozenset(),
}


def move(owner: Any, state: IntEnum) -> None:
    """Any thread that owns ``owner``.  Set ``owner.state``; raises IllegalMove, changing nothing, if it may not."""
    if state not in MOVES[owner.state]:
        raise IllegalMove(f"{owner!r} cannot go from {owner.state.name} to {state.name}")
    owner.state = state


def moved(owner: Any, state: Any) -> Any:
    """As ``move()``, and return the state."""
    move(owner, state)
    return state
