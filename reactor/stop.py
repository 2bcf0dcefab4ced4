"""Stop: what the signals do that end ``reactor serve``."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from types import FrameType
from typing import Any

from reactor.job import attempt
from reactor.reactor import Reactor
from strategies import Prefork, Strategy

ENDING = (signal.SIGTERM, signal.SIGINT)


class Cut(BaseException):
    """Raised by a second signal into an inline handler that keeps the loop from turning."""


class Stop:
    """What SIGTERM and SIGINT do inside this block: the first begins the drain, another cuts it short.

    After it they do nothing any more.  The old handlers come back only when it is left by an exception: to end by a
    signal, after all was ended well, would tell whoever waits for this process that it was not.

    Signal handlers interrupt each other.  Whatever comes in a storm of signals, few of them may do more than return,
    or they would pile up on the stack.
    """

    def __init__(self, reactor: Reactor, timeout: float, strategies: Iterable[Strategy]) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._preforks = {strategy for strategy in strategies if isinstance(strategy, Prefork)}
        self._told = False
        self._hurried = False
        self._looking = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        for number in ENDING:
            self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:
            for number, old in self._before.items():
                signal.signal(number, old if old is not None else signal.SIG_DFL)
            return
        # One that comes between Python's half of the change and the kernel's would be reported as lost.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """Signal handler, main thread."""
        if not self._told:
            self._told = True
            self._reactor.drain(self._timeout)
            return
        if not self._hurried:
            self._hurried = True
            self._reactor.drain(0.0)
        if self._looking:  # the one that is interrupted here looks at the same stack
            return
        self._looking = True
        try:
            inside = _in_a_request(frame)
        finally:
            self._looking = False
        if inside:
            # run() ends by the exception then, and not by the drain that would cut them.
            for strategy in self._preforks:
                self._reactor.post(strategy.cut)
            raise Cut


def _in_a_request(frame: FrameType | None) -> bool:
    """Signal handler.  Whether it has interrupted an inline request, on whose end the loop waits.

    The stack is asked, because a mark set by each request would cost each request.
    """
    while frame is not None and frame.f_code is not attempt.__code__:
        frame = frame.f_back
    return frame is not None
