"""Who runs a request, and who accepts: strategies know a Host, Endpoints and Jobs; no socket, no loop."""

from strategies.contract import Endpoint, Host, Job, Saturated, Strategy
from strategies.forking import ForkPerRequest
from strategies.inline import Inline
from strategies.mixins import ForkingMixIn, ThreadingMixIn
from strategies.perrequest import ThreadPerRequest
from strategies.prefork import Prefork
from strategies.spec import parse_strategy
from strategies.threads import ThreadPool

__all__ = [
    "Endpoint",
    "ForkPerRequest",
    "ForkingMixIn",
    "Host",
    "Inline",
    "Job",
    "Prefork",
    "Saturated",
    "Strategy",
    "ThreadPerRequest",
    "ThreadPool",
    "ThreadingMixIn",
    "parse_strategy",
]
