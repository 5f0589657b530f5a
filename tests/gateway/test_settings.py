"""How a gateway behaves: what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async import UsageError
from passwordless_async.gateway.settings import Settings


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("base_url", "http://app.example"),
        ("base_url", "https://app.example/auth"),
        ("base_url", "https://user@app.example"),
        ("base_url", ""),
        ("scope", "profile email"),
        ("scope", "openid\r\nprofile"),
        ("scope", None),
        ("identifiers", []),
        ("identifiers", ["fax"]),
        ("return_to", ["app"]),
        ("return_to", ["//evil.example"]),
        ("return_to", [None]),
        ("home", "app"),
        ("home", "//evil.example"),
        ("home", "https://app.example/"),
        ("home", "/a/../b"),
        ("home", 5),
        ("trusted_proxies", -1),
        ("trusted_proxies", "1"),
        ("trusted_proxies", 1.5),
        ("login_seconds", 0),
        ("resend_seconds", float("nan")),
        ("remember_for", -5),
    ],
)
def test_what_is_refused(argument: str, value: Any) -> None:
    """The error names the argument."""
    with pytest.raises(UsageError) as refused:
        Settings(**{"base_url": "https://app.example", argument: value})
    assert refused.value.argument == argument


@pytest.mark.parametrize(
    ("base_url", "origin", "secure"),
    [
        ("https://App.Example:443/", "https://app.example", True),
        ("https://app.example:8443", "https://app.example:8443", True),
        ("http://localhost:8000", "http://localhost:8000", False),
        ("http://[::1]:8000", "http://[::1]:8000", False),
    ],
)
def test_base_url(base_url: str, origin: str, *, secure: bool) -> None:
    """It is an origin as browsers write it; plain http is for loopback."""
    settings = Settings(base_url=base_url)
    assert (str(settings.base_url), settings.secure) == (origin, secure)


def test_one_value_is_a_sequence_of_one() -> None:
    """A text is no sequence of letters."""
    settings = Settings(base_url="https://app.example", identifiers="email", return_to="/app")
    assert (settings.identifiers, settings.return_to) == (("email",), ("/app",))
