"""Parking: connections that wait in the selector for their client, each with a deadline, holding nothing else."""

from __future__ import annotations

from collections.abc import Callable

from reactor.connection import Connection
from reactor.lifecycle import RequestState, move
from reactor.loop import Loop

READY = RequestState.READY


class Parking:
    """Loop thread.  ``wake(connection)`` is called for each that left: READY, or ENDING when its time was up."""

    def __init__(self, loop: Loop, wake: Callable[[Connection], object]) -> None:
        self._loop = loop
        self._wake = wake
        self._places: dict[Connection, tuple[Callable[[], None], ...]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def park(self, connection: Connection) -> None:
        """Wait for the client.  Raises OSError or ValueError, changing nothing, when the socket cannot be watched.

        UsageError, which is a ValueError too, where the time to wait is none.
        """
        patience = connection.idle_timeout
        undos = [self._loop.watch(connection.request.fileno(), lambda: self._readable(connection))]
        if patience is not None:
            undos.append(self._loop.call_at(self._loop.clock() + patience, self._expired, connection))
        connection.parked_in_turn = self._loop.turns
        self._places[connection] = tuple(undos)

    def _unpark(self, connection: Connection) -> None:
        for undo in self._places.pop(connection):
            undo()

    def _readable(self, connection: Connection) -> None:
        self._unpark(connection)
        # Only one that did not wait at all is worth the look.
        if connection.parked_in_turn + 1 >= self._loop.turns and connection.at_end() and connection.heard_end():
            connection.end()
        else:
            move(connection, READY)
        self._wake(connection)

    def _expired(self, connection: Connection) -> None:
        self._unpark(connection)
        connection.end()
        self._wake(connection)

    def empty(self) -> list[Connection]:
        """Remove all, and return them, ENDING."""
        idle = list(self._places)
        for connection in idle:
            self._unpark(connection)
            connection.end()
        return idle
