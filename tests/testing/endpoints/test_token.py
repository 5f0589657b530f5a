"""``POST /oauth/token`` and ``POST /oauth/revoke``."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from joserfc.jwk import ECKey

from helpers.tenant_wire import (
    ABSENT,
    Opener,
    Wire,
    ask_and_follow,
    claims_of,
    log_in_offline,
    open_auth_session,
    revoke,
)
from passwordless_async.testing import (
    BOUND_API,
    PLAIN_API,
    STRICT_API,
)


async def test_json_is_also_accepted(warm: Wire) -> None:
    """The grant may come as JSON."""
    answer = await warm.send("POST", "/oauth/token", json=warm.form(), headers={"DPoP": warm.proof()})

    assert answer.status == 200


async def test_a_refused_proof_costs_no_attempt(warm: Wire) -> None:
    """Rule 31: the proof is checked before the code: ten bad proofs leave code and attempts as they were."""
    for _ in range(10):
        assert (await warm.exchange(proof=warm.proof(htm="GET"))).words[:2] == (400, "invalid_dpop_proof")

    assert (await warm.exchange()).status == 200


REFUSED = [
    ({"grant_type": ""}, 400, "invalid_request"),
    ({"grant_type": "password"}, 501, "unsupported_grant_type"),
    ({"client_id": ""}, 401, "invalid_client"),
    ({"client_id": "unknown-client"}, 401, "invalid_client"),
    ({"client_id": "confidential-client"}, 401, "invalid_client"),
    ({"client_id": "confidential-client", "client_secret": "guess"}, 401, "invalid_client"),
    ({"username": ""}, 400, "invalid_request"),
    ({"otp": ""}, 400, "invalid_request"),
    ({"realm": ""}, 400, "invalid_request"),
    ({"realm": "fax"}, 400, "invalid_request"),
    ({"audience": "https://nowhere.example"}, 403, "access_denied"),
]


@pytest.mark.parametrize(("members", "status", "error"), REFUSED)
async def test_malformed_grants_are_refused(warm: Wire, members: dict[str, Any], status: int, error: str) -> None:
    """Each refusal has its status and code and leaves the code unspent."""
    assert (await warm.exchange(**members)).words[:2] == (status, error)
    assert (await warm.exchange()).status == 200


INSISTS = (400, "invalid_request")
BAD_PROOF = (400, "invalid_dpop_proof")
# The policy, and what follows from a right proof, from none and from a bad one: a token_type or a refusal.
POLICIES = [
    (PLAIN_API, "Bearer", "Bearer", "Bearer"),
    (BOUND_API, "DPoP", "Bearer", BAD_PROOF),
    (STRICT_API, "DPoP", INSISTS, BAD_PROOF),
]
Outcome = str | tuple[int, str]


async def _otp(wire: Wire, audience: str) -> dict[str, Any]:
    await wire.start()
    return wire.form(audience=audience)


async def _database(wire: Wire, audience: str) -> dict[str, Any]:
    session = await open_auth_session(wire)
    return wire.form(audience=audience, auth_session=session, username=ABSENT, realm=ABSENT)


async def _link(wire: Wire, audience: str) -> dict[str, Any]:
    code = (await ask_and_follow(wire, audience=audience))["code"]
    return {"grant_type": "authorization_code", "client_id": wire.tenant.public_client_id, "code": code}


async def _refresh(wire: Wire, audience: str) -> dict[str, Any]:
    await wire.start()
    token = (await wire.exchange(proof=None, scope="openid offline_access")).json["refresh_token"]
    client_id = wire.tenant.public_client_id
    return {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": token, "audience": audience}


@pytest.mark.parametrize("grant", [_otp, _database, _link, _refresh])
@pytest.mark.parametrize(("audience", "proven", "unproven", "badly_proven"), POLICIES)
async def test_the_policy_of_an_api_decides(
    warm: Wire, audience: str, proven: Outcome, unproven: Outcome, badly_proven: Outcome, grant: Any
) -> None:
    """Each policy, grant and proof has its token or refusal, which leaves the grant unspent; a token has one scheme."""
    bad = warm.proof(htm="GET")
    for proof, expected in ((ABSENT, proven), (None, unproven), (bad, badly_proven)):
        form = await grant(warm, audience)
        answer = await warm.token(form, proof=proof)
        if isinstance(expected, tuple):
            assert answer.words[:2] == expected
            answer = await warm.token(form)
        else:
            assert answer.json["token_type"] == expected
        token = answer.json["access_token"]
        bound = answer.json["token_type"] == "DPoP"
        assert claims_of(token).get("cnf") == ({"jkt": warm.thumbprint} if bound else None)
        assert [
            (await warm.userinfo(token)).status,
            (await warm.userinfo(token, scheme="Bearer", proof=None)).status,
        ] == ([200, 401] if bound else [401, 200])


async def test_a_proof_is_ignored_where_the_policy_is_none(wire: Wire) -> None:
    """No nonce is asked for, and the refresh token is not bound: no proof is needed, and another key's does no harm."""
    await wire.start()
    login = (await wire.exchange(audience=PLAIN_API, scope="openid offline_access")).json
    wire.key = ECKey.generate_key("P-256", auto_kid=False)
    second = (await wire.refresh(login["refresh_token"])).json
    third = await wire.refresh(second["refresh_token"], proof=None)

    assert [answer["token_type"] for answer in (login, second, third.json)] == ["Bearer"] * 3
    assert wire.tenant.stats.nonce_challenges == 0


