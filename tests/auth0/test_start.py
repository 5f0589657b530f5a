"""``POST /passwordless/start``: what is sent, and what the answer means."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passwordless_async import Email, MalformedAnswer, OAuthError, Phone, TemporarilyUnavailable, UsageError
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.start import read_start, start_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0 import Application

ADA, PHONE = Email("ada@example.com"), Phone("+4930901820")
ADDRESS = ipaddress.ip_address("203.0.113.7")
SENT_AT = 1_700_000_000.25


def test_an_email_asks_for_a_code_by_name(public: Application):
    """An e-mail without send would carry a link, so the code is asked for by name; nothing else is sent."""
    request = start_request(public, ADA)
    assert ("POST", "https://tenant.example/passwordless/start") == (request.method, str(request.url))
    assert {"client_id": "client", "connection": "email", "email": "ada@example.com", "send": "code"} == json.loads(
        request.body
    )
    assert {"Content-Type": "application/json"} == request.headers
    assert ((), False) == (request.secrets, request.shareable)


def test_a_phone_has_no_send(public: Application):
    """A text message carries a code and nothing else: send is left out."""
    expected = {"client_id": "client", "connection": "sms", "phone_number": "+4930901820"}
    assert expected == json.loads(start_request(public, PHONE).body)
    assert expected == json.loads(start_request(public, PHONE, send="code").body)


def test_a_confidential_client_sends_its_secret(confidential: Application):
    """The secret stands in the body, and is known as one for the reading of the answer."""
    request = start_request(confidential, PHONE)
    assert "client-secret" == json.loads(request.body)["client_secret"]
    assert ("client-secret",) == request.secrets
    assert "(<redacted>,)" == repr(request.secrets)


def test_everything_at_once(confidential: Application):
    """Link, language, address and captcha each have their place."""
    request = start_request(
        confidential, ADA, send="link", language="de-AT", forwarded_for=ADDRESS, captcha="solved \n é"
    )
    assert {
        "client_id": "client",
        "client_secret": "client-secret",
        "connection": "email",
        "email": "ada@example.com",
        "send": "link",
        "captcha": "solved \n é",
    } == json.loads(request.body)
    assert {
        "Content-Type": "application/json",
        "auth0-forwarded-for": "203.0.113.7",
        "x-request-language": "de-AT",
    } == request.headers


@settings(max_examples=200, deadline=None)
@given(local=st.text(min_size=1, max_size=10), captcha=st.text(min_size=1, max_size=10))
def test_any_text_arrives_as_it_was(public: Application, local: str, captcha: str):
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
        (ADA, "forwarded_for", "203.0.113.7", "must be one ipaddress.ip_address(...), without a zone"),
        (ADA, "forwarded_for", "203.0.113.7, 10.0.0.1", "must be one ipaddress.ip_address(...), without a zone"),
        (ADA, "forwarded_for", "", "must be one ipaddress.ip_address(...), without a zone"),
        (
            ADA,
            "forwarded_for",
            ipaddress.ip_network("203.0.113.0/24"),
            "must be one ipaddress.ip_address(...), without a zone",
        ),
        (
            ADA,
            "forwarded_for",
            ipaddress.ip_interface("203.0.113.7/24"),
            "must be one ipaddress.ip_address(...), without a zone",
        ),
        (
            ADA,
            "forwarded_for",
            ipaddress.ip_address("fe80::1%eth0"),
            "must be one ipaddress.ip_address(...), without a zone",
        ),
    ],
)
def test_arguments_refused(confidential: Application, who: Email | Phone, argument: str, value: Any, problem: str):
    """An argument that is not of its form is refused by name, before there is a request."""
    with pytest.raises(UsageError) as refused:
        start_request(confidential, who, **{argument: value})
    assert (argument, f"{argument}: {problem}") == (refused.value.argument, str(refused.value))


def test_a_public_client_cannot_forward_an_address(public: Application):
    """The service would ignore it without a word, and every user would share the gateway's limit."""
    with pytest.raises(UsageError) as refused:
        start_request(public, ADA, forwarded_for=ADDRESS)
    expected = "forwarded_for: the service ignores it for a public client: client_auth is needed"
    assert expected == str(refused.value)


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::1"])
def test_an_address_is_written_in_its_one_form(confidential: Application, address: str):
    """Both kinds of address go into the header as ipaddress writes them."""
    request = start_request(confidential, ADA, forwarded_for=ipaddress.ip_address(address))
    assert address == request.headers["auth0-forwarded-for"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"_id":"1","email":"ada@example.com","email_verified":false}'),
        (200, b"{}"),
        (200, b""),
        (200, b"<html>"),
        (201, b""),
        (204, b""),
        (299, b""),
    ],
)
def test_a_success_needs_no_body(answer: Callable[..., HttpResponse], public: Application, status: int, body: bytes):
    """200 with or without a body, 201 and 204 all mean that a code is on its way."""
    receipt = read_start(start_request(public, ADA), answer(status, body), ADA, SENT_AT)
    assert (ADA, SENT_AT) == (receipt.who, receipt.sent_at)


def test_a_receipt_does_not_say_whether_there_is_an_account(answer: Callable[..., HttpResponse], public: Application):
    """email_verified, which tells whether an account exists, is read by nobody."""
    known, unknown = (
        read_start(start_request(public, ADA), answer(200, {"email_verified": value}), ADA, SENT_AT)
        for value in (True, False)
    )
    assert known == unknown
    assert "verified" not in repr(known)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failure_of_the_service(answer: Callable[..., HttpResponse], public: Application, status: int):
    """5xx means to try later, whatever the body: no code of the user's is at stake yet."""
    with pytest.raises(TemporarilyUnavailable) as refused:
        read_start(start_request(public, ADA), answer(status, {"error": "bad.email"}), ADA, SENT_AT)
    assert (status, "temporarily_unavailable", "") == (
        refused.value.status,
        refused.value.error,
        refused.value.error_description,
    )


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308])
def test_a_redirect_is_not_followed(answer: Callable[..., HttpResponse], public: Application, status: int):
    """A redirect is no answer of the protocol."""
    with pytest.raises(MalformedAnswer) as refused:
        read_start(start_request(public, ADA), answer(status, {}, Location="https://evil.example"), ADA, SENT_AT)
    assert f"a redirect, which is not followed (status {status})" == str(refused.value)


def test_a_refusal_is_read_from_the_table(answer: Callable[..., HttpResponse], public: Application):
    """4xx is what the table says, with the server's own words."""
    with pytest.raises(OAuthError) as refused:
        read_start(start_request(public, ADA), answer(400, {"code": "bad.email", "description": "no"}), ADA, SENT_AT)
    assert "bad.email (400): no" == str(refused.value)


def test_a_captcha_that_is_echoed_is_taken_out(answer: Callable[..., HttpResponse], public: Application):
    """What the user solved is a secret of the request too."""
    request = start_request(public, ADA, captcha="solved-captcha")
    assert (Secret("solved-captcha"),) == request.secrets
    with pytest.raises(OAuthError) as refused:
        read_start(request, answer(401, {"error": "x", "error_description": "no: solved-captcha"}), ADA, SENT_AT)
    assert "x (401): no: <redacted>" == str(refused.value)
