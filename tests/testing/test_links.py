"""Links instead of codes: from the message to the callback, and from there to tokens."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc.jwk import ECKey

from passwordless_async.auth0.identity import Email
from passwordless_async.testing import BOUND_API, STRICT_API

if TYPE_CHECKING:
    from tests.testing.conftest import Answer, Opener, Wire

ADA = Email("ada@example.com")
ABSENT = ...
CALLBACK = "https://app.example/callback"
INVALID_CODE = (403, "invalid_grant", "Invalid authorization code")
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}


async def _follow(wire: Wire, link: str | None = None) -> tuple[str, dict[str, str]]:
    """Follow the newest link and return where it leads, and with what."""
    path = (link or wire.tenant.outbox.link_for(ADA)).removeprefix(wire.tenant.url)
    answer = await wire.send("GET", path)
    assert answer.status == 302, answer.body
    location = urlsplit(answer.headers["Location"])
    return location._replace(query="").geturl(), dict(parse_qsl(location.query))


async def _asked(wire: Wire, **auth_params: Any) -> dict[str, str]:
    """Ask for a link and follow it."""
    params = {"scope": "openid", **auth_params}
    assert (await wire.start(send="link", authParams=params)).status == 200
    return (await _follow(wire))[1]


async def _redeem(wire: Wire, code: str, **members: Any) -> Answer:
    form = {"grant_type": "authorization_code", "client_id": wire.tenant.public_client_id, "code": code, **members}
    return await wire.token(form)


def _claims(token: str):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def test_from_the_message_to_tokens(warm: Wire):
    """The link leads to the callback with code and state; the code yields what ``authParams`` asked for."""
    params = {
        "scope": "openid email offline_access",
        "audience": BOUND_API,
        "state": "a b&c",
        "nonce": "n-0S6",
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "max_age": 60,
        "dpop_jkt": warm.thumbprint,
        **PKCE,
    }
    assert (await warm.start(send="link", authParams=params)).status == 200
    message = warm.tenant.outbox.messages[-1]
    assert message.link == warm.tenant.outbox.link_for(ADA)
    assert message.link not in repr(message)

    where, result = await _follow(warm)
    answer = await _redeem(warm, result["code"], redirect_uri=CALLBACK, code_verifier=VERIFIER)

    assert where == CALLBACK
    assert result.keys() == {"code", "state"}
    assert result["state"] == "a b&c"
    assert answer.json["token_type"] == "DPoP"
    assert answer.json["scope"] == "openid email offline_access"
    assert _claims(answer.json["access_token"])["cnf"] == {"jkt": warm.thumbprint}
    identity = _claims(answer.json["id_token"])
    assert identity["nonce"] == "n-0S6"
    assert identity["iat"] - 5 <= identity["auth_time"] <= identity["iat"]
    assert identity["email"] == ADA.address
    renewed = (await warm.refresh(answer.json["refresh_token"])).json
    assert "nonce" not in _claims(renewed["id_token"])


async def test_a_link_without_parameters(warm: Wire):
    """It leads to the first callback URL, without a state; the code needs no redirect_uri."""
    await warm.start(send="link")

    where, result = await _follow(warm)

    assert (where, result.keys()) == (CALLBACK, {"code"})
    answer = await _redeem(warm, result["code"])
    assert answer.json.keys() == {"access_token", "expires_in", "token_type"}


async def test_a_callback_with_a_query(wire_for: Opener):
    """The callback's own query stays."""
    wire = await wire_for(callback_urls=["https://app.example/?page=1"])

    assert (await _asked(wire)).keys() == {"page", "code"}


async def test_links_pass_once_and_the_newest_alone(warm: Wire):
    """A used link and one before the newest are refused."""
    await warm.start(send="link")
    first = warm.tenant.outbox.link_for(ADA)
    await warm.start(send="link")
    await _follow(warm)

    for link in (first, warm.tenant.outbox.link_for(ADA), f"{warm.tenant.url}/passwordless/verify_redirect"):
        answer = await warm.send("GET", link.removeprefix(warm.tenant.url))
        assert answer.words[:2] == (400, "invalid_request")


async def test_a_link_expires(wire: Wire):
    """After three minutes the callback is told that the link has expired."""
    await wire.start(send="link", authParams={"state": "s"})
    wire.tenant.clock.advance(180)

    _, result = await _follow(wire)

    assert (result["error"], result["state"]) == ("unauthorized", "s")
    assert "expired" in result["error_description"]


async def test_a_blocked_user_follows_a_link(wire: Wire):
    """The callback is told that the user is blocked; so is the token request of one who was blocked since."""
    code = (await _asked(wire))["code"]
    wire.tenant.users.block(ADA)

    assert (await _asked(wire))["error_description"] == "user is blocked"
    assert (await _redeem(wire, code)).words[1] == "use_dpop_nonce"
    assert (await _redeem(wire, code)).words == (401, "unauthorized", "user is blocked")


