"""The picture of the states in docs/architecture.md is the table of moves."""

from __future__ import annotations

import re
from pathlib import Path

from reactor.lifecycle import MOVES, EndpointState

PAGE = Path(__file__).resolve().parents[2] / "docs/architecture.md"


def test_the_picture_of_the_states_is_the_table() -> None:
    picture = PAGE.read_text().partition("<!-- states:begin -->")[2].partition("<!-- states:end -->")[0]
    drawn = {(a, b) for a, b in re.findall(r"(\S+) --> (\S+)", picture) if "[*]" not in (a, b)}

    def name(state: object) -> str:
        return "CLOSED_" if state is EndpointState.CLOSED else state.name  # type: ignore[attr-defined,no-any-return]

    assert drawn == {(name(state), name(to)) for state, moves in MOVES.items() for to in moves}
