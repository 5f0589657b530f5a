"""The keys that tokens are signed with: algorithms, rotation, forgeries, key sets that must not be trusted."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws, jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet, OctKey

from passwordless_async.testing import BOUND_API, ClaimFault, Fault, KeySetFault
from passwordless_async.testing.faults.table import FAULTS

if TYPE_CHECKING:
    from tests.testing.conftest import Opener, Wire

JWKS = "/.well-known/jwks.json"
ALGS = ["RS256", "PS256", "ES256"]


def _segment(token: str, number: int) -> dict[str, Any]:
    segment = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


async def _keys(wire: Wire) -> list[dict[str, Any]]:
    return (await wire.send("GET", JWKS)).json["keys"]


@pytest.mark.parametrize("alg", ALGS)
async def test_id_tokens_of_each_algorithm(wire_for: Opener, alg: str):
    """The key set names a key for it, and access tokens stay with RS256."""
    wire = await wire_for(id_token_alg=alg)
    tokens = (await wire.login(audience=BOUND_API)).json
    keys = await _keys(wire)

    (key,) = [key for key in keys if key["kid"] == _segment(tokens["id_token"], 0)["kid"]]
    assert key["alg"] == _segment(tokens["id_token"], 0)["alg"] == alg
    assert jwt.decode(tokens["id_token"], KeySet.import_key_set({"keys": keys}), algorithms=[alg])
    assert _segment(tokens["access_token"], 0)["alg"] == "RS256"
    assert not {"d", "p", "q"} & key.keys()


async def test_id_tokens_by_the_secret(wire_for: Opener):
    """HS256 is signed with the client secret; an application without one gets RS256."""
    wire = await wire_for(id_token_alg="HS256")
    client_id, secret = wire.tenant.confidential_client

    public = (await wire.login()).json["id_token"]
    await wire.start()
    confidential = (await wire.exchange(client_id=client_id, client_secret=secret)).json["id_token"]

    assert _segment(public, 0)["alg"] == "RS256"
    assert "kid" not in _segment(confidential, 0)
    assert jwt.decode(confidential, OctKey.import_key(secret), algorithms=["HS256"]).claims["aud"] == client_id
    assert [key["kty"] for key in await _keys(wire)] == ["RSA"]


async def test_keys_rotate(wire: Wire):
    """The key set names the new key first and two before it, unless they were revoked."""
    kids = [[key["kid"] for key in await _keys(wire)]]
    for revoke in (False, False, False, True):
        wire.tenant.rotate_signing_key(revoke=revoke)
        kids.append([key["kid"] for key in await _keys(wire)])

    newest = [names[0] for names in kids]
    assert len(set(newest)) == 5
    assert [len(names) for names in kids] == [1, 2, 3, 3, 1]
    assert kids[3] == [newest[3], newest[2], newest[1]]
    assert _segment((await wire.login()).json["id_token"], 0)["kid"] == newest[4]


async def test_when_the_user_logged_in(wire_for: Opener):
    """``auth_time`` can be had in every ID token, and a refresh repeats it."""
    wire = await wire_for(auth_time_in_id_token=True)
    login = (await wire.login(scope="openid offline_access")).json
    renewed = (await wire.refresh(login["refresh_token"])).json

    auth_time = _segment(login["id_token"], 1)["auth_time"]
    assert auth_time == pytest.approx(time.time(), abs=5)
    assert _segment(renewed["id_token"], 1)["auth_time"] == auth_time


CLAIMS = {
    Fault.ID_TOKEN_OF_OTHER_USER: lambda claims, _: claims["email"] == "another.user@example.com",
    Fault.ID_TOKEN_OF_OTHER_ISSUER: lambda claims, _: claims["iss"] == "https://elsewhere.example/",
    Fault.ID_TOKEN_ISSUER_WITHOUT_SLASH: lambda claims, tenant: claims["iss"] == tenant.url,
    Fault.ID_TOKEN_OF_OTHER_CLIENT: lambda claims, _: claims["aud"] == "another-client",
    Fault.ID_TOKEN_OF_TWO_CLIENTS: lambda claims, _: len(claims["aud"]) == 2 and "azp" not in claims,
    Fault.ID_TOKEN_FOR_OTHER_PARTY: lambda claims, _: claims["azp"] == "another-client",
    ClaimFault.ID_TOKEN_OF_OTHER_NONCE: lambda claims, _: claims["nonce"] == "another-nonce",
    Fault.ID_TOKEN_WITHOUT_SUB: lambda claims, _: claims["sub"] is None,
    Fault.ID_TOKEN_EXPIRED: lambda claims, _: claims["exp"] < time.time(),
    Fault.ID_TOKEN_FROM_THE_FUTURE: lambda claims, _: claims["iat"] > time.time() + 3000,
    Fault.ID_TOKEN_EXP_IS_TEXT: lambda claims, _: isinstance(claims["exp"], str),
    ClaimFault.ID_TOKEN_OF_AN_OLD_LOGIN: lambda claims, _: claims["auth_time"] < time.time() - 86_000,
}
FORGED = {
    Fault.ID_TOKEN_TAMPERED: "RS256",
    Fault.ID_TOKEN_UNSIGNED: "none",
    Fault.ID_TOKEN_SIGNED_WITH_PUBLIC_KEY: "HS256",
    Fault.ID_TOKEN_OF_OTHER_KEY: "RS256",
    Fault.ID_TOKEN_OF_UNKNOWN_KID: "RS256",
}


def test_the_tables_are_complete():
    """Each fault of an ID token is tested below."""
    assert {fault for fault in (*Fault, *ClaimFault) if fault.startswith("id_token")} == CLAIMS.keys() | FORGED.keys()
    assert all(FAULTS[fault].alter is not None for fault in CLAIMS.keys() | FORGED.keys())


@pytest.mark.parametrize("fault", CLAIMS)
async def test_claims_that_are_wrong(warm: Wire, fault: Fault):
    """The claim is wrong, and the signature right; the next token is right again."""
    warm.tenant.faults.add(fault, path="/oauth/token", times=1)

    token = (await warm.exchange()).json["id_token"]

    keys = KeySet.import_key_set({"keys": await _keys(warm)})
    assert CLAIMS[fault](jwt.decode(token, keys).claims, warm.tenant)
    await warm.start()
    right = _segment((await warm.exchange()).json["id_token"], 1)
    assert (right["iss"], right["aud"]) == (warm.tenant.issuer, warm.tenant.public_client_id)


@pytest.mark.parametrize("fault", FORGED)
async def test_signatures_that_are_wrong(warm: Wire, fault: Fault):
    """The claims are right, and the signature is by nobody whom the key set names."""
    warm.tenant.faults.add(fault, path="/oauth/token", times=1)
    keys = await _keys(warm)

    token = (await warm.exchange()).json["id_token"]

    header = _segment(token, 0)
    assert header["alg"] == FORGED[fault]
    assert (header["kid"] == keys[0]["kid"]) == (fault is not Fault.ID_TOKEN_OF_UNKNOWN_KID)
    assert _segment(token, 1)["iss"] == warm.tenant.issuer
    if fault in (Fault.ID_TOKEN_TAMPERED, Fault.ID_TOKEN_OF_OTHER_KEY):
        with pytest.raises(BadSignatureError):
            jws.deserialize_compact(token, KeySet.import_key_set({"keys": keys}))
    assert (token.count("."), token.endswith(".")) == (2, fault is Fault.ID_TOKEN_UNSIGNED)


async def test_key_sets_that_must_not_be_trusted(wire: Wire):
    """A key set that is huge, ambiguous or symmetric, or that cannot be had."""
    (right,) = await _keys(wire)
    for fault in (
        KeySetFault.JWKS_HUGE,
        KeySetFault.JWKS_DUPLICATE_KIDS,
        KeySetFault.JWKS_SYMMETRIC_KEY,
        Fault.SERVICE_UNAVAILABLE,
    ):
        wire.tenant.faults.add(fault, path=JWKS, times=1, size=1_000_000)
    huge, ambiguous = await wire.send("GET", JWKS), await _keys(wire)
    symmetric, unavailable = await _keys(wire), await wire.send("GET", JWKS)

    assert 1_000_000 <= len(huge.body) < 1_100_000
    assert huge.json["keys"][-1] == right
    assert ambiguous[0]["kid"] == ambiguous[1]["kid"] == right["kid"]
    assert ambiguous[0]["n"] != ambiguous[1]["n"] == right["n"]
    assert [(key["kty"], key["kid"]) for key in symmetric] == [("oct", right["kid"])]
    assert unavailable.status == 503
    assert await _keys(wire) == [right]


async def test_a_fault_of_the_key_set_elsewhere(warm: Wire):
    """At another endpoint it changes nothing."""
    warm.tenant.faults.add(KeySetFault.JWKS_HUGE, path="/oauth/token")

    assert (await warm.exchange()).json.keys() == {"access_token", "expires_in", "id_token", "scope", "token_type"}


async def test_discovery_lists_all_of_it(wire: Wire):
    """Every endpoint that it names answers, and every grant is known."""
    document = (await wire.send("GET", "/.well-known/openid-configuration")).json
    endpoints = {name: url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))}

    assert endpoints.keys() == {
        "token_endpoint",
        "revocation_endpoint",
        "userinfo_endpoint",
        "mfa_challenge_endpoint",
        "jwks_uri",
    }
    for url in endpoints.values():
        assert url.startswith(wire.tenant.issuer)
        assert (await wire.send("POST", url.removeprefix(wire.tenant.url), json={})).status != 404
    for grant_type in document["grant_types_supported"]:
        answer = await wire.token({"grant_type": grant_type, "client_id": wire.tenant.public_client_id})
        assert answer.words[:2] == (400, "invalid_request")
    assert len(document["grant_types_supported"]) == 6
    assert document["dpop_signing_alg_values_supported"] == ["ES256"]
    assert document["code_challenge_methods_supported"] == ["S256"]


async def test_a_discovery_document_of_the_tests_own(wire_for: Opener):
    """Members can be changed and left out."""
    wire = await wire_for(discovery={"dpop_signing_alg_values_supported": None, "issuer": "https://elsewhere.example/"})
    document = (await wire.send("GET", "/.well-known/openid-configuration")).json

    assert "dpop_signing_alg_values_supported" not in document
    assert document["issuer"] == "https://elsewhere.example/"
