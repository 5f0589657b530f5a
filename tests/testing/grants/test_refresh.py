"""The refresh token grant: key, scope, audience."""

from __future__ import annotations

import pytest
from joserfc.jwk import ECKey

from helpers.tenant_wire import ABSENT, Opener, Wire, claims_of, log_in_offline
from passwordless_async.testing import (
    BOUND_API,
    PLAIN_API,
    STRICT_API,
    Fault,
)

SCOPE = "openid email offline_access"


async def test_a_refresh(wire: Wire) -> None:
    """By the same key it yields new tokens for the same scope and audience, and the ID token of the same login."""
    login = await log_in_offline(wire)

    answer = await wire.refresh(login["refresh_token"])

    assert answer.status == 200
    assert answer.headers["DPoP-Nonce"]
    assert answer.json["token_type"] == "DPoP"
    assert answer.json["scope"] == SCOPE
    assert answer.json["refresh_token"] != login["refresh_token"]
    assert answer.json["access_token"] != login["access_token"]
    access, identity = claims_of(answer.json["access_token"]), claims_of(answer.json["id_token"])
    assert access["cnf"] == {"jkt": wire.thumbprint}
    assert BOUND_API in access["aud"]
    assert identity["sub"] == claims_of(login["id_token"])["sub"]
    assert (await wire.userinfo(answer.json["access_token"])).status == 200


OTHER_KEY = "DPoP proof thumbprints don't match"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("invalid_dpop_proof", (400, "invalid_dpop_proof", OTHER_KEY)),
        ("invalid_grant", (403, "invalid_grant", OTHER_KEY)),
    ],
)
async def test_another_key(wire_for: Opener, error: str, words: tuple[int, str, str]) -> None:
    """A proof by another key is refused before the token is spent; so is none."""
    wire = await wire_for(other_key_error=error)
    token = (await log_in_offline(wire))["refresh_token"]
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await wire.refresh(token)).words == words
    assert (await wire.refresh(token, proof=None)).words == (400, "invalid_dpop_proof", "DPoP proof is missing")
    wire.key = right
    assert (await wire.refresh(token)).status == 200


async def test_a_thief_without_the_key_cannot_end_the_family(wire: Wire) -> None:
    """Reuse by another key is refused for the key, and the family lives."""
    old = (await log_in_offline(wire))["refresh_token"]
    new = (await wire.refresh(old)).json["refresh_token"]
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await wire.refresh(old)).words[2] == OTHER_KEY
    wire.key = right
    assert (await wire.refresh(new)).status == 200


async def test_a_refresh_token_of_a_plain_api_is_bound_too(wire: Wire) -> None:
    """Facts: "Refresh tokens: assume always bound to the key", also where the access token is a Bearer token."""
    login = await log_in_offline(wire, audience=PLAIN_API)
    assert login["token_type"] == "Bearer"
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await wire.refresh(login["refresh_token"])).words[2] == OTHER_KEY
    wire.key = right
    assert (await wire.refresh(login["refresh_token"])).json["token_type"] == "Bearer"


async def test_a_login_without_a_proof(wire: Wire) -> None:
    """An unbound refresh token needs no proof."""
    await wire.start()
    login = (await wire.exchange(proof=None, scope=SCOPE)).json

    answer = await wire.refresh(login["refresh_token"], proof=None)
    assert answer.json["token_type"] == "Bearer"


@pytest.mark.parametrize(
    ("asked", "excess", "status", "granted"),
    [
        ("openid", "refused", 200, "openid"),
        ("email offline_access", "refused", 200, "email offline_access"),
        ("", "refused", 200, SCOPE),
        ("openid phone", "refused", 400, None),
        ("openid phone", "dropped", 200, "openid"),
        ("phone", "dropped", 200, SCOPE),
    ],
)
async def test_less_scope(wire_for: Opener, asked: str, excess: str, status: int, granted: str | None) -> None:
    """A refresh may ask for less; for more it is refused and the token is not spent, or the excess is dropped."""
    wire = await wire_for(excess_scope=excess)
    token = (await log_in_offline(wire))["refresh_token"]

    answer = await wire.refresh(token, scope=asked)

    assert answer.status == status
    assert answer.json.get("scope") == granted
    if status == 200:
        assert ("id_token" in answer.json) == ("openid" in str(granted))
        token = answer.json["refresh_token"]
    assert (await wire.refresh(token)).json["scope"] == SCOPE


async def test_another_audience(wire: Wire) -> None:
    """A refresh may name another API, whose policy then decides; one that does not exist leaves the token unspent."""
    token = (await log_in_offline(wire))["refresh_token"]

    assert (await wire.refresh(token, audience="https://nowhere.example")).words[:2] == (403, "access_denied")
    answer = await wire.refresh(token, audience=STRICT_API)
    assert STRICT_API in claims_of(answer.json["access_token"])["aud"]


UNKNOWN = (403, "invalid_grant", "Unknown or invalid refresh token.")


@pytest.mark.parametrize(
    "members",
    [
        {"refresh_token": "guess"},
        {"client_id": "confidential-client"},
    ],
)
async def test_unknown_and_foreign_tokens_get_the_same_refusal(wire: Wire, members: dict[str, str]) -> None:
    """An unknown token and another application's get the same refusal."""
    token = (await log_in_offline(wire))["refresh_token"]
    if "client_id" in members:
        members = dict(zip(("client_id", "client_secret"), wire.tenant.confidential_client, strict=True))

    assert (await wire.refresh(**{"refresh_token": token, **members})).words == UNKNOWN
    assert (await wire.refresh(token)).status == 200


@pytest.mark.parametrize("name", ["refresh_token", "client_id"])
async def test_missing_parameters(wire: Wire, name: str) -> None:
    """A missing parameter is refused."""
    token = (await log_in_offline(wire))["refresh_token"]
    status = 401 if name == "client_id" else 400

    assert (await wire.refresh(**{"refresh_token": token, name: ABSENT})).status == status


async def test_a_nonce_challenge_leaves_the_token(wire_for: Opener) -> None:
    """A refresh without the nonce is challenged and not spent, as any other grant."""
    wire = await wire_for()
    token = (await log_in_offline(wire))["refresh_token"]
    wire.nonce = None

    assert (await wire.refresh(token)).words[1] == "use_dpop_nonce"
    assert (await wire.refresh(token)).status == 200


async def test_a_nonce_challenge_that_spends_the_refresh_token(wire: Wire) -> None:
    """A server that spends the grant first challenges, and the retry is a reuse."""
    token = (await log_in_offline(wire))["refresh_token"]
    wire.tenant.faults.add(Fault.CHALLENGE_SPENDS_CODE, path="/oauth/token", times=1)

    assert (await wire.refresh(token)).words[1] == "use_dpop_nonce"
    assert (await wire.refresh(token)).words == UNKNOWN
