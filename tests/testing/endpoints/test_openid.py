"""``/userinfo`` and ``/.well-known/``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from joserfc.jwk import ECKey

from passwordless_async.testing import (
    BOUND_API,
)

if TYPE_CHECKING:
    from helpers.tenant_wire import Opener, Wire


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


ALGS = ["RS256", "RS384", "PS256", "ES256"]


async def test_discovery_names_the_methods(wire: Wire) -> None:
    """The document lists every method and the algorithms of assertions."""
    document = (await wire.send("GET", "/.well-known/openid-configuration")).json

    assert set(document["token_endpoint_auth_methods_supported"]) == {
        "none",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
    }
    assert document["token_endpoint_auth_signing_alg_values_supported"] == ALGS


async def test_discovery_lists_all_of_it(wire: Wire) -> None:
    """Every endpoint in it exists, and every grant type is known."""
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


async def test_members_of_the_discovery_document_can_be_replaced(wire_for: Opener) -> None:
    """Members can be changed and left out."""
    wire = await wire_for(discovery={"dpop_signing_alg_values_supported": None, "issuer": "https://elsewhere.example/"})
    document = (await wire.send("GET", "/.well-known/openid-configuration")).json

    assert "dpop_signing_alg_values_supported" not in document
    assert document["issuer"] == "https://elsewhere.example/"


async def test_discovery(wire: Wire) -> None:
    """The issuer has a trailing slash and ES256 is the only algorithm of proofs."""
    document = (await wire.send("GET", "/.well-known/openid-configuration")).json

    assert document["issuer"] == wire.tenant.url + "/"
    assert document["dpop_signing_alg_values_supported"] == ["ES256"]
    assert document["jwks_uri"] == wire.tenant.url + "/.well-known/jwks.json"
    (key,) = (await wire.send("GET", "/.well-known/jwks.json")).json["keys"]
    assert "d" not in key
