"""``POST /passwordless/start``: what is sent, and what the answer means."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import flows
from passwordless_async import (
    Email,
    MalformedAnswer,
    OAuthError,
    PasswordlessError,
    Phone,
    TemporarilyUnavailable,
    UsageError,
    VerificationRequired,
)
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.start import read_start, start, start_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.tenant import Tenant

ADA, PHONE = Email("ada@example.com"), Phone("+4930901820")
ADDRESS = ipaddress.ip_address("203.0.113.7")
NO_ANSWER = "Check domain, and any proxy in front of the tenant: the response is not one of an Auth0 tenant."
SENT_AT = 1_700_000_000.25


def test_an_email_asks_for_a_code_by_name(public: Application) -> None:
    """An e-mail without send would carry a link, so the code is asked for by name; nothing else is sent."""
    request = start_request(public, ADA)
    assert (request.method, str(request.url)) == ("POST", "https://tenant.example/passwordless/start")
    assert json.loads(request.body) == {
        "client_id": "client",
        "connection": "email",
        "email": "ada@example.com",
        "send": "code",
    }
    assert request.headers == {"Content-Type": "application/json"}
    assert (request.secrets, request.shareable) == ((), False)


def test_a_phone_has_no_send(public: Application) -> None:
    """A text message carries a code and nothing else: send is left out."""
    expected = {"client_id": "client", "connection": "sms", "phone_number": "+4930901820"}
    assert json.loads(start_request(public, PHONE).body) == expected
    assert json.loads(start_request(public, PHONE, send="code").body) == expected


def test_a_confidential_client_sends_its_secret(confidential: Application) -> None:
    """The secret stands in the body, and is known as one for the reading of the answer."""
    request = start_request(confidential, PHONE)
    assert json.loads(request.body)["client_secret"] == "client-secret"
    assert request.secrets == ("client-secret",)
    assert repr(request.secrets) == "(<redacted>,)"


def test_everything_at_once(confidential: Application) -> None:
    """Link, language, address and captcha each have their place."""
    request = start_request(
        confidential, ADA, send="link", language="de-AT", forwarded_for=ADDRESS, captcha="solved \n é"
    )
    assert json.loads(request.body) == {
        "client_id": "client",
        "client_secret": "client-secret",
        "connection": "email",
        "email": "ada@example.com",
        "send": "link",
        "captcha": "solved \n é",
    }
    assert request.headers == {
        "Content-Type": "application/json",
        "auth0-forwarded-for": "203.0.113.7",
        "x-request-language": "de-AT",
    }


@settings(max_examples=200, deadline=None)
@given(local=st.text(min_size=1, max_size=10), captcha=st.text(min_size=1, max_size=10))
def test_any_text_arrives_as_it_was(public: Application, local: str, captcha: str) -> None:
    """JSON carries every address and captcha to the other side as it was, in ASCII."""
    try:
        who = Email(f"{local}@example.com")
    except UsageError:
        return
    body = start_request(public, who, captcha=captcha).body
    assert body.isascii()
    assert (who.address, captcha) == (json.loads(body)["email"], json.loads(body)["captcha"])


@pytest.mark.parametrize(
    ("who", "argument", "value", "problem"),
    [
        (ADA, "send", "sms", "must be 'code' or 'link'"),
        (ADA, "send", None, "must be 'code' or 'link'"),
        (ADA, "send", ["code"], "must be 'code' or 'link'"),
        (PHONE, "send", "link", "must be 'code' for a phone: only an e-mail can carry a link"),
        (PHONE, "send", None, "must be 'code' for a phone: only an e-mail can carry a link"),
        (ADA, "language", "de_AT", "must be a BCP 47 language tag such as 'en' or 'pt-BR'"),
        (ADA, "language", "de\r\nx: y", "must be a BCP 47 language tag such as 'en' or 'pt-BR'"),
        (ADA, "captcha", "", "must not be empty"),
        (ADA, "captcha", "x" * 8193, "must be at most 8192 characters long, not 8193"),
        (ADA, "captcha", 5, "must be a str, not int"),
        (ADA, "forwarded_for", "203.0.113.7, 10.0.0.1", "must be one IP address, without port, prefix or list"),
        (ADA, "forwarded_for", "", "must not be empty"),
        (ADA, "forwarded_for", ipaddress.ip_address("fe80::1%eth0"), "must be without a zone"),
    ],
)
def test_arguments_refused(
    confidential: Application, who: Email | Phone, argument: str, value: Any, problem: str
) -> None:
    """An argument that is not of its form is refused by name, before there is a request."""
    with pytest.raises(UsageError) as refused:
        start_request(confidential, who, **{argument: value})
    assert (argument, f"{argument}: {problem}") == (refused.value.argument, str(refused.value))


def test_a_public_client_cannot_forward_an_address(public: Application) -> None:
    """The service would ignore it without a word, and every user would share the gateway's limit."""
    with pytest.raises(UsageError) as refused:
        start_request(public, ADA, forwarded_for=ADDRESS)
    expected = "forwarded_for: the service ignores it for a public client: client_auth is needed"
    assert str(refused.value) == expected


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::1"])
def test_an_address_is_written_in_its_one_form(confidential: Application, address: str) -> None:
    """Both kinds of address go into the header as ipaddress writes them."""
    request = start_request(confidential, ADA, forwarded_for=address)
    same = start_request(confidential, ADA, forwarded_for=ipaddress.ip_address(address))
    assert request.headers == same.headers
    assert address == request.headers["auth0-forwarded-for"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"_id":"1","email":"ada@example.com","email_verified":false}'),
        (200, b"{}"),
        (200, b""),
        (200, b" \r\n"),
        (201, b""),
        (204, b""),
        (299, b""),
    ],
)
def test_a_success_needs_no_body(
    answer: Callable[..., HttpResponse], public: Application, status: int, body: bytes
) -> None:
    """200 with or without a body, 201 and 204 all mean that a code is on its way."""
    receipt = read_start(start_request(public, ADA), answer(status, body), ADA, SENT_AT)
    assert (receipt.who, receipt.sent_at) == (ADA, SENT_AT)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", MalformedAnswer),
        (b"<!doctype html><title>Sign in to the network</title>", MalformedAnswer),
        (b"OK", MalformedAnswer),
        (b"[]", MalformedAnswer),
        (b"null", MalformedAnswer),
        (b'{"_id":', MalformedAnswer),
        (b'{"error":"bad.connection","error_description":"no"}', OAuthError),
        (b'{"code":"requires_verification"}', VerificationRequired),
        (b'{"error":{"message":"no"}}', OAuthError),
        (b'{"statusCode":400,"message":"no"}', OAuthError),
    ],
)
@pytest.mark.parametrize("status", [200, 201])
def test_a_success_that_is_no_receipt(
    answer: Callable[..., HttpResponse], public: Application, status: int, body: bytes, kind: type[PasswordlessError]
) -> None:
    """A proxy's page, or an error under a status of success, does not say that a code is on its way."""
    with pytest.raises(kind) as refused:
        read_start(start_request(public, ADA), answer(status, body), ADA, SENT_AT)
    assert (type(refused.value), getattr(refused.value, "status", None)) == (kind, status)
    notes = getattr(refused.value, "__notes__", [])
    assert notes == ([NO_ANSWER] if kind is MalformedAnswer else [])


