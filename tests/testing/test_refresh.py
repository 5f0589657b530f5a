"""The refresh token grant, revocation, and what becomes of access tokens."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import ECKey

from passwordless_async.auth0.identity import Email
from passwordless_async.testing import BOUND_API, PLAIN_API, STRICT_API, Fault

if TYPE_CHECKING:
    from tests.testing.conftest import Opener, Wire

ADA = Email("ada@example.com")
ABSENT = ...
UNKNOWN = (403, "invalid_grant", "Unknown or invalid refresh token.")
OTHER_KEY = "DPoP proof thumbprints don't match"
SCOPE = "openid email offline_access"


async def _login(wire: Wire, **members: Any) -> dict[str, Any]:
    return (await wire.login(**{"scope": SCOPE, "audience": BOUND_API, **members})).json


def _claims(token: str):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def test_a_refresh(wire: Wire):
    """By the same key it yields new tokens for the same scope and audience, and the ID token of the same login."""
    login = await _login(wire)

    answer = await wire.refresh(login["refresh_token"])

    assert answer.status == 200
    assert answer.headers["DPoP-Nonce"]
    assert answer.json["token_type"] == "DPoP"
    assert answer.json["scope"] == SCOPE
    assert answer.json["refresh_token"] != login["refresh_token"]
    assert answer.json["access_token"] != login["access_token"]
    access, identity = _claims(answer.json["access_token"]), _claims(answer.json["id_token"])
    assert access["cnf"] == {"jkt": wire.thumbprint}
    assert BOUND_API in access["aud"]
    assert identity["sub"] == _claims(login["id_token"])["sub"]
    assert (await wire.userinfo(answer.json["access_token"])).status == 200


async def test_a_login_without_offline_access(wire: Wire):
    """No refresh token unless it is asked for."""
    assert "refresh_token" not in await _login(wire, scope="openid")
    assert wire.tenant.refresh_families == ()


async def test_each_rotation_brings_another_token(wire: Wire):
    """The tokens go on from one to the next, and the family counts them."""
    token = (await _login(wire))["refresh_token"]
    for _ in range(3):
        token = (await wire.refresh(token)).json["refresh_token"]

    (family,) = wire.tenant.refresh_families
    assert (family.rotations, family.revoked, family.reuse_detected) == (3, False, False)
    assert family.thumbprint == wire.thumbprint
    assert family.user.username == ADA.address
    assert wire.tenant.stats.refresh_rotations == 3


async def test_reuse_ends_the_family(wire: Wire):
    """A token that was replaced is refused, and so is its successor; access tokens die at userinfo."""
    old = (await _login(wire))["refresh_token"]
    new = (await wire.refresh(old)).json

    assert (await wire.refresh(old)).words == UNKNOWN
    assert (await wire.refresh(new["refresh_token"])).words == UNKNOWN
    assert (await wire.userinfo(new["access_token"])).json["error"] == "invalid_token"
    (family,) = wire.tenant.refresh_families
    assert family.reuse_detected
    assert family.revoked
    assert (wire.tenant.stats.refresh_reuse_detected, wire.tenant.stats.families_revoked) == (1, 1)


async def test_of_many_at_once_one_wins_and_all_lose(wire: Wire):
    """Two refreshes of one token at once are a reuse: whoever is not single-flight loses the session."""
    token = (await _login(wire))["refresh_token"]

    answers = await asyncio.gather(*(wire.refresh(token) for _ in range(10)))

    assert sorted(answer.status for answer in answers) == [200] + [403] * 9
    assert wire.tenant.refresh_families[0].revoked


async def test_reuse_in_the_leeway(wire_for: Opener):
    """In the leeway the token that was replaced brings forth another one; after it the family ends."""
    wire = await wire_for(refresh_leeway=10)
    old = (await _login(wire))["refresh_token"]
    first, second = await wire.refresh(old), await wire.refresh(old)

    assert (first.status, second.status) == (200, 200)
    assert first.json["refresh_token"] != second.json["refresh_token"]
    for answer in (first, second):
        assert (await wire.refresh(answer.json["refresh_token"])).status == 200
    wire.tenant.clock.advance(6)
    assert (await wire.refresh(old)).status == 200
    wire.tenant.clock.advance(6)  # the leeway counts from the first time
    assert (await wire.refresh(old)).words == UNKNOWN
    assert wire.tenant.refresh_families[0].reuse_detected


async def test_without_rotation(wire_for: Opener):
    """Without rotation the answer bears no refresh token, and the same one goes on."""
    wire = await wire_for(refresh_rotation=False)
    token = (await _login(wire))["refresh_token"]

    for _ in range(3):
        answer = await wire.refresh(token)
        assert answer.status == 200
        assert "refresh_token" not in answer.json
    assert wire.tenant.refresh_families[0].rotations == 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("invalid_dpop_proof", (400, "invalid_dpop_proof", OTHER_KEY)),
        ("invalid_grant", (403, "invalid_grant", OTHER_KEY)),
    ],
)
async def test_another_key(wire_for: Opener, error: str, words: tuple[int, str, str]):
    """A proof by another key is refused before the token is spent; so is none."""
    wire = await wire_for(other_key_error=error)
    token = (await _login(wire))["refresh_token"]
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await wire.refresh(token)).words == words
    assert (await wire.refresh(token, proof=None)).words == (400, "invalid_dpop_proof", "DPoP proof is missing")
    wire.key = right
    assert (await wire.refresh(token)).status == 200


async def test_a_thief_without_the_key_cannot_end_the_family(wire: Wire):
    """Reuse by another key is refused for the key, and the family lives."""
    old = (await _login(wire))["refresh_token"]
    new = (await wire.refresh(old)).json["refresh_token"]
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await wire.refresh(old)).words[2] == OTHER_KEY
    wire.key = right
    assert (await wire.refresh(new)).status == 200


async def test_a_refresh_token_of_a_plain_api_is_bound_too(wire: Wire):
    """Facts: "Refresh tokens: assume always bound to the key", also where the access token is a Bearer token."""
    login = await _login(wire, audience=PLAIN_API)
    assert login["token_type"] == "Bearer"
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await wire.refresh(login["refresh_token"])).words[2] == OTHER_KEY
    wire.key = right
    assert (await wire.refresh(login["refresh_token"])).json["token_type"] == "Bearer"


async def test_a_login_without_a_proof(wire: Wire):
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
async def test_less_scope(wire_for: Opener, asked: str, excess: str, status: int, granted: str | None):
    """A refresh may ask for less; for more it is refused and the token is not spent, or the excess is dropped."""
    wire = await wire_for(excess_scope=excess)
    token = (await _login(wire))["refresh_token"]

    answer = await wire.refresh(token, scope=asked)

    assert answer.status == status
    assert answer.json.get("scope") == granted
    if status == 200:
        assert ("id_token" in answer.json) == ("openid" in granted)
        token = answer.json["refresh_token"]
    assert (await wire.refresh(token)).json["scope"] == SCOPE


async def test_another_audience(wire: Wire):
    """A refresh may name another API, whose policy then decides; one that does not exist leaves the token unspent."""
    token = (await _login(wire))["refresh_token"]

    assert (await wire.refresh(token, audience="https://nowhere.example")).words[:2] == (403, "access_denied")
    answer = await wire.refresh(token, audience=STRICT_API)
    assert STRICT_API in _claims(answer.json["access_token"])["aud"]


@pytest.mark.parametrize(
    "members",
    [
        {"refresh_token": "guess"},
        {"client_id": "confidential-client"},
    ],
)
async def test_tokens_of_nobody_and_of_others(wire: Wire, members: dict[str, str]):
    """An unknown token and another application's are told the same."""
    token = (await _login(wire))["refresh_token"]
    if "client_id" in members:
        members = dict(zip(("client_id", "client_secret"), wire.tenant.confidential_client, strict=True))

    assert (await wire.refresh(**{"refresh_token": token, **members})).words == UNKNOWN
    assert (await wire.refresh(token)).status == 200


