"""A logger that is imported when there is something to say.

``logging``, like ``threading``, puts a hook of its own into every fork, which touches some hundred pages in every
child: half the price of a small child.  A program that uses them pays for them; one that does not should not.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger


class Log:
    """Any thread.  What is asked of it is asked of ``logging.getLogger(name)``."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def logger(self) -> Logger:
        """The logger itself."""
        import logging

        return logging.getLogger(self._name)

    def info(self, message: str, *args: object) -> None:
        self.logger.info(message, *args, stacklevel=2)

    def warning(self, message: str, *args: object) -> None:
        self.logger.warning(message, *args, stacklevel=2)

    def error(self, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        self.logger.error(message, *args, exc_info=exc_info, stacklevel=2)

    def exception(self, message: str, *args: object) -> None:
        self.logger.exception(message, *args, stacklevel=2)
