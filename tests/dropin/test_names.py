"""Every name of the running interpreter's socketserver is there, with its kin, its defaults and its signature."""

from __future__ import annotations

import inspect
import socketserver as original
from types import FunctionType, ModuleType
from typing import Any

import pytest

from reactor import socketserver as ours
from tests.clients import ask
from tests.serving import Serving

NAMES = sorted(original.__all__)
CLASSES = sorted(name for name, value in vars(original).items() if inspect.isclass(value) and name in original.__all__)
MODULES = sorted(name for name, value in vars(original).items() if isinstance(value, ModuleType))
PAIRS = [(first, second) for first in CLASSES for second in CLASSES]


def attributes(cls: type) -> dict[str, Any]:
    """What the class and its bases define, by public name; the bases that both sides have from ``object`` left out."""
    return {
        name: getattr(cls, name)
        for base in cls.__mro__
        if base is not object
        for name in vars(base)
        if not name.startswith("_")
    }


def test_every_name_is_there() -> None:
    assert set(NAMES) <= set(ours.__all__)
    assert set(ours.__all__) <= set(vars(ours))


def test_modules_that_programs_reach_for_through_it() -> None:
    assert {name: getattr(original, name) for name in MODULES} == {name: getattr(ours, name, None) for name in MODULES}


def test_private_names_that_programs_reach_for() -> None:
    assert ours._ServerSelector is original._ServerSelector
    assert issubclass(ours._SocketWriter, original.BufferedIOBase)  # type: ignore[attr-defined]


def test_relations() -> None:
    theirs = {(a, b): issubclass(getattr(original, a), getattr(original, b)) for a, b in PAIRS}
    assert {(a, b): issubclass(getattr(ours, a), getattr(ours, b)) for a, b in PAIRS} == theirs


@pytest.mark.parametrize("name", CLASSES)
def test_order_of_bases(name: str) -> None:
    def order(module: ModuleType) -> list[str]:
        classes = {getattr(module, known) for known in NAMES}
        return [base.__name__ for base in getattr(module, name).__mro__ if base in classes]

    assert order(ours) == order(original)


@pytest.mark.parametrize("name", CLASSES)
def test_defaults(name: str) -> None:
    def defaults(cls: type) -> dict[str, Any]:
        return {key: value for key, value in attributes(cls).items() if not callable(value)}

    theirs, mine = defaults(getattr(original, name)), defaults(getattr(ours, name))
    assert {key: mine.get(key, "missing") for key in theirs} == theirs


@pytest.mark.parametrize("name", CLASSES)
def test_methods(name: str) -> None:
    def methods(cls: type) -> dict[str, Any]:
        return {key: value for key, value in attributes(cls).items() if isinstance(value, FunctionType)}

    def taken(method: Any) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]

    mine = methods(getattr(ours, name))
    for key, method in methods(getattr(original, name)).items():
        assert key in mine, f"{name}.{key}"
        assert taken(mine[key]) == taken(method), f"{name}.{key}"


@pytest.mark.parametrize("name", CLASSES)
def test_no_base_comes_before_what_a_class_defines(name: str) -> None:
    """What a program sets in BaseServer, or defines in a class derived from it, does not hide a TCPServer's own."""
    mine = getattr(ours, name)
    others = {getattr(ours, known) for known in NAMES} - {mine}
    before = [*mine.__mro__]
    for index, base in enumerate(before):
        if base in others:
            del before[index:]
            break
    for key, value in vars(getattr(original, name)).items():
        if isinstance(value, FunctionType):
            assert any(key in vars(base) for base in before), f"{name}.{key}"


@pytest.mark.parametrize("name", CLASSES)
def test_constructors(name: str) -> None:
    def taken(cls: type) -> list[tuple[str, Any, Any]]:
        return [
            (p.name, p.kind, p.default)
            for p in inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
            if p.name != "strategy"
        ]

    mine, theirs = getattr(ours, name), getattr(original, name)
    if "MixIn" in name:  # neither has a constructor
        assert mine.__init__ is theirs.__init__ is object.__init__
    else:
        assert taken(mine) == taken(theirs)


TAKEN = (
    "strategy acts attach take taker taking job_class owns become_alone begin_batches end_batches serves_by_request "
    "family_of endpoint loop reactor run stop close timeout_before error live state closed listener parking "
    "native_request run_request may_batch admit _private _error _strategy _path _before _listener _loop _lock "
    "_waiting _joined _host"
).split()


@pytest.mark.filterwarnings("ignore:forking beside:RuntimeWarning")
@pytest.mark.parametrize("how", ["attribute", "method", "in the constructor"])
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer", "UDPServer"])
def test_a_program_s_own_names_hide_none_of_ours(name: str, how: str) -> None:
    """A subclass that calls its own things by names that we might have used."""
    base = getattr(ours, name)

    def own(self: Any, *args: Any) -> Any:
        raise AssertionError("nobody but the program calls this")

    def __init__(self: Any, *args: Any, **more: Any) -> None:
        for taken in TAKEN:
            setattr(self, taken, "its own")
        base.__init__(self, *args, **more)

    spaces: dict[str, dict[str, Any]] = {
        "attribute": dict.fromkeys(TAKEN, "its own"),
        "method": dict.fromkeys(TAKEN, own),
        "in the constructor": {"__init__": __init__},
    }

    class Upper(ours.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.read().upper())

    class UpperPacket(ours.DatagramRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.read().upper())

    handler = Upper if "TCP" in name else UpperPacket
    with type("Program", (base,), spaces[how])(("127.0.0.1", 0), handler) as server:
        with Serving(server):
            assert ask(server, b"abc") == b"ABC"
        assert ask(server, b"abc", server.handle_request) == b"ABC"
        if how != "method":
            assert {taken: getattr(server, taken) for taken in TAKEN} == dict.fromkeys(TAKEN, "its own")