@pytest.mark.parametrize("name", ["refresh_token", "client_id"])
async def test_missing_parameters(wire: Wire, name: str):
    """A parameter that is missing is told."""
    token = (await _login(wire))["refresh_token"]
    status = 401 if name == "client_id" else 400

    assert (await wire.refresh(**{"refresh_token": token, name: ABSENT})).status == status


async def test_lifetimes(wire_for: Opener):
    """Without use the family ends after the idle lifetime, with use after the absolute one."""
    wire = await wire_for(refresh_lifetime=1000, refresh_idle_lifetime=400, nonce_lifetime=1e9)
    idle = (await _login(wire))["refresh_token"]
    wire.tenant.clock.advance(401)
    assert (await wire.refresh(idle)).words == UNKNOWN

    used = (await _login(wire))["refresh_token"]
    for _ in range(3):
        wire.tenant.clock.advance(300)
        used = (await wire.refresh(used)).json["refresh_token"]
    wire.tenant.clock.advance(101)
    assert (await wire.refresh(used)).words == UNKNOWN


async def test_lifetimes_that_do_not_end(wire_for: Opener):
    """None is for ever."""
    wire = await wire_for(refresh_lifetime=None, refresh_idle_lifetime=None, nonce_lifetime=1e12)
    token = (await _login(wire))["refresh_token"]

    wire.tenant.clock.advance(1e9)
    assert (await wire.refresh(token)).status == 200


