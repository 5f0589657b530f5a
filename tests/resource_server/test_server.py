"""The resource server as an API calls it, with an issuer on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from passwordless_async import MemoryReplayStore, NonceIssuer, ResourceMetadata, ResourceServer
from passwordless_async.errors import (
    InsufficientScope,
    InvalidDPoPProof,
    InvalidToken,
    TemporarilyUnavailable,
    UsageError,
    UseDPoPNonce,
)

BASE = "https://api.example"


async def test_a_bound_token_with_its_proof(make_server: Any, user: Any) -> None:
    """Both are checked, and what they say is handed on."""
    allowed = await make_server().authorize("GET", "/me", user.dpop(), scopes={"read:messages"})
    assert (allowed.subject, allowed.client_id) == ("auth0|ada", "client-1")
    assert (allowed.scopes, allowed.permissions) == ({"openid", "read:messages"}, {"messages:read"})
    assert allowed.proof.thumbprint == user.key.thumbprint
    assert allowed.claims["iss"] == user.issuer
    assert allowed.headers == {}


async def test_tokens_of_the_profile(make_server: Any, user: Any) -> None:
    """RFC 9068."""
    token = user.sign(user.profile_claims(), typ="at+jwt")
    allowed = await make_server(dpop="off", replay=None).authorize("GET", "/me", user.bearer(token))
    assert (allowed.subject, allowed.client_id, allowed.proof) == ("auth0|ada", "client-1", None)


@pytest.mark.parametrize(
    ("mode", "bound", "bearer"), [("required", True, False), ("preferred", True, True), ("off", False, True)]
)
async def test_modes(mode: Any, bound: bool, bearer: bool, make_server: Any, user: Any) -> None:  # noqa: FBT001 - a table
    """Which tokens pass in which mode; a bound token never passes as Bearer."""
    server = make_server(dpop=mode)
    requests = [user.dpop(), user.bearer(), user.bearer(user.token(bound=True)), user.dpop(user.token())]

    async def passes(headers: Any) -> bool:
        try:
            await server.authorize("GET", "/me", headers)
        except InvalidToken:
            return False
        return True

    assert [await passes(headers) for headers in requests] == [bound, bearer, False, False]


async def test_one_fetch_serves_all(make_server: Any, user: Any, issuer: Any) -> None:
    """A herd that finds no keys waits for one fetch; later requests need none."""
    server = make_server()
    requests = [user.dpop() for _ in range(500)]
    await asyncio.gather(*(server.authorize("GET", "/me", headers) for headers in requests))
    await server.authorize("GET", "/me", user.dpop())
    assert issuer.asked == ["/.well-known/openid-configuration", "/jwks"]


async def test_several_issuers_and_audiences(make_server: Any, user: Any, issuer: Any) -> None:
    """Each issuer has its own keys; the audience is one of several."""
    other = "https://other.example/"
    server = make_server(issuer=[issuer.url, other], audience=["urn:a", BASE], dpop="preferred")
    assert (await server.authorize("GET", "/me", user.bearer(aud="urn:a"))).subject == "auth0|ada"
    with pytest.raises(InvalidToken, match="for another audience"):
        await server.authorize("GET", "/me", user.bearer(aud="urn:b"))
    with pytest.raises(InvalidToken, match="of another issuer"):
        await server.authorize("GET", "/me", user.bearer(iss="https://third.example/"))


async def test_nonces(make_server: Any, user: Any) -> None:
    """RFC 9449 §9: a proof without a nonce is challenged; the offer of a newer one is in the result."""
    server = make_server(nonces=NonceIssuer())
    with pytest.raises(UseDPoPNonce) as caught:
        await server.authorize("GET", "/me", user.dpop())
    assert caught.value.headers["DPoP-Nonce"] == caught.value.nonce
    assert 'DPoP error="use_dpop_nonce"' in caught.value.headers["WWW-Authenticate"]


async def test_a_proof_is_good_once(make_server: Any, user: Any) -> None:
    """RFC 9449 §11.1: a used proof is refused, though its token is valid."""
    server, headers = make_server(), user.dpop()
    await server.authorize("GET", "/me", headers)
    with pytest.raises(InvalidDPoPProof, match="used before"):
        await server.authorize("GET", "/me", headers)


async def test_missing_scope(make_server: Any, user: Any) -> None:
    """403, with the scope."""
    with pytest.raises(InsufficientScope) as caught:
        await make_server().authorize("GET", "/me", user.dpop(), scopes="admin")
    assert (caught.value.status, caught.value.scope) == (403, "admin")


async def test_times_are_checked_for_each_request(make_server: Any, user: Any) -> None:
    """A token that was verified before expires all the same; the skew counts."""
    now = user.now
    server = make_server(dpop="off", clock=lambda: now)
    headers = user.bearer()
    await server.authorize("GET", "/me", headers)
    now += 69.5
    await server.authorize("GET", "/me", headers)
    now += 1
    with pytest.raises(InvalidToken, match="has expired"):
        await server.authorize("GET", "/me", headers)


async def test_an_issuer_that_is_not_there(make_server: Any, user: Any, issuer: Any) -> None:
    """503 with the time to come back, and one fetch for all that ask in the meantime."""
    issuer.answers["/jwks"] = {"status": 500}
    server = make_server()
    for _ in range(3):
        with pytest.raises(TemporarilyUnavailable) as caught:
            await server.authorize("GET", "/me", user.dpop())
        assert caught.value.status == 503
        assert caught.value.headers["Retry-After"] == "5"
    assert issuer.asked == ["/.well-known/openid-configuration", "/jwks"]


def test_metadata() -> None:
    """RFC 9728: a document for each base URL, where the standard puts it, and challenges that point to it."""
    server = ResourceServer(
        issuer="https://acme.eu.auth0.com/",
        audience=BASE,
        base_url=[BASE, "https://api.example/v2/"],
        replay=MemoryReplayStore(),
        metadata=ResourceMetadata(scopes_supported=["read", "write"], resource_name="Messages"),
    )
    document = {
        "resource": BASE,
        "authorization_servers": ["https://acme.eu.auth0.com/"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["read", "write"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "dpop_bound_access_tokens_required": True,
        "resource_name": "Messages",
    }
    assert server.metadata_documents() == {
        "/.well-known/oauth-protected-resource": document,
        "/.well-known/oauth-protected-resource/v2": {**document, "resource": f"{BASE}/v2"},
    }


async def test_challenges_of_the_base_url_that_was_asked(user: Any) -> None:
    """The URL of the request tells which; a path alone means the first."""
    server = ResourceServer(
        issuer=user.issuer,
        audience=BASE,
        base_url=[BASE, "https://other.example"],
        dpop="off",
        metadata=ResourceMetadata(),
    )
    for url, base in (("/me", BASE), ("https://other.example/me", "https://other.example"), ("https://x/me", BASE)):
        with pytest.raises(InvalidToken) as caught:
            await server.authorize("GET", url, [])
        expected = f'Bearer realm="{base}", resource_metadata="{base}/.well-known/oauth-protected-resource"'
        assert caught.value.headers["WWW-Authenticate"] == expected


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("issuer", "acme.eu.auth0.com"),
        ("issuer", "http://acme.example/"),
        ("issuer", "https://acme.example/?a=b"),
        ("issuer", "https://user:pa55w0rd@acme.example/"),
        ("issuer", []),
        ("issuer", None),
        ("audience", ""),
        ("audience", []),
        ("audience", [1]),
        ("base_url", "api.example"),
        ("dpop", "maybe"),
        ("replay", None),
        ("replay", object()),
        ("algorithms", ["HS256"]),
        ("algorithms", ["none"]),
        ("algorithms", "RS256"),
        ("algorithms", []),
        ("clock_skew", -1),
        ("clock_skew", 601),
        ("metadata", {}),
        ("http", object()),
    ],
)
def test_arguments_are_checked(argument: str, value: Any) -> None:
    """A setting that is none is told by its name, without its value."""
    settings = {
        "issuer": "https://acme.eu.auth0.com/",
        "audience": BASE,
        "base_url": BASE,
        "replay": MemoryReplayStore(),
    }
    with pytest.raises(UsageError) as caught:
        ResourceServer(**{**settings, argument: value})
    assert caught.value.argument == argument
    assert "pa55w0rd" not in str(caught.value)
