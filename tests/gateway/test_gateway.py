"""The gateway: its arguments."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Hashable
from typing import Any

import pytest

from helpers.sites import request
from passwordless_async import MemoryStore, PasswordlessClient, UsageError
from passwordless_async.gateway import Budgets, Captcha, Gateway, Sms, Texts, Upstream

CLIENT = PasswordlessClient("acme.eu.auth0.com", "client", store=MemoryStore())


async def test_a_request_without_a_mount() -> None:
    """``handle`` is for other frameworks: values in, values out."""
    gateway = Gateway(CLIENT, base_url="https://app.example", brand="Acme & Sons")
    response = await gateway.handle(request())
    assert (response.status, b"Acme &amp; Sons" in response.body) == (200, True)
    assert repr(gateway) == "<Gateway for https://app.example>"


@pytest.mark.parametrize(
    "arguments", [{"client": None}, {"base_url": "http://app.example"}, {"scope": "email"}], ids=str
)
def test_what_is_refused(arguments: dict[str, Any]) -> None:
    """The error names the argument."""
    with pytest.raises(UsageError) as refused:
        Gateway(**{"client": CLIENT, "base_url": "https://app.example", **arguments})
    assert refused.value.argument == next(iter(arguments))


# What makes each class, and the arguments of it that may be 5, an empty text or None. All others refuse each value.
_COUNTS, _MAY_BE_NONE = {5}, {5, None}
MADE: dict[type, dict[str, Any]] = {
    Gateway: {"client": CLIENT, "base_url": "https://app.example"},
    Upstream: {"prefix": "/api/", "url": "https://api.example"},
    Captcha: {"script": "https://c.example/c.js", "site_key": "key", "css_class": "captcha", "field": "captcha"},
    Budgets: {},
    Sms: {},
    Texts: {},
}
ALLOWED: dict[type, dict[str, set[Any]]] = {
    Gateway: {
        **{name: {None} for name in ("audience", "captcha", "home", "texts", "templates", "on_audit")},
        **{name: {None} for name in ("before_start", "after_login", "before_end")},
        **dict.fromkeys(("session_for", "remember_for", "max_sessions"), _MAY_BE_NONE),
        "trusted_proxies": _COUNTS,
        "brand": {""},
        "css": {"", None},
    },
    Upstream: {
        **dict.fromkeys(("timeout", "connect_timeout", "upload_timeout", "max_request_bytes"), _COUNTS),
        **dict.fromkeys(("max_message_bytes", "max_connections", "max_per_session", "max_sockets"), _COUNTS),
        "max_response_bytes": _MAY_BE_NONE,
        "audience": {None},
        "scopes": {""},
    },
    Captcha: {},
    Budgets: dict.fromkeys(inspect.signature(Budgets).parameters, _MAY_BE_NONE),
    Sms: {**dict.fromkeys(("per_address", "per_hour", "per_day"), _MAY_BE_NONE), "calling_codes": {None}},
    Texts: {},
}
WRONG: list[Any] = [5, "", None, b"x", [5], [None], object()]
ARGUMENTS = [(kind, name) for kind in MADE for name in inspect.signature(kind).parameters]


@pytest.mark.parametrize(("kind", "name"), ARGUMENTS, ids=[f"{kind.__name__}-{name}" for kind, name in ARGUMENTS])
def test_an_argument_of_another_type_is_refused(kind: type, name: str) -> None:
    """By a ``UsageError`` that names it as the caller wrote it. A new argument is found by the signature."""
    allowed, refused = ALLOWED[kind].get(name, set()), []
    for value in WRONG:
        if isinstance(value, Hashable) and value in allowed:
            kind(**{**MADE[kind], name: value})
            continue
        with pytest.raises(UsageError) as caught:
            kind(**{**MADE[kind], name: value})
        refused.append(caught.value.argument)
    assert refused == [name] * (len(WRONG) - len(allowed))


def test_without_the_extra() -> None:
    """The sentence has the command."""
    code = "import sys; sys.modules['jinja2'] = None; from passwordless_async.gateway import Gateway"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own code
    assert 'jinja2 is not installed: pip install "passwordless-async[gateway]"' in done.stderr