async def test_a_challenge_leaves_the_token(wire_for: Opener):
    """A refresh without the nonce is challenged and not spent, as any other grant."""
    wire = await wire_for()
    token = (await _login(wire))["refresh_token"]
    wire.nonce = None

    assert (await wire.refresh(token)).words[1] == "use_dpop_nonce"
    assert (await wire.refresh(token)).status == 200


async def test_a_challenge_that_spends_the_refresh_token(wire: Wire):
    """A server that spends the grant first challenges, and the retry is a reuse."""
    token = (await _login(wire))["refresh_token"]
    wire.tenant.faults.add(Fault.CHALLENGE_SPENDS_CODE, path="/oauth/token", times=1)

    assert (await wire.refresh(token)).words[1] == "use_dpop_nonce"
    assert (await wire.refresh(token)).words == UNKNOWN


async def _revoke(wire: Wire, token: str, **members: Any):
    body = {"client_id": wire.tenant.public_client_id, "token": token, **members}
    return await wire.send("POST", "/oauth/revoke", json=body)


async def test_revocation(wire: Wire):
    """A revoked token is dead with its whole family, and the answer is an empty 200."""
    old = (await _login(wire))["refresh_token"]
    new = (await wire.refresh(old)).json

    answer = await _revoke(wire, old)

    assert (answer.status, answer.body) == (200, b"")
    assert (await wire.refresh(new["refresh_token"])).words == UNKNOWN
    assert (await wire.userinfo(new["access_token"])).status == 401
    assert (await _revoke(wire, old)).status == 200
    assert wire.tenant.stats.families_revoked == 1
    assert wire.tenant.stats.revoke_requests == 2


async def test_access_tokens_that_outlive_their_family(wire_for: Opener):
    """Whether a revocation reaches access tokens is a setting."""
    wire = await wire_for(revocation_ends_access_tokens=False)
    login = await _login(wire)

    await _revoke(wire, login["refresh_token"])

    assert (await wire.userinfo(login["access_token"])).status == 200


async def test_revoking_what_is_not_there(wire: Wire):
    """An unknown token and another application's are answered alike, and nothing is revoked."""
    client_id, secret = wire.tenant.confidential_client
    token = (await _login(wire))["refresh_token"]

    assert (await _revoke(wire, "guess")).status == 200
    assert (await _revoke(wire, token, client_id=client_id, client_secret=secret)).status == 200
    assert (await wire.refresh(token)).status == 200


async def test_revocation_by_each_kind_of_client(wire: Wire):
    """The application authenticates itself, in a form as in JSON."""
    client_id, secret = wire.tenant.confidential_client
    credentials = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    header = {"Authorization": f"Basic {credentials}"}

    assert (await wire.send("POST", "/oauth/revoke", data={"token": "t"}, headers=header)).status == 200
    assert (await wire.send("POST", "/oauth/revoke", data=wire.asserting(token="t"))).status == 200
    assert (await _revoke(wire, "t", client_id=client_id)).words[:2] == (401, "invalid_client")
    assert (await _revoke(wire, "t", client_id="nobody")).words[:2] == (401, "invalid_client")
    assert (await _revoke(wire, "")).words[:2] == (400, "invalid_request")


async def test_access_tokens_expire_and_are_revoked(wire: Wire):
    """Userinfo refuses both with 401 ``invalid_token`` in a DPoP challenge; a refresh helps."""
    login = await _login(wire)
    wire.tenant.revoke_access_tokens(ADA)
    revoked = await wire.userinfo(login["access_token"])
    tokens = (await wire.refresh(login["refresh_token"])).json
    assert (await wire.userinfo(tokens["access_token"])).status == 200
    wire.tenant.clock.advance(86_401)
    wire.nonce = None
    expired = await wire.userinfo(tokens["access_token"])

    for answer in (revoked, expired):
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith('DPoP error="invalid_token"')
    wire.tenant.revoke_access_tokens()


async def test_the_limit_of_userinfo(wire_for: Opener):
    """A burst, and then so many a minute, for each user."""
    wire = await wire_for(userinfo_burst=2, userinfo_per_minute=6, rate_limit_style="retry-after")
    token = (await _login(wire))["access_token"]

    assert [(await wire.userinfo(token)).status for _ in range(3)] == [200, 200, 429]
    assert (await wire.userinfo(token)).headers["Retry-After"] == "10"
    wire.tenant.clock.advance(10)
    assert [(await wire.userinfo(token)).status for _ in range(2)] == [200, 429]
    await wire.start(email="bob@example.com")
    form = {"username": "bob@example.com", "otp": wire.tenant.outbox.code_for(Email("bob@example.com"))}
    other = (await wire.exchange(**form)).json["access_token"]
    assert (await wire.userinfo(other)).status == 200
