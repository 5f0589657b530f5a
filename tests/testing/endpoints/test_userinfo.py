"""``GET /userinfo``, with and without the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from joserfc.jwk import ECKey

from passwordless_async.testing import (
    BOUND_API,
)

if TYPE_CHECKING:
    from helpers.tenant_wire import Wire


async def test_userinfo_with_the_key(warm: Wire) -> None:
    """A bound token with a proof by its key yields the user's claims."""
    token = (await warm.exchange(audience=BOUND_API)).json["access_token"]

    answer = await warm.userinfo(token)

    assert answer.status == 200
    assert answer.json["email"] == "ada@example.com"


async def test_userinfo_without_the_key(warm: Wire, absent: object) -> None:
    """A stolen token, a wrong or missing ``ath``, Bearer and a missing proof are each refused with a challenge."""
    token = (await warm.exchange()).json["access_token"]
    right = {"method": "GET", "path": "/userinfo", "access_token": token}
    refused = [
        await warm.userinfo(token, proof=None),
        await warm.userinfo(token, proof=warm.proof(**right, ath=absent)),
        await warm.userinfo(token, proof=warm.proof(**right, ath="other")),
        await warm.userinfo(token, scheme="Bearer"),
        await warm.userinfo(token, scheme="Bearer", proof=None),
        await warm.userinfo(token, scheme="Basic"),
        await warm.userinfo("unknown"),
        await warm.userinfo("é"),
    ]
    warm.key = ECKey.generate_key("P-256")
    refused.append(await warm.userinfo(token))

    assert {answer.status for answer in refused} == {401}
    assert all(answer.headers["WWW-Authenticate"] for answer in refused)


async def test_userinfo_for_unbound_tokens(warm: Wire) -> None:
    """Bearer is for unbound tokens, DPoP is not."""
    token = (await warm.exchange(proof=None)).json["access_token"]

    assert (await warm.userinfo(token, scheme="bearer", proof=None)).status == 200
    assert (await warm.userinfo(token)).status == 401


async def test_userinfo_refuses_more(warm: Wire) -> None:
    """Two Authorization headers, no openid scope, an expired token, and none at all."""
    token = (await warm.exchange(scope="email")).json["access_token"]
    twice = [("Authorization", f"DPoP {token}"), ("Authorization", "Bearer x")]

    assert (await warm.send("GET", "/userinfo", headers=twice)).status == 400
    assert (await warm.send("GET", "/userinfo")).status == 401
    assert (await warm.userinfo(token)).status == 403
    warm.tenant.clock.advance(86_401)
    warm.nonce = None
    assert (await warm.userinfo(token)).json["error"] == "invalid_token"
