"""An address and its word: there and back, and what is refused."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor import UsageError
from reactor.addresses import Address, Kind, parse_address

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract names")


@pytest.mark.parametrize(
    ("text", "kind", "native"),
    [
        ("tcp://127.0.0.1:9000", Kind.TCP, ("127.0.0.1", 9000)),
        ("tcp://localhost:0", Kind.TCP, ("localhost", 0)),
        ("udp://[::1]:53", Kind.UDP, ("::1", 53)),
        ("tcp://[fe80::1%eth0]:65535", Kind.TCP, ("fe80::1%eth0", 65535)),
        ("unix:run/echo.sock", Kind.UNIX, "run/echo.sock"),
        ("unixgram:/run/echo.sock", Kind.UNIXGRAM, "/run/echo.sock"),
        ("unix:with:colon", Kind.UNIX, "with:colon"),
        pytest.param("unix:@name", Kind.UNIX, "\0name", marks=linux),
        pytest.param("unixgram:@a@b", Kind.UNIXGRAM, "\0a@b", marks=linux),
    ],
)
def test_there_and_back(text: str, kind: Kind, native: object) -> None:
    address = parse_address(text)
    assert (address.kind, address.native) == (kind, native)
    assert str(address) == text


def test_the_url_way_of_writing_an_absolute_path() -> None:
    assert parse_address("unix:///run/echo.sock") == parse_address("unix:/run/echo.sock")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "write tcp://HOST:PORT"),
        ("tcp", "write tcp://HOST:PORT"),
        ("127.0.0.1:80", "write tcp://HOST:PORT"),
        ("TCP://127.0.0.1:80", "write tcp://HOST:PORT"),
        ("tcp:127.0.0.1:80", "write tcp://HOST:PORT"),
        ("tcp://", "the port is missing"),
        ("tcp://host", "the port is missing"),
        ("tcp://:80", "0.0.0.0 every interface"),
        ("tcp://[]:80", "brackets"),
        ("tcp://[host]:80", "only an IPv6 address stands in brackets"),
        ("tcp://[::1]", "brackets and a port"),
        ("tcp://::1", "brackets and a port"),
        ("tcp://host:", "'' is no port"),
        ("tcp://host:80/", "'80/' is no port"),
        ("tcp://host:٣", "is no port"),
        ("unix:", "the path is missing"),
        ("unix://run/echo.sock", "write unix:run/echo.sock or unix:/run/echo.sock"),
        ("unix:@", "the path is missing" if sys.platform.startswith("linux") else "only Linux"),
    ],
)
def test_what_is_refused_names_the_value_and_the_fix(text: str, fix: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_address(text)
    assert f"address {text!r}: " in str(error.value)
    assert fix in str(error.value)


@given(st.one_of(st.text(), st.text(alphabet="tcpudnixgram:/[]@%.-0123456789")))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        address = parse_address(text)
    except UsageError:
        return
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (Kind.TCP, ("127.0.0.1", 9000), "tcp://127.0.0.1:9000"),
        (Kind.UDP, ("::1", 9000, 0, 0), "udp://[::1]:9000"),
        (Kind.UNIX, "/run/x", "unix:/run/x"),
        (Kind.UNIXGRAM, b"\0name", "unixgram:@name"),
    ],
)
def test_what_getsockname_tells(kind: Kind, name: object, text: str) -> None:
    assert str(Address.bound(kind, name)) == text