def test_a_receipt_does_not_say_whether_there_is_an_account(
    answer: Callable[..., HttpResponse], public: Application
) -> None:
    """email_verified, which tells whether an account exists, is read by nobody."""
    known, unknown = (
        read_start(start_request(public, ADA), answer(200, {"email_verified": value}), ADA, SENT_AT)
        for value in (True, False)
    )
    assert known == unknown
    assert "verified" not in repr(known)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failure_of_the_service(answer: Callable[..., HttpResponse], public: Application, status: int) -> None:
    """5xx means to try later, whatever the body: no code of the user's is at stake yet."""
    with pytest.raises(TemporarilyUnavailable) as refused:
        read_start(start_request(public, ADA), answer(status, {"error": "bad.email"}), ADA, SENT_AT)
    assert (
        refused.value.status,
        refused.value.error,
        refused.value.error_description,
    ) == (status, "temporarily_unavailable", "")


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308])
def test_a_redirect_is_not_followed(answer: Callable[..., HttpResponse], public: Application, status: int) -> None:
    """A redirect is no answer of the protocol."""
    with pytest.raises(MalformedAnswer) as refused:
        read_start(start_request(public, ADA), answer(status, {}, Location="https://evil.example"), ADA, SENT_AT)
    assert str(refused.value) == f"a redirect, which is not followed (status {status})"
    assert refused.value.__notes__ == [NO_ANSWER]


