"""What the service means when it says no: the documented table, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from passwordless_async import (
    AccessDenied,
    CodeExpired,
    InvalidClient,
    MalformedAnswer,
    OAuthError,
    RateLimited,
    TemporarilyUnavailable,
    WrongCode,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.refusals import failure, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from helpers.refusals import Row

NOW = 1_700_000_000.0
REQUEST = HttpRequest("POST", URL("https://tenant.example/oauth/token"), {})
EXPIRED = "The verification code has expired. Please try to login again."


@pytest.fixture(autouse=True)
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clock, "now", lambda: NOW)


def refusal_of(request: HttpRequest, response: HttpResponse) -> Any:
    """Return what a refusal means, as the class that the test expects."""
    return refusal(request, response)


def request_with(*secrets: str) -> HttpRequest:
    """Return a request with these secrets inside."""
    return HttpRequest("POST", REQUEST.url, {}, secrets=tuple(Secret(secret) for secret in secrets))


def test_every_row(answer: Callable[..., HttpResponse], refused: Row, refused_in: tuple[str, str]) -> None:
    """Each row of the documentation has its class, in each shape of body, with the server's own words."""
    body = dict(zip(refused_in, (refused.error, refused.description), strict=True))
    refused.check(refusal_of(REQUEST, answer(refused.status, body)))


@pytest.mark.parametrize(
    ("status", "body", "meaning", "error", "description"),
    [
        (400, {}, OAuthError, "unknown_error", ""),
        (403, {"error": "something_new"}, OAuthError, "something_new", ""),
        (403, {"error": "Invalid_Grant", "error_description": EXPIRED}, OAuthError, "Invalid_Grant", EXPIRED),
        (
            403,
            {"error": "invalid_grant", "error_description": EXPIRED.lower()},
            OAuthError,
            "invalid_grant",
            EXPIRED.lower(),
        ),
        (403, {"error": "invalid_grant", "message": EXPIRED}, CodeExpired, "invalid_grant", EXPIRED),
        (403, {"error": "", "code": "invalid_client"}, InvalidClient, "invalid_client", ""),
        (403, {"error": None, "errorCode": "invalid_client"}, InvalidClient, "invalid_client", ""),
        (403, {"error": ["invalid_client"], "code": 403}, OAuthError, "unknown_error", ""),
        (403, {"error": "access_denied", "code": "invalid_client"}, AccessDenied, "access_denied", ""),
        (403, {"error": "x", "error_description": {"a": 1}, "message": "why"}, OAuthError, "x", "why"),
        (429, {}, RateLimited, "too_many_requests", ""),
        (429, {"message": "Too many requests"}, RateLimited, "too_many_requests", "Too many requests"),
        (429, {"error": "access_denied"}, AccessDenied, "access_denied", ""),
        (403, {"error": "too_many_requests"}, OAuthError, "too_many_requests", ""),
    ],
)
def test_bodies_of_every_sort(
    answer: Callable[..., HttpResponse],
    status: int,
    body: dict[str, Any],
    meaning: type[OAuthError],
    error: str,
    description: str,
) -> None:
    """The first member that is a text counts; what no row knows stays general, with the server's words."""
    read = refusal_of(REQUEST, answer(status, body))
    assert (type(read), read.status, read.error, read.error_description) == (meaning, status, error, description)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"Forbidden"])
def test_a_refusal_that_is_no_json(answer: Callable[..., HttpResponse], body: bytes) -> None:
    """A proxy's page is no refusal of the service's; 429 is one without a body too."""
    read = refusal_of(REQUEST, answer(403, body))
    assert (type(read), str(read)) == (MalformedAnswer, "a refusal that is not a JSON object (status 403)")
    limited = refusal_of(REQUEST, answer(429, body, Retry_After="7"))
    assert (type(limited), limited.error, limited.retry_after) == (RateLimited, "too_many_requests", 7.0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry_After": "12"}, 12.0),
        ({"Auth0_RateLimit": "client;q=10;t=3;r=0"}, 3.0),
        ({"x_ratelimit_reset": str(int(NOW) + 42)}, 42.0),
        ({"Retry_After": "soon", "x_ratelimit_reset": "later"}, None),
    ],
)
def test_when_to_come_back(
    answer: Callable[..., HttpResponse], headers: dict[str, str], expected: float | None
) -> None:
    """A 429 carries its time in one of three styles, counted from now."""
    assert refusal_of(REQUEST, answer(429, {"error": "too_many_requests"}, **headers)).retry_after == expected


