"""``POST /oauth/token`` and ``POST /oauth/revoke``."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from helpers.tenant_wire import Wire, claims_of, log_in_offline, revoke
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


@pytest.mark.parametrize(
    ("proof", "audience", "token_type"),
    [
        (True, BOUND_API, "DPoP"),
        (False, BOUND_API, "Bearer"),
        (True, PLAIN_API, "Bearer"),
        (False, PLAIN_API, "Bearer"),
        (True, STRICT_API, "DPoP"),
    ],
)
async def test_the_policy_of_an_api_decides(warm: Wire, *, proof: bool, audience: str, token_type: str) -> None:
    """An API with the policy ``none`` yields Bearer even with a proof; otherwise the proof decides."""
    answer = await warm.exchange(proof=warm.proof() if proof else None, audience=audience)

    assert answer.json["token_type"] == token_type
    assert ("cnf" in claims_of(answer.json["access_token"])) == (token_type == "DPoP")


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
