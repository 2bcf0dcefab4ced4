"""What one request means: handlers know a socket, and nothing else of ours."""

from handlers.base import BaseRequestHandler
from handlers.datagram import DatagramRequestHandler
from handlers.stream import StreamRequestHandler
from handlers.turn import AGAIN, CLOSE, PARK, Turn, TurnHandler

__all__ = [
    "AGAIN",
    "CLOSE",
    "PARK",
    "BaseRequestHandler",
    "DatagramRequestHandler",
    "StreamRequestHandler",
    "Turn",
    "TurnHandler",
]
