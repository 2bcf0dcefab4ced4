"""Inline: every job on the loop's own thread, one after the other."""

from __future__ import annotations

from strategies.contract import Job, Strategy


class Inline(Strategy):
    """The default: a request is completed before the next one is begun.

    Right for handlers that answer at once.  A handler that waits makes everybody wait.
    """

    def submit(self, job: Job) -> Job | None:
        return job
