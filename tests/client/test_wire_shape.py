"""What goes on the wire, to the letter, with canned answers."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from joserfc import jws
from yarl import URL

from passwordless_async import TESTING, ClientSecretPost, DPoPKey, Email, PasswordlessClient, Phone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioresponses import aioresponses

START = "https://acme.eu.auth0.com/passwordless/start"
TOKEN = "https://acme.eu.auth0.com/oauth/token"
ANSWER = {"access_token": "opaque", "token_type": "DPoP", "expires_in": 86400}


def sent(responses: aioresponses, url: str) -> tuple[Mapping[str, str], bytes]:
    """Return the header fields and the body of the one request to a URL."""
    (call,) = responses.requests[("POST", URL(url))]
    return call.kwargs["headers"], call.kwargs["data"]._value


@pytest.mark.parametrize(
    ("who", "parameters", "body", "headers"),
    [
        (
            Email("ada@example.com"),
            {},
            {"client_id": "client", "connection": "email", "email": "ada@example.com", "send": "code"},
            {},
        ),
        (
            Phone("+4930901820"),
            {"language": "de-AT"},
            {"client_id": "client", "connection": "sms", "phone_number": "+4930901820"},
            {"x-request-language": "de-AT"},
        ),
        (
            Email("ada@example.com"),
            {"captcha": "solved", "send": "link"},
            {
                "client_id": "client",
                "connection": "email",
                "email": "ada@example.com",
                "send": "link",
                "captcha": "solved",
            },
            {},
        ),
    ],
)
async def test_start_of_a_public_client(
    responses: aioresponses,
    who: Email | Phone,
    parameters: dict[str, Any],
    body: dict[str, str],
    headers: dict[str, str],
) -> None:
    """Start sends JSON with the documented members and no others, and no proof."""
    responses.post(START, status=200, payload={})
    async with PasswordlessClient("acme.eu.auth0.com", "client", profile=TESTING) as client:
        receipt = await client.start(who, **parameters)
    sent_headers, sent_body = sent(responses, START)
    assert receipt.who == who
    assert json.loads(sent_body) == body
    assert sent_headers["Content-Type"] == "application/json"
    assert "DPoP" not in sent_headers
    assert {name: sent_headers.get(name) for name in headers} == headers


async def test_start_of_a_confidential_client(responses: aioresponses) -> None:
    """The client secret and the end user's address go out for an application that authenticates itself."""
    responses.post(START, status=204, body="")
    async with PasswordlessClient(
        "acme.eu.auth0.com", "client", client_auth=ClientSecretPost("s3cr3t"), profile=TESTING
    ) as client:
        await client.start(Email("ada@example.com"), forwarded_for=ipaddress.ip_address("2001:db8::1"))
    headers, body = sent(responses, START)
    assert json.loads(body)["client_secret"] == "s3cr3t"
    assert headers["auth0-forwarded-for"] == "2001:db8::1"


async def test_exchange(responses: aioresponses) -> None:
    """The OTP grant goes out as a form with a proof for the token endpoint by the key of the login."""
    responses.post(TOKEN, status=200, payload=ANSWER)
    key = DPoPKey.generate()
    async with PasswordlessClient("https://acme.eu.auth0.com", "client", profile=TESTING) as client:
        tokens = await client.exchange(
            Email("ada+x@example.com"),
            "123456",
            scope="profile offline_access",
            audience="https://api.example",
            key=key,
        )
    headers, body = sent(responses, TOKEN)
    assert dict(parse_qsl(body.decode(), strict_parsing=True)) == {
        "grant_type": "http://auth0.com/oauth/grant-type/passwordless/otp",
        "client_id": "client",
        "username": "ada+x@example.com",
        "otp": "123456",
        "realm": "email",
        "scope": "profile offline_access",
        "audience": "https://api.example",
    }
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Accept-Encoding"] == "identity"
    header = jws.extract_compact(headers["DPoP"].encode()).headers()
    assert header == {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.to_jwk()}
    assert tokens.key is key
    assert tokens.scope == "profile offline_access"
