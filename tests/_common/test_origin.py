"""Origins: which host names and URLs are accepted, and what their origin is."""

from __future__ import annotations

import pytest

from passwordless_async import UsageError
from passwordless_async._common.origin import origin_of, parse_origin


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("acme.example", "https://acme.example"),
        ("ACME.example", "https://acme.example"),
        ("https://acme.example/", "https://acme.example"),
        ("https://acme.example:8443", "https://acme.example:8443"),
        ("https://acme.example:443", "https://acme.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_origin_is_normalised(value: str, expected: str) -> None:
    """A host name means https; the default port and the case of the name do not count."""
    assert str(parse_origin("domain", value)) == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "must not be empty"),
        ("http://acme.example", "must be https"),
        ("http://127.0.0.2.example", "must be https"),
        ("https://acme.example/path", "no path, query or credentials"),
        ("https://user:passw0rd@acme.example", "no path, query or credentials"),
        ("https://acme.example?x", "no path, query or credentials"),
        ("ftp://acme.example", "no path, query or credentials"),
        ("acme.example:99999", "is not a valid host and port"),
        ("xn--a", "is not a valid host and port"),
        ("[1:2]", "is not a valid host and port"),
        ("a" * 64 + ".example", "no path, query or credentials"),
        (5, "must be a str, not int"),
    ],
)
def test_anything_else_is_refused(value: object, problem: str) -> None:
    """The message names the argument and never repeats the value, which may have credentials."""
    with pytest.raises(UsageError) as refused:
        parse_origin("domain", value)
    assert problem in str(refused.value)
    assert refused.value.argument == "domain"
    assert "passw0rd" not in str(refused.value)


def test_the_origin_of_a_url_has_no_path() -> None:
    """Scheme, host and port, if it is not the default."""
    assert origin_of("https://api.example/a/b?c#d") == "https://api.example"
    assert origin_of("http://api.example:8080/") == "http://api.example:8080"


@pytest.mark.parametrize("url", ["", "/me", "api.example", "ftp://api.example", "https://", None, 5])
def test_a_url_without_an_http_origin_is_refused(url: object) -> None:
    """A token never goes to an origin that was not named."""
    with pytest.raises(UsageError, match="must be an absolute http or https URL"):
        origin_of(url)
