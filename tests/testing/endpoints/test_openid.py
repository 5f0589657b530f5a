"""``/userinfo`` and ``/.well-known/``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import ECKey

from helpers.tenant_wire import claims_of
from passwordless_async import UsageError
from passwordless_async.testing import (
    BOUND_API,
    LocalTenant,
    TenantSettings,
    ThrowAwayCa,
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


@pytest.mark.parametrize("scheme", ["DPoP", "Bearer"])
async def test_a_missing_scope_is_told_in_the_scheme_that_was_used(warm: Wire, scheme: str) -> None:
    """RFC 6750 §3.1, RFC 9449 §7.1: the challenge names the scope in the request's own scheme."""
    bound = scheme == "DPoP"
    proof = warm.proof() if bound else None
    token = (await warm.exchange(proof=proof, scope="email")).json["access_token"]
    proof = warm.proof(method="GET", path="/userinfo", access_token=token) if bound else None

    answer = await warm.userinfo(token, scheme=scheme, proof=proof)

    assert answer.status == 403
    assert answer.headers["WWW-Authenticate"].startswith(f'{scheme} error="insufficient_scope", scope="openid"')


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


async def test_userinfo_takes_post(warm: Wire) -> None:
    """OpenID Connect Core §5.3: GET or POST, and the proof is for the method that was used."""
    token = (await warm.exchange()).json["access_token"]
    proofs = [warm.proof(method=method, path="/userinfo", access_token=token) for method in ("POST", "GET")]
    headers = [{"Authorization": f"DPoP {token}", "DPoP": proof} for proof in proofs]

    answer = await warm.send("POST", "/userinfo", headers=headers[0])
    assert (answer.status, answer.json["email"]) == (200, "ada@example.com")
    assert (await warm.send("POST", "/userinfo", headers=headers[1])).json["error"] == "invalid_dpop_proof"
    assert (await warm.send("PUT", "/userinfo")).headers["Allow"] == "GET, POST"


@pytest.mark.parametrize("scheme", ["DPoP", "Bearer"])
@pytest.mark.parametrize("token", ["", " ", "\t"])
async def test_userinfo_without_a_token_behind_the_scheme(warm: Wire, scheme: str, token: str) -> None:
    """An empty token is none, with a proof beside it and without."""
    for headers in ({}, {"DPoP": warm.proof(method="GET", path="/userinfo", access_token="x")}):
        answer = await warm.send("GET", "/userinfo", headers={"Authorization": f"{scheme} {token}", **headers})
        assert answer.words[:2] == (401, "unauthorized")


async def test_endpoints_for_certificates(wire_for: Opener) -> None:
    """RFC 8705 §5: the aliases take certificates and name the issuer; the other endpoints see none."""
    ca = ThrowAwayCa()
    wire = await wire_for(ssl=ca.server_context(), mtls_alias=True)
    context = ca.client_context(ca.issue("tls-client"))
    document = (await wire.send("GET", "/.well-known/openid-configuration", ssl=context)).json
    alias = document["mtls_endpoint_aliases"]["token_endpoint"]
    assert alias != document["token_endpoint"]
    body = {"client_id": "tls-client", "connection": "email", "email": "ada@example.com", "send": "code"}
    assert (await wire.send("POST", "/passwordless/start", json=body, ssl=context)).status == 401
    async with wire.session.post(alias.replace("/oauth/token", "/passwordless/start"), json=body, ssl=context) as sent:
        assert sent.status == 200
    form = wire.form(client_id="tls-client")
    headers = {"DPoP": wire.proof(htu=alias)}
    async with wire.session.post(alias, data=form, headers=headers, ssl=context) as answer:
        tokens = await answer.json()
    assert claims_of(tokens["id_token"])["iss"] == document["issuer"] == wire.tenant.issuer
    assert wire.tenant.disagreements == ()


async def test_without_endpoints_for_certificates(wire: Wire) -> None:
    """They are off unless set, and need TLS."""
    assert "mtls_endpoint_aliases" not in (await wire.send("GET", "/.well-known/openid-configuration")).json
    with pytest.raises(UsageError, match="mtls_alias needs TLS"):
        LocalTenant(TenantSettings(mtls_alias=True))
