"""The keys that tokens are signed with."""

from __future__ import annotations

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey

from helpers.tenant_wire import Opener, Wire, published_keys, segment_of
from passwordless_async.testing import (
    BOUND_API,
)

ALGS = ["RS256", "PS256", "ES256"]


@pytest.mark.parametrize("alg", ALGS)
async def test_id_tokens_of_each_algorithm(wire_for: Opener, alg: str) -> None:
    """The key set names a key for it, and access tokens stay with RS256."""
    wire = await wire_for(id_token_alg=alg)
    tokens = (await wire.login(audience=BOUND_API)).json
    keys = await published_keys(wire)

    (key,) = [key for key in keys if key["kid"] == segment_of(tokens["id_token"], 0)["kid"]]
    assert key["alg"] == segment_of(tokens["id_token"], 0)["alg"] == alg
    assert jwt.decode(tokens["id_token"], KeySet.import_key_set({"keys": keys}), algorithms=[alg])
    assert segment_of(tokens["access_token"], 0)["alg"] == "RS256"
    assert not {"d", "p", "q"} & key.keys()


async def test_id_tokens_by_the_secret(wire_for: Opener) -> None:
    """HS256 is signed with the client secret; an application without one gets RS256."""
    wire = await wire_for(id_token_alg="HS256")
    client_id, secret = wire.tenant.confidential_client

    public = (await wire.login()).json["id_token"]
    await wire.start()
    confidential = (await wire.exchange(client_id=client_id, client_secret=secret)).json["id_token"]

    assert segment_of(public, 0)["alg"] == "RS256"
    assert "kid" not in segment_of(confidential, 0)
    assert jwt.decode(confidential, OctKey.import_key(secret), algorithms=["HS256"]).claims["aud"] == client_id
    assert [key["kty"] for key in await published_keys(wire)] == ["RSA"]


async def test_keys_rotate(wire: Wire) -> None:
    """The key set names the new key first and two before it, unless they were revoked."""
    kids = [[key["kid"] for key in await published_keys(wire)]]
    for revoke in (False, False, False, True):
        wire.tenant.rotate_signing_key(revoke=revoke)
        kids.append([key["kid"] for key in await published_keys(wire)])

    newest = [names[0] for names in kids]
    assert len(set(newest)) == 5
    assert [len(names) for names in kids] == [1, 2, 3, 3, 1]
    assert kids[3] == [newest[3], newest[2], newest[1]]
    assert segment_of((await wire.login()).json["id_token"], 0)["kid"] == newest[4]
