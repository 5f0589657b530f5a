"""The IP address of a user: one form for each, and none that no user has."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async import UsageError
from passwordless_async._common.user_address import counted_as, user_address

NOT_A_USER = "must be the address of a user, not a loopback, multicast or unspecified one"
NOT_ONE = "must be one IP address, without port, prefix or list"
PRIVATE = "is a private address, as of a proxy: pass the user's own, or set allow_private_addresses"


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:CB00:7107", "203.0.113.7"),
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        (ipaddress.ip_address("::ffff:203.0.113.7"), "203.0.113.7"),
        (ipaddress.ip_address("2001:db8::1"), "2001:db8::1"),
    ],
)
def test_an_address_has_one_form(value: Any, address: str) -> None:
    """A text or an object; an IPv4 address in IPv6's form is the IPv4 address (RFC 4291 §2.5.5.2)."""
    assert user_address("forwarded_for", value, allow_private=False) == ipaddress.ip_address(address)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("127.0.0.1", NOT_A_USER),
        ("127.8.8.8", NOT_A_USER),
        ("::1", NOT_A_USER),
        ("::ffff:127.0.0.1", NOT_A_USER),
        ("0.0.0.0", NOT_A_USER),  # noqa: S104 - bound to by nothing
        ("::", NOT_A_USER),
        ("224.0.0.1", NOT_A_USER),
        ("ff02::1", NOT_A_USER),
        ("255.255.255.255", NOT_A_USER),
        ("", "must not be empty"),
        ("x" * 46, "must be at most 45 characters long, not 46"),
        ("203.0.113.7, 10.0.0.1", NOT_ONE),
        ("203.0.113.7:443", NOT_ONE),
        ("[2001:db8::1]", NOT_ONE),
        ("203.0.113.0/24", NOT_ONE),
        ("unknown", NOT_ONE),
        ("203.0.113.07", NOT_ONE),
        ("fe80::1%eth0", "must be without a zone"),
        (3405803783, "must be a str or one ipaddress.ip_address(...), not int"),
        (b"\xcb\x00\x71\x07", "must be a str or one ipaddress.ip_address(...), not bytes"),
        (
            ipaddress.ip_interface("203.0.113.7/24"),
            "must be a str or one ipaddress.ip_address(...), not IPv4Interface",
        ),
        (ipaddress.ip_network("2001:db8::/32"), "must be a str or one ipaddress.ip_address(...), not IPv6Network"),
    ],
)
def test_what_is_no_address_of_a_user_is_refused(value: Any, problem: str) -> None:
    """Also where private addresses are allowed; the message names no address."""
    with pytest.raises(UsageError) as refused:
        user_address("forwarded_for", value, allow_private=True)
    assert (refused.value.argument, refused.value.problem) == ("forwarded_for", problem)


@pytest.mark.parametrize(
    "value",
    ["10.0.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.1.1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"],
)
def test_a_private_address_is_refused_unless_allowed(value: str) -> None:
    """It is a proxy's, as a rule, and all users behind it would share its limits."""
    with pytest.raises(UsageError) as refused:
        user_address("forwarded_for", value, allow_private=False)
    assert refused.value.problem == PRIVATE
    assert user_address("forwarded_for", value, allow_private=True)


@given(st.ip_addresses(v=6))
def test_addresses_of_one_network_are_counted_together(address: ipaddress.IPv6Address) -> None:
    """A user of IPv6 has a /64 of addresses, and one budget."""
    first, last = (ipaddress.IPv6Address(int(address) >> 64 << 64 | rest) for rest in (0, 2**64 - 1))
    assert counted_as(first) == counted_as(address) == counted_as(last)
    assert counted_as(ipaddress.IPv6Address(int(address) ^ 1 << 64)) != counted_as(address)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_addresses_of_ipv4_are_counted_each(one: ipaddress.IPv4Address, two: ipaddress.IPv4Address) -> None:
    """Each is one user, or all users behind it."""
    assert (counted_as(one) == counted_as(two)) is (one == two)