async def test_a_bound_grant_needs_its_key_whatever_the_policy(wire: Wire) -> None:
    """A bound refresh token that asks for tokens of an API without DPoP: a Bearer token, and only with the key."""
    token = (await log_in_offline(wire))["refresh_token"]

    assert (await wire.refresh(token, proof=None, audience=PLAIN_API)).words[:2] == BAD_PROOF
    assert (await wire.refresh(token, audience=PLAIN_API)).json["token_type"] == "Bearer"


@pytest.mark.parametrize(("policy", "proven"), [("none", "Bearer"), ("optional", "DPoP"), ("required", "DPoP")])
async def test_the_policy_without_an_audience(wire_for: Opener, policy: str, proven: str) -> None:
    """A setting decides about tokens that are for userinfo alone."""
    wire = await wire_for(userinfo_policy=policy)
    await wire.start()
    refused = await wire.exchange(otp="000", proof=None)

    assert refused.words[:2] == (INSISTS if policy == "required" else (403, "invalid_grant"))
    assert (await wire.login()).json["token_type"] == proven


async def test_an_api_that_insists(warm: Wire) -> None:
    """An API with the policy ``required`` refuses a request without a proof, and the code is unspent."""
    refused = await warm.exchange(proof=None, audience=STRICT_API)

    assert refused.words == (
        400,
        "invalid_request",
        "Resource server requires the use of DPoP to issue sender-constrained access tokens",
    )
    assert (await warm.exchange(audience=STRICT_API)).status == 200


async def test_a_confidential_client_needs_no_nonce(wire: Wire) -> None:
    """By secret in the body or by HTTP Basic, the first proof passes."""
    client_id, secret = wire.tenant.confidential_client
    await wire.start()
    assert (await wire.exchange(client_id=client_id, client_secret=secret)).status == 200

    await wire.start()
    basic = {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}
    form = {name: value for name, value in wire.form().items() if name != "client_id"}
    answer = await wire.send("POST", "/oauth/token", data=form, headers={**basic, "DPoP": wire.proof()})
    assert answer.status == 200


UNKNOWN = (403, "invalid_grant", "Unknown or invalid refresh token.")


async def test_revocation(wire: Wire) -> None:
    """Revoking a token ends its whole family, with an empty 200."""
    old = (await log_in_offline(wire))["refresh_token"]
    new = (await wire.refresh(old)).json

    answer = await revoke(wire, old)

    assert (answer.status, answer.body) == (200, b"")
    assert (await wire.refresh(new["refresh_token"])).words == UNKNOWN
    assert (await wire.userinfo(new["access_token"])).status == 401
    assert (await revoke(wire, old)).status == 200
    assert wire.tenant.stats.families_revoked == 1
    assert wire.tenant.stats.revoke_requests == 2


async def test_revoking_an_unknown_or_foreign_token(wire: Wire) -> None:
    """An unknown token and another application's get the same response, and nothing is revoked."""
    client_id, secret = wire.tenant.confidential_client
    token = (await log_in_offline(wire))["refresh_token"]

    assert (await revoke(wire, "guess")).status == 200
    assert (await revoke(wire, token, client_id=client_id, client_secret=secret)).status == 200
    assert (await wire.refresh(token)).status == 200


async def test_revocation_by_each_kind_of_client(wire: Wire) -> None:
    """The application authenticates itself, in a form as in JSON."""
    client_id, secret = wire.tenant.confidential_client
    credentials = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    header = {"Authorization": f"Basic {credentials}"}

    assert (await wire.send("POST", "/oauth/revoke", data={"token": "t"}, headers=header)).status == 200
    assert (await wire.send("POST", "/oauth/revoke", data=wire.asserting(token="t"))).status == 200
    assert (await revoke(wire, "t", client_id=client_id)).words[:2] == (401, "invalid_client")
    assert (await revoke(wire, "t", client_id="unknown-client")).words[:2] == (401, "invalid_client")
    assert (await revoke(wire, "")).words[:2] == (400, "invalid_request")
