"""The rule against CSRF, and the headers of pages."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async._common.secret import Secret
from passwordless_async.gateway.browser import csrf_token, has_csrf_header, is_from_this_site, page_headers

ORIGIN = "https://app.example"
SECRET = Secret("a secret of the login")
TOKEN = csrf_token(SECRET)


@pytest.mark.parametrize(
    ("headers", "token", "allowed"),
    [
        ([("Sec-Fetch-Site", "same-origin")], None, True),
        ([("Sec-Fetch-Site", "cross-site")], TOKEN, False),
        ([("Sec-Fetch-Site", "same-site")], TOKEN, False),
        ([("Sec-Fetch-Site", "none")], TOKEN, False),
        ([("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")], TOKEN, False),
        ([("Sec-Fetch-Site", "cross-site"), ("Origin", ORIGIN)], TOKEN, False),
        ([("Origin", ORIGIN)], None, True),
        ([("Origin", ORIGIN + "/")], TOKEN, False),
        ([("Origin", "http://app.example")], TOKEN, False),
        ([("Origin", "https://app.example:8443")], TOKEN, False),
        ([("Origin", "null")], TOKEN, False),
        ([("Origin", ORIGIN), ("Origin", "https://evil.example")], TOKEN, False),
        ([], TOKEN, True),
        ([], None, False),
        ([], "", False),
        ([], "é", False),
        ([], csrf_token(Secret("of another login")), False),
    ],
)
def test_requests_that_change_something(headers: list[tuple[str, str]], token: str | None, *, allowed: bool) -> None:
    """The browser's word counts; only where it says nothing, the form's token does."""
    fields = CIMultiDictProxy(CIMultiDict(headers))
    assert is_from_this_site(fields, origin=ORIGIN, token=token, secrets=(None, SECRET)) is allowed


def test_without_a_secret_no_token_counts() -> None:
    """A browser without cookies."""
    fields: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
    assert is_from_this_site(fields, origin=ORIGIN, token=TOKEN, secrets=(None, None)) is False


def test_tokens() -> None:
    """Each secret has its own, which does not show it and is not shown."""
    assert csrf_token(SECRET) == TOKEN
    assert csrf_token(Secret("x")) != TOKEN
    assert (SECRET in TOKEN, repr(TOKEN)) == (False, "<redacted>")


@pytest.mark.parametrize(("values", "there"), [(["1"], True), (["0"], False), ([], False), (["1", "1"], False)])
def test_header_of_scripts(values: list[str], *, there: bool) -> None:
    """Once, and ``1``."""
    assert has_csrf_header(CIMultiDictProxy(CIMultiDict([("x-csrf", value) for value in values]))) is there


def test_page_headers() -> None:
    """HSTS over https alone: on loopback it would lock other ports out."""
    assert dict(page_headers(secure=True))["Strict-Transport-Security"] == "max-age=63072000"
    assert "Strict-Transport-Security" not in dict(page_headers(secure=False))
    policy = dict(page_headers(secure=True))["Content-Security-Policy"]
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy.split("; "))
