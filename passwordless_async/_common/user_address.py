"""The IP address of a user, as a service sees and counts it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import type_name
from passwordless_async.errors import UsageError

IpAddress: TypeAlias = IPv4Address | IPv6Address

_MAX_TEXT = 45  # characters of the longest address
_IPV6_HOST_BITS = 64  # of an address, which its user chooses (RFC 4291 §2.5.1)
# Not ``is_private``: that is also true of the addresses in documentation.
_PRIVATE = tuple(
    map(
        ip_network,
        (
            "10.0.0.0/8",  # RFC 1918
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",  # RFC 6598: between a provider and its customers
            "169.254.0.0/16",  # RFC 3927: of a link
            "fc00::/7",  # RFC 4193
            "fe80::/10",  # RFC 4291: of a link
            "fec0::/10",
        ),
    )
)


def user_address(argument: str, value: object, *, allow_private: bool = True) -> IpAddress:
    """Return a user's address, in canonical form: an IPv4-mapped IPv6 address is the IPv4 address (RFC 4291 §2.5.5.2).

    Raises:
        UsageError: The value is not one address, or it cannot be a user's.
    """
    address = _address(argument, value)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if _is_no_users(address):
        raise UsageError(argument, "must be the address of a user, not a loopback, multicast or unspecified one")
    if not allow_private and any(address in network for network in _PRIVATE):
        raise UsageError(
            argument, "is a private address, as of a proxy: pass the user's own, or set allow_private_addresses"
        )
    return address


def counted_as(address: IpAddress) -> str:
    """Return the name that counts the requests of an address: for IPv6 the network, because one user has all of it."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Address(int(address) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS))


def _address(argument: str, value: object) -> IpAddress:
    if isinstance(value, str):
        try:
            value = ip_address(_check.bounded(argument, value, at_most=_MAX_TEXT))
        except ValueError:
            raise UsageError(argument, "must be one IP address, without port, prefix or list") from None
    # Not isinstance: an interface (address/prefix) is a subclass.
    if type(value) is IPv4Address:
        return value
    if type(value) is not IPv6Address:
        raise UsageError(argument, f"must be a str or one ipaddress.ip_address(...), not {type_name(value)}")
    if value.scope_id is not None:
        raise UsageError(argument, "must be without a zone")
    return value


def _is_no_users(address: IpAddress) -> bool:
    # Reserved IPv6 ranges may be assigned later.
    is_reserved = isinstance(address, IPv4Address) and address.is_reserved
    return is_reserved or address.is_loopback or address.is_unspecified or address.is_multicast