def test_a_refusal_is_read_from_the_table(answer: Callable[..., HttpResponse], public: Application) -> None:
    """4xx is what the table says, with the server's own words."""
    with pytest.raises(OAuthError) as refused:
        read_start(start_request(public, ADA), answer(400, {"code": "bad.email", "description": "no"}), ADA, SENT_AT)
    assert str(refused.value) == "bad.email (400): no"


def test_a_captcha_that_is_echoed_is_taken_out(answer: Callable[..., HttpResponse], public: Application) -> None:
    """What the user solved is a secret of the request too."""
    request = start_request(public, ADA, captcha="solved-captcha")
    assert request.secrets == (Secret("solved-captcha"),)
    with pytest.raises(OAuthError) as refused:
        read_start(request, answer(401, {"error": "x", "error_description": "no: solved-captcha"}), ADA, SENT_AT)
    assert str(refused.value) == "x (401): no: <redacted>"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> flows.Clock:
    """Stop the clocks."""
    return flows.stop_clocks(monkeypatch)


@pytest.fixture
def tenant() -> Tenant:
    """Return a tenant that knows neither nonce nor key."""
    return flows.new_tenant()


def test_start_is_one_request_without_a_proof(tenant: Tenant, clock: flows.Clock) -> None:
    """Start sends once, without a proof, and the receipt's time is that of sending."""
    flow = start(tenant, ADA, language="de")
    request = next(flow)
    assert (request.method, str(request.url)) == ("POST", "https://tenant.example/passwordless/start")
    assert "DPoP" not in request.headers
    clock.time += 5
    receipt = flows.end(flow, flows.answer(200, {}))
    assert (receipt.who, receipt.sent_at) == (ADA, flows.NOW)


def test_start_leaves_nonces_alone(tenant: Tenant) -> None:
    """No proof was sent, so what the answer says of nonces is not about one."""
    flow = start(tenant, Phone("+4930901820"))
    next(flow)
    flows.end(flow, flows.answer(200, {}, nonce="n1"))
    assert tenant.nonces.get("https://tenant.example") is None


def test_start_raises_what_the_service_says(tenant: Tenant) -> None:
    """A refusal is raised; nothing is sent again, not even for a nonce challenge."""
    for response in (flows.answer(429, {}), flows.answer(400, flows.CHALLENGE, nonce="n1")):
        flow = start(tenant, ADA)
        next(flow)
        with pytest.raises(OAuthError):
            flow.send(response)


def test_start_refuses_before_it_sends(tenant: Tenant) -> None:
    """A wrong argument is refused before there is a request."""
    with pytest.raises(UsageError):
        next(start(tenant, ADA, captcha=""))


def test_state_and_nonce_of_a_link_are_secrets(public: Application, answer: Callable[..., HttpResponse]) -> None:
    """They are the login's own: a server that repeats them is not repeated, and of the rest it is."""
    parameters = {"state": "the-state", "nonce": "the-nonce", "redirect_uri": "https://app.example/cb"}
    request = start_request(public, ADA, send="link", auth_params=parameters)
    assert json.loads(request.body)["authParams"] == parameters
    assert set(request.secrets) == {"the-state", "the-nonce"}
    body = {"error": "bad.authParams", "error_description": " ".join(parameters.values())}
    with pytest.raises(OAuthError) as refused:
        read_start(request, answer(400, body), ADA, SENT_AT)
    assert refused.value.error_description == "<redacted> <redacted> https://app.example/cb"
