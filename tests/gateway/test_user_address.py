"""The user's address behind proxies."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from helpers.sites import request
from passwordless_async.gateway.user_address import public, user_address_of


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        (["198.51.100.1"], 0, "203.0.113.7"),
        (["198.51.100.1"], 1, "198.51.100.1"),
        (["6.6.6.6, 198.51.100.1"], 1, "198.51.100.1"),
        (["6.6.6.6", "198.51.100.1"], 1, "198.51.100.1"),
        (["6.6.6.6, 198.51.100.1, 192.0.2.9"], 2, "198.51.100.1"),
        (["198.51.100.1"], 2, None),
        ([], 1, None),
        (["unknown"], 1, None),
        (["198.51.100.1:80"], 1, None),
        (["127.0.0.1"], 1, None),
        (["::ffff:198.51.100.1"], 1, "198.51.100.1"),
        ([",".join(["6.6.6.6"] * 40)], 1, None),
    ],
)
def test_addresses(forwarded: list[str], proxies: int, address: str | None) -> None:
    """Only what named proxies added is believed."""
    found = user_address_of(request(headers=[("X-Forwarded-For", value) for value in forwarded]), proxies)
    assert (found and str(found)) == address


@pytest.mark.parametrize("peer", [None, "", "/run/gateway.sock", "127.0.0.1", "::1"])
def test_peers_that_are_no_users(peer: str | None) -> None:
    """A socket without an address, or loopback."""
    assert user_address_of(request(peer=peer), 0) is None


def test_public() -> None:
    """The service is told no private address."""
    assert public(ip_address("203.0.113.7")) == ip_address("203.0.113.7")
    assert [public(ip_address(each)) for each in ("10.0.0.1", "fd00::1")] == [None, None]
    assert public(None) is None
