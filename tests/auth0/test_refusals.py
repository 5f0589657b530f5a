"""What the service means when it says no: the documented table, row by row."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey
from multidict import CIMultiDict
from yarl import URL

from passwordless_async import (
    AccessDenied,
    ClientSecretPost,
    CodeExpired,
    InvalidClient,
    InvalidDPoPProof,
    InvalidPhoneNumber,
    InvalidRefreshToken,
    InvalidToken,
    MalformedAnswer,
    OAuthError,
    PrivateKeyJwt,
    RateLimited,
    RegionNotAllowed,
    SmsFailed,
    SmsGatewayFailed,
    TemporarilyUnavailable,
    WrongCode,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.refusals import failure, refusal, reports_error
from passwordless_async.auth0.requests import form_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from helpers.refusals import Row

NOW = 1_700_000_000.0
REQUEST = HttpRequest("POST", URL("https://tenant.example/oauth/token"), {})
NO_TENANT = "Check domain: the server at that name does not answer as an Auth0 tenant."
NO_ANSWER = "Check domain, and any proxy in front of the tenant: the response is not one of an Auth0 tenant."
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


@pytest.mark.parametrize(
    ("status", "body", "says_domain"),
    [(404, {}, True), (404, {"error": "not_found"}, False), (404, {"message": "no"}, False), (403, {}, False)],
)
def test_a_server_that_is_no_tenant(
    answer: Callable[..., HttpResponse], status: int, body: dict[str, str], *, says_domain: bool
) -> None:
    """It knows no endpoint of a tenant's, and says nothing: the advice names the domain."""
    assert refusal_of(REQUEST, answer(status, body)).advice == (NO_TENANT if says_domain else OAuthError.advice)


@pytest.mark.parametrize(
    ("status", "body", "is_setting"),
    [
        (404, {}, True),
        (401, {"error": "invalid_client"}, True),
        (403, {"error": "unauthorized_client"}, True),
        (403, {"error": "access_denied", "error_description": "Service not found: urn:a"}, True),
        (404, {"error": "not_found"}, False),
        (403, {"error": "access_denied"}, False),
        (403, {"error": "invalid_grant", "error_description": EXPIRED}, False),
        (429, {}, False),
    ],
)
def test_a_traceback_has_the_advice_about_a_setting(
    answer: Callable[..., HttpResponse], status: int, body: dict[str, str], *, is_setting: bool
) -> None:
    """Once, below the message, which is as without; also of a copy."""
    read = refusal_of(REQUEST, answer(status, body))
    message = f"{type(read).__module__}.{type(read).__qualname__}: {read}\n"
    for error in (read, copy.copy(read), read.with_facts(status=status), pickle.loads(pickle.dumps(read))):  # noqa: S301
        shown = "".join(traceback.format_exception(error))
        assert shown == (f"{message}{read.advice}\n" if is_setting else message)
    assert read.advice not in str(read)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"Forbidden"])
def test_a_refusal_that_is_no_json(answer: Callable[..., HttpResponse], body: bytes) -> None:
    """A proxy's page is no refusal of the service's; 429 is one without a body too."""
    read = refusal_of(REQUEST, answer(403, body))
    assert (type(read), str(read)) == (MalformedAnswer, "a refusal that is not a JSON object (status 403)")
    assert [read.advice] == read.__notes__ == [NO_ANSWER]
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


NUMBERS = (21211, 21214, 21217, 21401, 21421, 21610, 21614, 60205)
REGIONS = (21215, 21408, 21612, 60605)


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        *((f"no (Code: {code})", InvalidPhoneNumber) for code in NUMBERS),
        *((f"no (Code: {code})", RegionNotAllowed) for code in REGIONS),
        *((f"no (Code: {code})", SmsGatewayFailed) for code in (20003, 20429, 30001, 99999)),
        ("Unexpected response while calling the SMS gateway: 500", SmsGatewayFailed),
        ("Timeout while calling the SMS gateway: ETIMEDOUT", SmsGatewayFailed),
        ("Authentication failed while calling the SMS gateway", SmsGatewayFailed),
        ("21211", SmsGatewayFailed),
        ("", SmsGatewayFailed),
        ("the gateway said (Code: 30001), and then (Code: 21211)", InvalidPhoneNumber),
    ],
)
def test_why_an_sms_did_not_go(answer: Callable[..., HttpResponse], description: str, kind: type[SmsFailed]) -> None:
    """The provider's number says whether the number is wrong or its region is not allowed; else the gateway failed."""
    read = refusal_of(REQUEST, answer(400, {"error": "sms_provider_error", "error_description": description}))
    assert (type(read), read.error_description) == (kind, description)
    assert isinstance(read, SmsFailed)
    assert read.retryable == (kind is SmsGatewayFailed)


@pytest.mark.parametrize(
    ("meant_by_it", "description", "kind"),
    [
        (None, "in other words", OAuthError),
        (None, EXPIRED, CodeExpired),
        (InvalidRefreshToken, "in other words", InvalidRefreshToken),
        (InvalidRefreshToken, "", InvalidRefreshToken),
        (InvalidRefreshToken, EXPIRED, InvalidRefreshToken),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403])
def test_what_invalid_grant_means_for_a_grant(
    answer: Callable[..., HttpResponse],
    status: int,
    meant_by_it: type[OAuthError] | None,
    description: str,
    kind: type[OAuthError],
) -> None:
    """RFC 6749 §5.2: for a refresh token the code decides and not the description."""
    body = {"error": "invalid_grant", "error_description": description}
    assert type(refusal(REQUEST, answer(status, body), invalid_grant=meant_by_it)) is kind
    other = answer(status, {**body, "error": "access_denied"})
    assert type(refusal(REQUEST, other, invalid_grant=meant_by_it)) is AccessDenied


