"""The discovery document."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.tenant_wire import Opener, Wire


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
