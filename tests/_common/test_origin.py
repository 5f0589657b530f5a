"""Origins: which host names and URLs are accepted, and what their origin is."""

from __future__ import annotations

import pytest

from passwordless_async import UsageError
from passwordless_async._common.origin import origin_of, parse_origin

AN_ORIGIN = (
    "must be an origin such as https://app.example, or on loopback http://127.0.0.1:8000, "
    "without a path, query or credentials"
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://ACME.example", "https://acme.example"),
        ("https://acme.example/", "https://acme.example"),
        ("https://acme.example:8443", "https://acme.example:8443"),
        ("https://acme.example:443", "https://acme.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_origin_is_normalised(value: str, expected: str) -> None:
    """The default port and the case of the name do not count."""
    assert str(parse_origin("origin", value)) == expected


def test_a_host_name_is_no_origin() -> None:
    """It would silently be https. Only a tenant's domain is a host name."""
    for host in ("acme.example", "127.0.0.1:8000", "localhost"):
        with pytest.raises(UsageError, match=f"^base_url: {AN_ORIGIN}$"):
            parse_origin("base_url", host)
    assert str(parse_origin("domain", "ACME.example", may_be_host=True)) == "https://acme.example"
    with pytest.raises(UsageError, match=r"must be a host name, or an origin such as https://acme.example, without"):
        parse_origin("domain", "acme.example/path", may_be_host=True)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "must not be empty"),
        ("http://acme.example", "must be https"),
        ("http://127.0.0.2.example", "must be https"),
        ("https://acme.example/path", AN_ORIGIN),
        ("https://user:passw0rd@acme.example", AN_ORIGIN),
        ("https://acme.example?x", AN_ORIGIN),
        ("ftp://acme.example", AN_ORIGIN),
        ("https://acme.example:99999", "is not a valid host and port"),
        ("https://xn--a", "is not a valid host and port"),
        ("https://[1:2]", "is not a valid host and port"),
        ("https://" + "a" * 64 + ".example", AN_ORIGIN),
        (5, "must be a str, not int"),
    ],
)
def test_anything_else_is_refused(value: object, problem: str) -> None:
    """The message names the argument and never repeats the value, which may have credentials."""
    with pytest.raises(UsageError) as refused:
        parse_origin("origin", value)
    assert problem in str(refused.value)
    assert refused.value.argument == "origin"
    assert "passw0rd" not in str(refused.value)


def test_the_origin_of_a_url_has_no_path() -> None:
    """Scheme, host and port, if it is not the default."""
    assert origin_of("https://api.example/a/b?c#d") == "https://api.example"
    assert origin_of("http://127.0.0.1:8080/") == "http://127.0.0.1:8080"


def test_a_url_in_the_clear_is_refused_by_its_own_name() -> None:
    """The message names the argument that the caller gave: ``client.request`` has no ``origins``."""
    with pytest.raises(UsageError, match="url: must be https: plain http carries secrets in the clear"):
        origin_of("http://api.example:8080/")


@pytest.mark.parametrize("url", ["", "/me", "api.example", "ftp://api.example", "https://", None, 5])
def test_a_url_without_an_http_origin_is_refused(url: object) -> None:
    """A token never goes to an origin that was not named."""
    with pytest.raises(UsageError, match="must be an absolute http or https URL"):
        origin_of(url)
