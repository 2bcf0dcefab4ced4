"""BaseRequestHandler: what one request means, told in three steps."""

from __future__ import annotations

from typing import Any, ClassVar


class BaseRequestHandler:
    """One request: ``setup()``, ``handle()``, ``finish()``, in that order, on whichever thread or process runs it.

    Constructing a handler only stores its three arguments, so a test can build one and look at it; ``run()`` does the
    work.  A new instance is made for each request.  Subclasses define ``handle()``.

    request         the connected socket (stream), or the packet's bytes (datagram)
    client_address  the peer's address, as the socket module gives it
    server          the server that took the request
    """

    #: False: the server calls ``run()``.  True: the constructor has done the work (the standard library's manner).
    constructor_runs: ClassVar[bool] = False

    #: Whether the work begins before the client has sent anything.  A TurnHandler can wait for that without a thread.
    speaks_first: ClassVar[bool] = True

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        self.request = request
        self.client_address = client_address
        self.server = server

    def run(self) -> BaseRequestHandler | None:
        """Worker thread.  Do the whole request; return None, or the handler itself when it wants another turn.

        ``finish()`` is not called when ``setup()`` or ``handle()`` raised; what ``setup()`` opened is given back by
        ``release()`` then, and the exception goes on to the server's ``handle_error()``.
        """
        try:
            self.setup()
            self.handle()
            self.finish()
        except BaseException:
            self.release()
            raise
        return None

    def setup(self) -> None:
        """Called before ``handle()``, to prepare.  Does nothing here."""

    def handle(self) -> Any:
        """Do all the work that the request needs.  Subclasses define it."""

    def finish(self) -> None:
        """Called after ``handle()`` returned, to clean up.  Does nothing here."""

    def release(self) -> None:
        """Give back what ``setup()`` opened, after an exception.  Called at most once; must not raise."""