@pytest.mark.parametrize(
    ("body", "token", "requirements"),
    [
        ({}, None, {}),
        ({"mfa_token": "secret-token"}, "secret-token", {}),
        ({"mfa_token": 5, "mfa_requirements": ["otp"]}, None, {}),
        (
            {"mfa_token": "secret-token", "mfa_requirements": {"challenge": [{"type": "otp"}]}},
            "secret-token",
            {"challenge": [{"type": "otp"}]},
        ),
        ({"mfa_requirements": {"challenge_types": ["oob"]}}, None, {"challenge_types": ["oob"]}),
    ],
)
def test_mfa_has_its_facts(
    answer: Callable[..., HttpResponse], body: dict[str, Any], token: str | None, requirements: dict[str, Any]
) -> None:
    """The MFA token, hidden in a repr, and the requirements are in attributes, where they are of their types."""
    read = refusal_of(REQUEST, answer(403, {"error": "mfa_required", **body}))
    assert (read.mfa_token, read.mfa_requirements) == (token, requirements)
    assert "secret-token" not in repr(vars(read))


def test_secrets_that_are_echoed_are_taken_out(answer: Callable[..., HttpResponse]) -> None:
    """A server that repeats the code or the secret, in whichever member, is not repeated."""
    request = request_with("client-secret", "918273")
    body = {"error": "no-918273", "error_description": "code 918273 of client-secret, client-secret: 918273!"}
    read = refusal_of(request, answer(400, body))
    assert (
        read.error,
        read.error_description,
    ) == ("no-<redacted>", "code <redacted> of <redacted>, <redacted>: <redacted>!")
    assert str(read) == f"{read.error} (400): {read.error_description}"


def test_a_secret_at_the_cut_is_taken_out_before_the_cut(answer: Callable[..., HttpResponse]) -> None:
    """The bound on the server's words does not leave half a secret at their end."""
    body = {"error": "x", "error_description": "a" * 495 + "client-secret"}
    assert refusal_of(request_with("client-secret"), answer(400, body)).error_description == "a" * 495 + "<reda"


@pytest.mark.parametrize("otp", ["code", "e", "invalid_grant", "W", ".", "email"])
def test_what_the_user_typed_does_not_change_the_meaning(answer: Callable[..., HttpResponse], otp: str) -> None:
    """A code that is a word of the server's own is taken out of its words, and they mean what they meant."""
    body = {"error": "invalid_grant", "error_description": "Wrong email or verification code."}
    read = refusal_of(request_with(otp), answer(403, body))
    assert (type(read), read.error) == (WrongCode, "invalid_grant")
    assert otp not in read.error_description.replace("<redacted>", "")


def test_the_servers_words_are_bounded_and_printable(answer: Callable[..., HttpResponse]) -> None:
    """Five hundred characters are kept, and nothing that could forge a line of a log."""
    body = {"error": "e\r\nforged: line", "error_description": "\x1b[31m\u202e\0\ud800é" + "x" * 1000}
    read = refusal_of(REQUEST, answer(400, body))
    assert read.error == "e  forged: line"
    assert read.error_description == " [31m   é" + "x" * 491
    assert read.error_description.isprintable()


@settings(max_examples=300, deadline=None)
@given(
    body=st.dictionaries(
        st.sampled_from(["error", "error_description", "code", "errorCode", "description", "message", "mfa_token"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2),
    ),
    status=st.integers(400, 499),
    secret=st.text(min_size=1, max_size=5),
)
def test_every_refusal_is_read(
    answer: Callable[..., HttpResponse], body: dict[str, Any], status: int, secret: str
) -> None:
    """Whatever the members are, the refusal is an error of ours, printable and bounded."""
    read = refusal_of(request_with(secret), answer(status, body))
    assert isinstance(read, OAuthError)
    assert read.status == status
    assert read.error
    assert read.error.isprintable()
    assert read.error_description.isprintable()
    assert max(len(read.error), len(read.error_description)) <= 500


@pytest.mark.parametrize("echoed", ["s3cr+t/w=x&y", "s3cr%2Bt%2Fw%3Dx%26y"])
def test_secrets_that_are_echoed_encoded_are_taken_out(answer: Callable[..., HttpResponse], echoed: str) -> None:
    """A server that repeats the body that it was sent repeats the secret in the body's encoding."""
    request = HttpRequest("POST", URL("https://tenant.example/oauth/token"), {}, secrets=(Secret("s3cr+t/w=x&y"),))
    error = refusal_of(
        request, answer(400, {"error": "invalid_request", "error_description": f"secret={echoed}&otp=1"})
    )
    assert error.error_description == "secret=<redacted>&otp=1"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "junk"}, None),
        ({"x-ratelimit-reset": str(int(NOW) + 42), "Auth0-RateLimit": "client;q=10;t=42;r=9"}, None),
    ],
)
@pytest.mark.parametrize("status", [500, 503])
def test_when_to_come_back_to_a_server_that_fails(status: int, headers: dict[str, str], seconds: float | None) -> None:
    """By ``Retry-After`` (RFC 9110 §10.2.3): the window of the rate limit is no matter of a failure."""
    error = failure(REQUEST, HttpResponse(status, CIMultiDict(headers)))
    assert isinstance(error, TemporarilyUnavailable)
    assert (error.status, error.retry_after) == (status, seconds)
