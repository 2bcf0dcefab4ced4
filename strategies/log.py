"""A logger that is imported when there is something to say.

``logging``, like ``threading``, puts a hook of its own into every fork, which touches some hundred pages in every
child: half the price of a small child.  A program that uses them pays for them; one that does not should not.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger


class Log:
    """Any thread.  What is asked of it is asked of ``logging.getLogger(name)``.

    Where ``logging`` cannot be imported, because descriptors have run out just when that is to be told, the line goes
    to standard error as it is: what has to be said never ends a server.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def _logger(self) -> Logger | None:
        try:
            import logging
        except (ImportError, OSError):
            return None
        return logging.getLogger(self._name)

    def info(self, message: str, *args: object) -> None:
        logger = self._logger()
        if logger is not None:
            logger.info(message, *args, stacklevel=2)

    def warning(self, message: str, *args: object) -> None:
        logger = self._logger()
        if logger is None:
            _say(message, args)
        else:
            logger.warning(message, *args, stacklevel=2)

    def error(self, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        logger = self._logger()
        if logger is None:
            _say(message, args)
        else:
            logger.error(message, *args, exc_info=exc_info, stacklevel=2)

    def exception(self, message: str, *args: object) -> None:
        logger = self._logger()
        if logger is None:
            _say(message, args)
        else:
            logger.exception(message, *args, stacklevel=2)


def _say(message: str, args: tuple[object, ...]) -> None:
    try:
        os.write(2, f"{message % args if args else message}\n".encode(errors="replace"))
    except OSError:  # closed or broken: there is nobody to tell
        pass
