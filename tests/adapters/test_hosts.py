"""Which base URL a request came to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async.adapters._hosts import NamedHosts, forwarded
from passwordless_async.errors import UsageError

BASES = {
    "https://api.example": "api",
    "https://old.example/v1": "old",
    "http://localhost:8080": "local",
    "https://port.example:8443": "port",
}


def chosen(*headers: tuple[str, str], trusted: int = 0) -> str:
    """Return what a request with these header fields chooses."""
    return NamedHosts(BASES, trusted_proxies=trusted).choose(headers)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.example", "api"),
        ("OLD.example", "old"),
        ("old.example:443", "old"),
        ("localhost:8080", "local"),
        ("localhost", "api"),
        ("port.example:8443", "port"),
        ("port.example", "api"),
        ("evil.example", "api"),
        ("old.example/x", "api"),
        ("x@old.example", "api"),
        ("", "api"),
        ("[", "api"),
    ],
)
def test_the_host_picks_one_of_the_named(host: str, expected: str) -> None:
    """Whatever names none of them picks the first."""
    assert chosen(("Host", host)) == expected


def test_two_hosts_pick_the_first() -> None:
    """A request with two Host fields is nothing to decide by."""
    assert chosen(("Host", "old.example"), ("Host", "old.example")) == "api"


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-Host"])
def test_forwarding_fields_are_ignored_unless_proxies_are_named(name: str) -> None:
    """A client may send them itself."""
    value = "host=old.example" if name == "Forwarded" else "old.example"
    assert chosen((name, value), ("Host", "localhost:8080")) == "local"
    assert chosen((name, value), ("Host", "localhost:8080"), trusted=1) == "old"


@pytest.mark.parametrize(
    ("trusted", "value", "expected"),
    [
        (1, "old.example, localhost:8080", "local"),
        (2, "old.example, localhost:8080", "old"),
        (2, "port.example:8443, old.example, localhost:8080", "old"),
        (3, "old.example, localhost:8080", "api"),
        (1, "old.example,", "api"),
    ],
)
def test_the_nth_from_the_right_counts(trusted: int, value: str, expected: str) -> None:
    """The outermost trusted proxy's own entry; with fewer entries than proxies, none."""
    assert chosen(("X-Forwarded-Host", value), ("Host", "api.example"), trusted=trusted) == expected
    elements = ",".join(f'for=192.0.2.1;host="{host.strip()}"' for host in value.split(","))
    assert chosen(("Forwarded", elements), ("Host", "api.example"), trusted=trusted) == expected


def test_a_field_that_is_too_long_is_not_read() -> None:
    """Neither its beginning: a client has sent that."""
    value = "old.example," + "x" * 8190 + ",localhost:8080"
    for field in (("X-Forwarded-Host", value), ("Forwarded", value.replace(",", ",host="))):
        assert chosen(field, ("Host", "port.example:8443"), trusted=2) == "port"


def test_fields_of_several_lines_are_one_list() -> None:
    """RFC 9110 §5.3."""
    lines = [("X-Forwarded-Host", "old.example"), ("X-Forwarded-Host", "localhost:8080")]
    assert (chosen(*lines, trusted=1), chosen(*lines, trusted=2)) == ("local", "old")


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('for="[::1]";Host="a:1" , for=_x', [{"for": "[::1]", "host": "a:1"}, {"for": "_x"}]),
        ('host="a\\"b"', [{"host": 'a"b'}]),
        ('host="a,b;c"', [{"host": "a,b;c"}]),
        ("host=a;host=b", [{"host": "a"}]),
        ('host="a', []),
        ("host", []),
        ("host=a b", []),
        ("host=a;;", []),
        ("x" * 9000, []),
        ("", [{}]),
    ],
)  # fmt: skip
def test_forwarded_is_read_by_its_grammar(field: str, expected: list[dict[str, str]]) -> None:
    """RFC 7239 §4; a field that breaks it has no element."""
    assert forwarded(field) == expected


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.integers(0, 3))
def test_whatever_comes_picks_a_named_one(standard: str, usual: str, host: str, trusted: int) -> None:
    """No header adds a base URL, and none raises."""
    fields = (("Forwarded", standard), ("X-Forwarded-Host", usual), ("Host", host))
    assert chosen(*fields, trusted=trusted) in BASES.values()


@pytest.mark.parametrize("count", [-1, 101, True, 1.0, "1", None])
def test_the_number_of_proxies_is_a_number(count: Any) -> None:
    """Anything else is a mistake of the application."""
    with pytest.raises(UsageError, match="trusted_proxies"):
        NamedHosts(BASES, trusted_proxies=count)