async def test_code_and_link_are_not_confused(warm: Wire):
    """A message holds one of them, and says so."""
    with pytest.raises(LookupError, match="holds a code"):
        warm.tenant.outbox.link_for(ADA)
    await warm.start(send="link")
    with pytest.raises(LookupError, match="holds a link"):
        warm.tenant.outbox.code_for(ADA)


async def test_an_authorization_code_passes_once(warm: Wire):
    """A used code, an unknown one and one that is a minute old are refused."""
    code = (await _asked(warm))["code"]
    assert (await _redeem(warm, code)).status == 200
    assert (await _redeem(warm, code)).words == INVALID_CODE
    old = (await _asked(warm))["code"]
    warm.tenant.clock.advance(60)

    for dead in ("guess", old):
        assert (await _redeem(warm, dead)).words == INVALID_CODE
    assert (await _redeem(warm, ABSENT)).words[:2] == (400, "invalid_request")


async def test_a_code_of_another_application(warm: Wire):
    """A code is the application's that asked for the link."""
    code = (await _asked(warm))["code"]
    client_id, secret = warm.tenant.confidential_client

    assert (await _redeem(warm, code, client_id=client_id, client_secret=secret)).words == INVALID_CODE
    assert (await _redeem(warm, code)).status == 200


VERIFIERS = [
    (PKCE, VERIFIER, 200),
    (PKCE, ABSENT, 403),
    (PKCE, "x" * 43, 403),
    (PKCE, CHALLENGE, 403),
    ({}, VERIFIER, 403),
    ({}, ABSENT, 200),
]


@pytest.mark.parametrize(("params", "verifier", "status"), VERIFIERS)
async def test_verifiers(warm: Wire, params: dict[str, str], verifier: str, status: int):
    """RFC 7636 §4.6: the verifier of the challenge passes; none, another, and one without a challenge do not."""
    code = (await _asked(warm, **params))["code"]

    answer = await _redeem(warm, code, code_verifier=verifier)

    assert answer.status == status
    if status == 403:
        assert answer.words[1:] == ("invalid_grant", "Failed to verify code verifier")


@pytest.mark.parametrize(
    ("given", "repeated", "status"),
    [
        (CALLBACK, CALLBACK, 200),
        (CALLBACK, ABSENT, 403),
        (CALLBACK, "https://other.example/", 403),
        (ABSENT, CALLBACK, 200),
        (ABSENT, "https://other.example/", 403),
        (ABSENT, ABSENT, 200),
    ],
)
async def test_the_redirect_uri_is_repeated(warm: Wire, given: str, repeated: str, status: int):
    """RFC 6749 §4.1.3: what was said at the start must be said again."""
    code = (await _asked(warm, **({} if given is ABSENT else {"redirect_uri": given})))["code"]

    assert (await _redeem(warm, code, redirect_uri=repeated)).status == status


async def test_a_code_that_is_bound(warm: Wire):
    """RFC 9449 §10: a proof by another key than ``dpop_jkt`` names is refused, and so is none; the code is unspent."""
    code = (await _asked(warm, dpop_jkt=warm.thumbprint))["code"]
    right, warm.key = warm.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await _redeem(warm, code)).words[2] == "DPoP proof thumbprints don't match"
    form = {"grant_type": "authorization_code", "client_id": warm.tenant.public_client_id, "code": code}
    assert (await warm.token(form, proof=None)).words[1] == "invalid_dpop_proof"
    warm.key = right
    assert (await _redeem(warm, code)).status == 200


async def test_the_policy_of_the_api(warm: Wire):
    """The API that the link was asked for decides whether a proof is needed."""
    code = (await _asked(warm, audience=STRICT_API))["code"]
    form = {"grant_type": "authorization_code", "client_id": warm.tenant.public_client_id, "code": code}

    assert "requires the use of DPoP" in (await warm.token(form, proof=None)).words[2]
    assert (await warm.token(form)).json["token_type"] == "DPoP"


MALFORMED = [
    {"scope": 7},
    {"state": ["s"]},
    {"response_type": "token"},
    {"redirect_uri": "https://other.example/"},
    {"redirect_uri": None},
    {"code_challenge": CHALLENGE},
    {"code_challenge": CHALLENGE, "code_challenge_method": "plain"},
    {"code_challenge": "short", "code_challenge_method": "S256"},
    {"dpop_jkt": "short"},
    {"dpop_jkt": {}},
]


@pytest.mark.parametrize("params", MALFORMED)
async def test_malformed_parameters(wire: Wire, params: dict[str, Any]):
    """What the tenant does not do, or cannot read, is refused at the start."""
    assert (await wire.start(send="link", authParams=params)).words[:2] == (400, "bad.authParams")
    assert (await wire.start(authParams=params)).status == 200


async def test_no_links_by_sms(wire: Wire):
    """A link goes out by e-mail alone."""
    members = {"connection": "sms", "email": ABSENT, "phone_number": "+4930901820", "send": "link"}

    assert (await wire.start(**members)).words[:2] == (400, "bad.send")


def test_the_vector():
    """RFC 7636 appendix B."""
    digest = hashlib.sha256(VERIFIER.encode()).digest()

    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == CHALLENGE
