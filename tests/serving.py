"""Serving: a server, or a reactor with several, served by a thread of its own for a while."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from reactor import Reactor
from reactor.server import attach

DEADLINE = 10.0  # seconds for anything that should happen at once: long for a loaded machine


class Serving:
    """Context manager; inside it the loop turns.  It does not close what was served.

    What ``serve_forever()`` or ``run()`` raised is raised at the end, unless ``ended()`` has given it out before.
    """

    def __init__(self, served: Any, *args: Any) -> None:
        self.served = served
        self.report: Any = None
        self._args = args
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._serve, name="Serving")

    def __enter__(self) -> Serving:
        turned = threading.Event()
        served = self.served
        if not isinstance(served, Reactor):
            attach(served)
        reactor = served if isinstance(served, Reactor) else served.in_reactor
        reactor.post(turned.set)
        self.thread.start()
        assert turned.wait(DEADLINE), "the loop does not turn"
        return self

    def _serve(self) -> None:
        served = self.served
        try:
            self.report = (served.run if isinstance(served, Reactor) else served.serve_forever)(*self._args)
        except BaseException as error:  # noqa: BLE001  # told to the test's thread
            self._error = error

    def ended(self, timeout: float = DEADLINE) -> BaseException | None:
        """Wait until it has ended by itself; return what it raised."""
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "still serving"
        error, self._error = self._error, None
        return error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.thread.is_alive():  # else it would be the next one that ends at once
            (self.served.stop if isinstance(self.served, Reactor) else self.served.shutdown)()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive(), "did not end"
        if self._error is not None and error is None:
            raise self._error
