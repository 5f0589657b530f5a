"""The authorization code grant: PKCE, ``redirect_uri``, ``dpop_jkt``."""

from __future__ import annotations

import pytest
from joserfc.jwk import ECKey

from helpers.tenant_wire import ABSENT, ADA, Wire, ask_and_follow, claims_of, follow_link, redeem_code
from passwordless_async.testing import (
    BOUND_API,
    STRICT_API,
)

CALLBACK = "https://app.example/callback"


VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B


CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}


async def test_from_the_message_to_tokens(warm: Wire) -> None:
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

    where, result = await follow_link(warm)
    answer = await redeem_code(warm, result["code"], redirect_uri=CALLBACK, code_verifier=VERIFIER)

    assert where == CALLBACK
    assert result.keys() == {"code", "state"}
    assert result["state"] == "a b&c"
    assert answer.json["token_type"] == "DPoP"
    assert answer.json["scope"] == "openid email offline_access"
    assert claims_of(answer.json["access_token"])["cnf"] == {"jkt": warm.thumbprint}
    identity = claims_of(answer.json["id_token"])
    assert identity["nonce"] == "n-0S6"
    assert identity["iat"] - 5 <= identity["auth_time"] <= identity["iat"]
    assert identity["email"] == ADA.address
    renewed = (await warm.refresh(answer.json["refresh_token"])).json
    assert "nonce" not in claims_of(renewed["id_token"])


INVALID_CODE = (403, "invalid_grant", "Invalid authorization code")


async def test_an_authorization_code_passes_once(warm: Wire) -> None:
    """A used code, an unknown one and one that is a minute old are refused."""
    code = (await ask_and_follow(warm))["code"]
    assert (await redeem_code(warm, code)).status == 200
    assert (await redeem_code(warm, code)).words == INVALID_CODE
    old = (await ask_and_follow(warm))["code"]
    warm.tenant.clock.advance(60)

    for dead in ("guess", old):
        assert (await redeem_code(warm, dead)).words == INVALID_CODE
    assert (await redeem_code(warm, ABSENT)).words[:2] == (400, "invalid_request")


async def test_a_code_of_another_application(warm: Wire) -> None:
    """A code is the application's that asked for the link."""
    code = (await ask_and_follow(warm))["code"]
    client_id, secret = warm.tenant.confidential_client

    assert (await redeem_code(warm, code, client_id=client_id, client_secret=secret)).words == INVALID_CODE
    assert (await redeem_code(warm, code)).status == 200


VERIFIERS = [
    (PKCE, VERIFIER, 200),
    (PKCE, ABSENT, 403),
    (PKCE, "x" * 43, 403),
    (PKCE, CHALLENGE, 403),
    ({}, VERIFIER, 403),
    ({}, ABSENT, 200),
]


@pytest.mark.parametrize(("params", "verifier", "status"), VERIFIERS)
async def test_verifiers(warm: Wire, params: dict[str, str], verifier: str, status: int) -> None:
    """RFC 7636 §4.6: the verifier of the challenge passes; none, another, and one without a challenge do not."""
    code = (await ask_and_follow(warm, **params))["code"]

    answer = await redeem_code(warm, code, code_verifier=verifier)

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
async def test_the_redirect_uri_is_repeated(warm: Wire, given: str, repeated: str, status: int) -> None:
    """RFC 6749 §4.1.3: what was said at the start must be said again."""
    code = (await ask_and_follow(warm, **({} if given is ABSENT else {"redirect_uri": given})))["code"]

    assert (await redeem_code(warm, code, redirect_uri=repeated)).status == status


async def test_a_code_that_is_bound(warm: Wire) -> None:
    """RFC 9449 §10: a proof by another key than ``dpop_jkt`` names is refused, and so is none; the code is unspent."""
    code = (await ask_and_follow(warm, dpop_jkt=warm.thumbprint))["code"]
    right, warm.key = warm.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await redeem_code(warm, code)).words[2] == "DPoP proof thumbprints don't match"
    form = {"grant_type": "authorization_code", "client_id": warm.tenant.public_client_id, "code": code}
    assert (await warm.token(form, proof=None)).words[1] == "invalid_dpop_proof"
    warm.key = right
    assert (await redeem_code(warm, code)).status == 200


async def test_the_policy_of_the_api(warm: Wire) -> None:
    """The API that the link was asked for decides whether a proof is needed."""
    code = (await ask_and_follow(warm, audience=STRICT_API))["code"]
    form = {"grant_type": "authorization_code", "client_id": warm.tenant.public_client_id, "code": code}

    assert "requires the use of DPoP" in (await warm.token(form, proof=None)).words[2]
    assert (await warm.token(form)).json["token_type"] == "DPoP"