@pytest.fixture(scope="module")
def assertion() -> PrivateKeyJwt:
    """Return an authentication by assertions."""
    return PrivateKeyJwt(RSAKey.generate_key(2048).as_pem(private=True))


@pytest.mark.parametrize("error", ["invalid_dpop_proof", "invalid_client"])
@pytest.mark.parametrize(
    ("date", "difference"),
    [("Tue, 14 Nov 2023 22:13:20 GMT", 0.0), ("Tue, 14 Nov 2023 22:15:20 GMT", -120.0), ("soon", None)],
)
def test_a_refused_proof_or_assertion_speaks_of_the_clocks(
    answer: Callable[..., HttpResponse],
    assertion: PrivateKeyJwt,
    error: str,
    date: str,
    difference: float | None,
) -> None:
    """Either may be too old or too new for the server: the error says by how much the clocks differ."""
    request = form_request(Application("tenant.example", "client", assertion), REQUEST.url, {})
    read = refusal_of(request, answer(401, {"error": error}, Date=date))
    assert read.clock_difference == difference
    advice = "Set the clock of this machine: it is 120 s behind the server's." if difference else type(read).advice
    assert read.advice == advice


def test_secrets_in_the_requirements_are_taken_out(answer: Callable[..., HttpResponse]) -> None:
    """Wherever a server repeats a secret, and in whichever type: names and nested members too."""
    deep: Any = "client-secret"
    for _ in range(20):
        deep = [deep]
    said = {"client-secret": [{"type": "otp client-secret"}, 5, None], "deep": deep}
    body = {"error": "mfa_required", "mfa_requirements": said}
    read = refusal_of(request_with("client-secret"), answer(403, body))
    assert read.mfa_requirements["<redacted>"] == [{"type": "otp <redacted>"}, 5, None]
    assert "client-secret" not in repr(vars(read))


@pytest.mark.parametrize(
    "echoed",
    [
        "a<b>&'c\" d+e/f",
        "a%3Cb%3E%26%27c%22+d%2Be%2Ff",
        "a%3cb%3e%26%27c%22%20d%2be/f",
        "a&lt;b&gt;&amp;&#x27;c&quot; d+e/f",
    ],
)
def test_secrets_in_each_encoding_are_taken_out(answer: Callable[..., HttpResponse], echoed: str) -> None:
    """As it was, as a form or a URL has it in either case, and as a page has it."""
    read = refusal_of(request_with("a<b>&'c\" d+e/f"), answer(400, {"error": "x", "message": f"no: {echoed}."}))
    assert read.error_description == "no: <redacted>."


def test_a_short_secret_is_not_found_in_what_stands_for_another(answer: Callable[..., HttpResponse]) -> None:
    """All secrets are taken out in one pass."""
    read = refusal_of(request_with("red", "long-secret"), answer(400, {"error": "x", "message": "long-secret, red"}))
    assert read.error_description == "<redacted>, <redacted>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, False),
        ({"_id": "1", "email": "a@b", "email_verified": False}, False),
        ({"error": None, "statusCode": 200}, False),
        ({"error": "x"}, True),
        ({"code": "x"}, True),
        ({"errorCode": "x"}, True),
        ({"error": True}, True),
        ({"error": {"a": 1}}, True),
        ({"statusCode": 403}, True),
        (b"<html>", False),
        (b"", False),
    ],
)
def test_bodies_that_report_an_error(answer: Callable[..., HttpResponse], body: Any, expected: bool) -> None:  # noqa: FBT001 - a row
    """Whatever the status is, a body may report an error, in each shape."""
    assert reports_error(answer(200, body)) == expected


def test_a_refused_secret_is_not_about_clocks(answer: Callable[..., HttpResponse]) -> None:
    """No clock makes a wrong client secret right: the advice is about the secret."""
    secret = ClientSecretPost("secret")
    request = form_request(Application("tenant.example", "client", secret), REQUEST.url, {})
    read = refusal_of(request, answer(401, {"error": "invalid_client"}, Date="Tue, 14 Nov 2023 22:15:20 GMT"))
    assert (type(read), read.clock_difference, read.advice) == (InvalidClient, None, InvalidClient.advice)


@pytest.mark.parametrize(
    ("body", "challenge", "kind", "error"),
    [
        (b"Unauthorized", 'Bearer realm="Users", error="invalid_token"', InvalidToken, "invalid_token"),
        (b"", 'Bearer, DPoP error="invalid_dpop_proof"', InvalidDPoPProof, "invalid_dpop_proof"),
        ({}, 'DPoP error="invalid_token"', InvalidToken, "invalid_token"),
        ({"error": "invalid_token"}, 'DPoP error="other"', InvalidToken, "invalid_token"),
        (b"Unauthorized", 'Bearer realm="Users"', MalformedAnswer, None),
    ],
)
def test_a_challenge_says_what_the_body_does_not(
    answer: Callable[..., HttpResponse], body: Any, challenge: str, kind: type, error: str | None
) -> None:
    """RFC 6750 §3: the error of a protected resource is in its header."""
    read = refusal_of(REQUEST, answer(401, body, **{"WWW-Authenticate": challenge}))
    assert (type(read), getattr(read, "error", None)) == (kind, error)
