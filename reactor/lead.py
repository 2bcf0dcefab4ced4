"""Lead: which thread turns a loop.  A role, and not an identity.

One thread has it for the length of a ``run()`` or of a single turn, under a lock.  Meanwhile it may lay the lead on a
table, for another thread that it has told: then whoever comes first takes it up.  Storing in the table and popping from
it are one step each, so of two that try one has it, and no lock is held while a handler runs.
"""

from __future__ import annotations

from _thread import TIMEOUT_MAX, allocate_lock, get_ident


class Lead:
    """Any thread, except where a method says otherwise.

    table  where the lead lies while nobody has it: a new object each time, under the token of those who may take it up
    """

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._leader: int | None = None
        self._claims: int | None = None  # who is about to be the leader, or finds that another is
        self._by_the_way = False
        self.table: dict[object, object] = {}

    def is_mine(self) -> bool:
        """Whether the calling thread has it.

        False also for a moment in which another thread tries to take it up: who asks goes by the mailbox then.
        """
        me = get_ident()
        return self._leader == me and not self.table and self._claims in (None, me)

    @property
    def is_had(self) -> bool:
        """Whether some thread has it, or has laid it down."""
        return self._leader is not None

    @property
    def lasts(self) -> bool:
        """As ``is_had``, but for a single turn by the way: one that nobody can count on."""
        return self._leader is not None and not self._by_the_way

    def acquire(self, patience: float) -> bool:
        """Wait for it, at most ``patience`` seconds (-1: for ever); return whether it is the calling thread's."""
        return self._lock.acquire(blocking=bool(patience), timeout=min(patience, TIMEOUT_MAX) if patience else -1)

    def begin(self, by_the_way: bool) -> None:
        """Who acquired it.  The calling thread leads."""
        self._by_the_way = by_the_way
        self._leader = get_ident()

    def release(self) -> None:
        """Who acquired it, and has it: not while it lies on the table."""
        self._leader = None
        self._lock.release()

    def take_up(self, token: object, note: list[object]) -> bool:
        """Who was given the ``token``.  Take the lead, if it lies there; return whether it did.

        note  a list of the caller's own, empty at first.  What is taken is noted there in the same step, so who is
              interrupted here by a signal handler's exception calls again, with the same list, and has it all the same

        Who took it up once, and laid it down again, may do so by the table alone.
        """
        self._claims = get_ident()
        note.extend(filter(None, map(self.table.pop, (token,), (None,))))
        if note:
            self._leader = get_ident()
        self._claims = None  # not where an exception comes before: who was interrupted is about to call again
        return bool(note)

    def abandon(self) -> None:
        """Forked child."""
        self._leader = None
