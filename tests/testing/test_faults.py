"""Which request meets which fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from helpers.tenant_wire import segment_of
from passwordless_async.testing import BOUND_API, ClaimFault, Fault, KeySetFault

if TYPE_CHECKING:
    from helpers.tenant_wire import Opener, Wire
    from passwordless_async.testing.fault_names import AnyFault


TOKEN = "/oauth/token"
JWKS = "/.well-known/jwks.json"


async def test_faults_are_counted_out_in_order(warm: Wire) -> None:
    """``after`` requests pass, ``times`` meet the first fault, then comes the next; other paths meet none."""
    warm.tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=TOKEN, times=2, after=1)
    warm.tenant.faults.add("access_denied", path=TOKEN)

    assert (await warm.start()).status == 200
    assert [(await warm.exchange(otp="x")).status for _ in range(4)] == [403, 503, 503, 403]
    warm.tenant.faults.clear()
    assert (await warm.exchange()).status == 200
    assert warm.tenant.stats.faults_played == 4


async def test_a_fault_of_tokens_waits_for_a_response_with_tokens(wire: Wire) -> None:
    """Neither a challenge nor a refusal uses it up; ``after`` counts responses with tokens, too."""
    wire.tenant.faults.add(Fault.BEARER_TOKEN, times=1, after=1)
    seen = []
    for otp in ("challenged", "x", None, "x", None, None):
        if otp is None:
            await wire.start()
        answer = (await wire.exchange() if otp is None else await wire.exchange(otp=otp)).json
        seen.append(answer.get("token_type") or answer["error"])

    assert seen == ["use_dpop_nonce", "invalid_grant", "DPoP", "invalid_grant", "Bearer", "DPoP"]
    assert wire.tenant.stats.faults_played == 1


async def test_a_fault_of_the_id_token_waits_for_one(warm: Wire) -> None:
    """A response that has none does not use it up."""
    warm.tenant.faults.add(ClaimFault.ID_TOKEN_OF_AN_OLD_LOGIN, times=1)

    without = (await warm.exchange(scope="profile")).json
    await warm.start()
    with_one = (await warm.exchange()).json

    assert "id_token" not in without
    claims = segment_of(with_one["id_token"], 1)
    assert claims["iat"] - claims["auth_time"] >= 86_400


async def test_an_api_is_told_of_an_old_login_too(wire_for: Opener) -> None:
    """By the claim that the settings name; the next login is new."""
    name = "https://api.example/auth_time"
    wire = await wire_for(auth_time_claim=name)
    wire.tenant.faults.add(ClaimFault.ID_TOKEN_OF_AN_OLD_LOGIN, times=1)

    logins = [(await wire.login(audience=BOUND_API)).json for _ in range(2)]

    claims = [segment_of(login["access_token"], 1) for login in logins]
    assert [each["iat"] - each[name] >= 86_400 for each in claims] == [True, False]


async def test_a_token_that_is_not_bound_anyway_uses_up_no_fault(warm: Wire) -> None:
    """Without a proof, a Bearer token is right."""
    warm.tenant.faults.add(Fault.BEARER_TOKEN, times=1)

    assert (await warm.exchange(proof=None)).json["token_type"] == "Bearer"
    await warm.start()
    assert (await warm.exchange()).json["token_type"] == "Bearer"
    await warm.start()
    assert (await warm.exchange()).json["token_type"] == "DPoP"


async def test_a_response_may_meet_a_fault_of_requests_and_one_of_tokens(warm: Wire) -> None:
    """They are counted apart; of the faults of tokens, too, the first one that is due acts."""
    warm.tenant.faults.add(Fault.WRONG_CONTENT_TYPE, path=TOKEN, times=1)
    warm.tenant.faults.add(Fault.BEARER_TOKEN, path=TOKEN, times=1)
    warm.tenant.faults.add(Fault.TOKEN_OF_OTHER_KEY, path=TOKEN, times=1)

    answer = await warm.exchange()

    assert answer.headers["Content-Type"].startswith("text/html")
    assert b'"Bearer"' in answer.body
    assert warm.tenant.stats.faults_played == 2


@pytest.mark.parametrize("fault", [*KeySetFault, Fault.CHALLENGE_SPENDS_CODE])
async def test_a_fault_of_one_endpoint_waits_for_a_request_to_it(warm: Wire, fault: AnyFault) -> None:
    """Without a path, requests to other endpoints pass, and do not use it up."""
    warm.tenant.faults.add(fault, times=1)

    assert (await warm.start()).status == 200
    assert warm.tenant.stats.faults_played == 0
    if fault is Fault.CHALLENGE_SPENDS_CODE:
        assert (await warm.exchange()).words[1] == "use_dpop_nonce"
    else:
        await warm.send("GET", JWKS)
    assert warm.tenant.stats.faults_played == 1
