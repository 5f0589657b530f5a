"""The application: whatever the caller calls the domain, requests go to one origin, by https."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passwordless_async import ClientSecretPost, NoClientAuth, UsageError
from passwordless_async.auth0.application import Application

PUBLIC = NoClientAuth()
NOT_A_HOST = "must be a host name, or an origin such as https://acme.example, without a path, query or credentials"
NOT_VALID = "is not a valid host and port"
NOT_HTTPS = "must be https: plain http carries secrets in the clear, except on loopback"


@pytest.mark.parametrize(
    ("domain", "origin"),
    [
        ("acme.eu.auth0.com", "https://acme.eu.auth0.com"),
        ("ACME.eu.Auth0.com", "https://acme.eu.auth0.com"),
        ("https://acme.eu.auth0.com", "https://acme.eu.auth0.com"),
        ("https://acme.eu.auth0.com/", "https://acme.eu.auth0.com"),
        ("acme.eu.auth0.com/", "https://acme.eu.auth0.com"),
        ("acme.eu.auth0.com:443", "https://acme.eu.auth0.com"),
        ("login.acme.example:8443", "https://login.acme.example:8443"),
        ("acme.example.", "https://acme.example."),
        ("xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("a_b.acme-corp.example", "https://a_b.acme-corp.example"),
        ("tenant", "https://tenant"),
        ("192.0.2.1", "https://192.0.2.1"),
        ("[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.2", "http://127.0.0.2"),
        ("http://127.0.0.1:80/", "http://127.0.0.1"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://LOCALHOST", "http://localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_domains_accepted(domain: str, origin: str) -> None:
    """A domain, or its URL, becomes one origin; plain http is for loopback."""
    application = Application(domain, "client", PUBLIC)
    assert [origin, f"{origin}/"] == [application.origin, application.issuer]
    assert [
        str(application.start_url),
        str(application.token_url),
        str(application.jwks_url),
    ] == [f"{origin}/passwordless/start", f"{origin}/oauth/token", f"{origin}/.well-known/jwks.json"]


@pytest.mark.parametrize(
    ("domain", "problem"),
    [
        (None, "must be a str, not NoneType"),
        (b"acme.example", "must be a str, not bytes"),
        ("", "must not be empty"),
        ("a" * 301, "must be at most 300 characters long, not 301"),
        ("https://", NOT_A_HOST),
        ("//acme.example", NOT_A_HOST),
        ("acme.example/path", NOT_A_HOST),
        ("https://acme.example/oauth/token", NOT_A_HOST),
        ("acme.example//", NOT_A_HOST),
        ("acme.example?a=b", NOT_A_HOST),
        ("acme.example#a", NOT_A_HOST),
        ("user@acme.example", NOT_A_HOST),
        ("https://user:password@acme.example", NOT_A_HOST),
        ("acme.example@evil.example", NOT_A_HOST),
        ("acme.example\\@evil.example", NOT_A_HOST),
        ("ftp://acme.example", NOT_A_HOST),
        ("HTTPS://acme.example", NOT_A_HOST),
        ("https:acme.example", NOT_A_HOST),
        (" acme.example", NOT_A_HOST),
        ("acme.example\n", NOT_A_HOST),
        ("acme.example\r\nHost: evil.example", NOT_A_HOST),
        ("acme\0.example", NOT_A_HOST),
        ("acme.example%2F", NOT_A_HOST),
        ("bücher.example", NOT_A_HOST),
        ("acme。example", NOT_A_HOST),
        (".", NOT_A_HOST),
        ("..", NOT_A_HOST),
        (".acme.example", NOT_A_HOST),
        ("acme..example", NOT_A_HOST),
        ("acme.example..", NOT_A_HOST),
        ("-", NOT_A_HOST),
        ("-acme.example", NOT_A_HOST),
        ("acme-.example", NOT_A_HOST),
        ("acme.example:", NOT_A_HOST),
        ("acme.example:port", NOT_A_HOST),
        ("acme.example:123456", NOT_A_HOST),
        ("[::1", NOT_A_HOST),
        ("::1", NOT_A_HOST),
        ("[zz]", NOT_A_HOST),
        ("[fe80::1%25eth0]", NOT_A_HOST),
        ("acme.example:0", NOT_VALID),
        ("acme.example:65536", NOT_VALID),
        ("[1:2]", NOT_VALID),
        ("[:]", NOT_VALID),
        ("[.]", NOT_VALID),
        ("[127.0.0.1]", NOT_VALID),
        ("[::1::]", NOT_VALID),
        ("http://acme.example", NOT_HTTPS),
        ("http://192.0.2.1", NOT_HTTPS),
        ("http://0.0.0.0", NOT_HTTPS),
        ("http://[2001:db8::1]", NOT_HTTPS),
        ("http://localhost.example", NOT_HTTPS),
        ("http://127.0.0.1.example", NOT_HTTPS),
        ("http://a:80", NOT_HTTPS),
    ],
)
def test_domains_refused(domain: Any, problem: str) -> None:
    """A domain with anything behind, before or inside the host name is refused; so is plain http."""
    with pytest.raises(UsageError) as refused:
        Application(domain, "client", PUBLIC)
    assert (refused.value.argument, str(refused.value)) == ("domain", f"domain: {problem}")


def canonical(host: str) -> str:
    """An IPv6 address is written in its one canonical form (RFC 5952)."""
    literal, closing, port = host.removeprefix("[").partition("]")
    return f"[{ipaddress.IPv6Address(literal)}]{port}" if closing else host


@settings(max_examples=400, deadline=None)
@given(
    st.text(max_size=20)
    | st.text("abc.-_:/[]0123456789@?#%\\ ", max_size=20)
    | st.from_regex(r"\A\[[0-9a-f:.]{2,20}\]\Z")
)
def test_whatever_is_accepted_is_https_and_the_same_host(domain: str) -> None:
    """A domain that is accepted keeps its host: nothing in it can turn requests to another."""
    try:
        application = Application(domain, "client", PUBLIC)
    except UsageError as refused:
        assert refused.argument == "domain"  # noqa: PT017 - either is right
    else:
        # RFC 3986 §3.2.3: a port is a number, however many zeros stand before it.
        host = re.sub(r":0+(?=[0-9]+$)", ":", domain.lower().removeprefix("https://").removesuffix("/"))
        assert application.origin.removeprefix("https://") in (host, canonical(host.removesuffix(":443")))


@pytest.mark.parametrize(
    ("client_id", "problem"),
    [
        ("", "must not be empty"),
        (None, "must be a str, not NoneType"),
        ("a b", "must be visible ASCII characters, without spaces"),
        ("a\n", "must be visible ASCII characters, without spaces"),
        ("é", "must be visible ASCII characters, without spaces"),
        ("a" * 257, "must be at most 256 characters long, not 257"),
    ],
)
def test_client_ids_refused(client_id: Any, problem: str) -> None:
    """A client identifier is visible ASCII."""
    with pytest.raises(UsageError) as refused:
        Application("acme.example", client_id, PUBLIC)
    assert (refused.value.argument, str(refused.value)) == ("client_id", f"client_id: {problem}")


@pytest.mark.parametrize(
    "client_auth", [None, "secret", ("client", "secret"), NoClientAuth, ClientSecretPost, object()]
)
def test_client_authentications_refused(client_auth: Any) -> None:
    """A way to authenticate is a value that is one: neither a bare secret nor a class."""
    with pytest.raises(UsageError) as refused:
        Application("acme.example", "client", client_auth)
    assert (
        refused.value.argument,
        str(refused.value),
    ) == ("client_auth", "client_auth: must be NoClientAuth(), ClientSecretPost(secret) or another way")


def test_an_application_is_a_value() -> None:
    """Applications of one origin, identifier and secret are equal, and cannot be changed."""
    one = Application("acme.example", "client", ClientSecretPost("s"))
    assert Application("https://ACME.example/", "client", ClientSecretPost("s")) == one
    assert Application("acme.example", "client", PUBLIC) != one
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.client_id = "other"  # type: ignore[misc]
    assert "client_auth=ClientSecretPost(secret=<redacted>)" in repr(one)
