"""The resource server as an API calls it, with an issuer on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passwordless_async import MemoryReplayStore, NonceIssuer, ResourceMetadata, ResourceServer
from passwordless_async._common.http import HttpResponse
from passwordless_async.auth0 import jwks
from passwordless_async.dpop import parse_www_authenticate
from passwordless_async.errors import (
    InsufficientScope,
    InvalidDPoPProof,
    InvalidToken,
    PasswordlessError,
    TemporarilyUnavailable,
    UsageError,
    UseDPoPNonce,
)
from passwordless_async.resource_server import access_token
from passwordless_async.resource_server import server as server_module
from passwordless_async.resource_server.guard import REFUSALS, schemes_of
from passwordless_async.resource_server.metadata import metadata_url

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
    now = float(int(user.now))
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


async def test_rotation(make_server: Any, user: Any, issuer: Any, other_key: Any) -> None:
    """Tokens of the old and of the new key pass while the issuer publishes both."""
    server = make_server()
    await server.authorize("GET", "/me", user.dpop())
    issuer.keys.append(other_key)
    new = user.sign(user.claims(cnf={"jkt": user.key.thumbprint}), key=other_key)
    await server.authorize("GET", "/me", user.dpop(new))
    await server.authorize("GET", "/me", user.dpop())
    assert issuer.asked == ["/.well-known/openid-configuration", "/jwks", "/jwks"]


async def test_a_withdrawn_key(
    make_server: Any, user: Any, issuer: Any, other_key: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that was verified before is refused once the issuer has withdrawn its key."""
    monkeypatch.setattr(jwks, "_PAUSES_SECONDS", (0.0,))
    server = make_server(dpop="off")
    headers = user.bearer(exp=int(user.now) + 10**6)
    await server.authorize("GET", "/me", headers)
    issuer.keys[:] = [other_key]
    clock.time += 86_400
    await server.authorize("GET", "/me", headers)  # begins the renewal
    await server._fetchers[issuer.url]._flight
    with pytest.raises(InvalidToken, match="does not publish"):
        await server.authorize("GET", "/me", headers)


async def test_keys_that_are_too_old(make_server: Any, user: Any, issuer: Any, clock: Any) -> None:
    """After three days without an answer nothing passes, not even a token that was verified before."""
    server = make_server(dpop="off")
    headers = user.bearer(exp=int(user.now) + 10**6)
    await server.authorize("GET", "/me", headers)
    issuer.answers["/jwks"] = {"status": 500}
    clock.time += 3 * 86_400
    with pytest.raises(TemporarilyUnavailable):
        await server.authorize("GET", "/me", headers)


async def test_a_verified_token_is_remembered(make_server: Any, user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its signature is not checked again; that of any other token is, however alike."""
    checked = []

    def verify(token: Any, *arguments: Any) -> Any:
        checked.append(str(token))
        return access_token.verify(token, *arguments)

    monkeypatch.setattr(server_module, "verify", verify)
    server, token = make_server(dpop="off"), user.token()
    for _ in range(3):
        await server.authorize("GET", "/me", user.bearer(token))
    forged = f"{token[:-6]}AAAAAA"
    for _ in range(2):
        with pytest.raises(InvalidToken, match="wrong signature"):
            await server.authorize("GET", "/me", user.bearer(forged))
    assert checked == [token, forged, forged]


async def test_cancelled_requests(make_server: Any, user: Any, issuer: Any) -> None:
    """A request that is cancelled while it waits for keys costs the others nothing."""
    issuer.hold = asyncio.Event()
    server = make_server()
    requests = [asyncio.create_task(server.authorize("GET", "/me", user.dpop())) for _ in range(20)]
    await issuer.is_asked.wait()
    for request in requests[::2]:
        request.cancel()
    issuer.hold.set()
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["CancelledError", "Authorized"] * 10
    assert issuer.asked == ["/.well-known/openid-configuration", "/jwks"]


async def test_no_secret_is_printed(make_server: Any, user: Any) -> None:
    """Neither a refusal, nor the frames of ours that it passed, nor the server show a token or a proof."""
    server = make_server()
    good = user.dpop()
    await server.authorize("GET", "/me", good)
    token = good[0][1].removeprefix("DPoP ")
    attempts = [
        good,
        user.bearer(token),
        [good[0]],
        user.dpop(user.token()),
        user.dpop(f"{token[:-6]}AAAAAA"),
        [*good, ("Authorization", "Bearer x")],
        [("Authorization", f"DPoP {token} x")],
        [("Authorization", 1), *good],
    ]
    for headers in attempts:
        with pytest.raises(PasswordlessError) as caught:
            await server.authorize("GET", "/me", headers, scopes="read:messages")
        frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        printed = (
            "".join(f"{frame.locals}" for frame in frames.stack if "passwordless_async/" in frame.filename)
            + str(caught.value)
            + str(vars(caught.value))
            + repr(server)
        )
        for secret in (token, good[1][1], token.split(".")[1], "auth0|ada"):
            assert secret[:60] not in printed


fields = st.lists(
    st.tuples(
        st.sampled_from(["Authorization", "authorization", "DPoP", "dpop", "Cookie"]),
        st.sampled_from(["TOKEN", "UNBOUND", "PROOF", "DPoP a.b.c", "Bearer a.b.c", "DPoP", "Basic a", ""]) | st.text(),
    ),
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=500)
@given(
    headers=fields,
    mode=st.sampled_from(["required", "preferred", "off"]),
    url=st.sampled_from(["/me", "", "*", "//", "https://api.example/me", "http://["]) | st.text(max_size=10),
    method=st.sampled_from(["GET", "POST", ""]) | st.text(max_size=5),
    is_bytes=st.booleans(),
)
def test_whatever_comes(client_of_session: Any, headers: Any, mode: Any, url: str, method: str, **drawn: bool) -> None:
    """Any method, URL and header fields: who asks, or one of the errors with its response; never another exception."""
    client = client_of_session
    server = ResourceServer(
        issuer=client.issuer,
        audience=BASE,
        base_url=BASE,
        dpop=mode,
        replay=MemoryReplayStore(),
        clock=lambda: client.now,
    )
    body = json.dumps({"keys": [client.signing_key.as_dict(private=False)]}).encode()
    server._fetchers[client.issuer].keys.signing.learn(HttpResponse(200, body=body))
    (_, token), (_, proof) = client.dpop()
    right = {"TOKEN": token, "UNBOUND": f"Bearer {client.token()}", "PROOF": proof}
    pairs = [(name, right.get(value, value)) for name, value in headers]
    if drawn["is_bytes"]:
        pairs = [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in pairs]
    with contextlib.suppress(StopIteration):
        error = refusal_of(server.authorize(method, url, pairs))
        assert error.status in {400, 401}
        assert all(value.isprintable() and value.isascii() for value in error.headers.values())
        assert [c.scheme for c in parse_www_authenticate([error.headers["WWW-Authenticate"]])] == list(schemes_of(mode))


def refusal_of(call: Any) -> Any:
    """Return the refusal of a request that waits for nothing; ``StopIteration`` says that it passes."""
    try:
        call.send(None)
    except REFUSALS as error:
        return error
    raise AssertionError("it waited for something")


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
        base_url=[BASE, "https://other.example", f"{BASE}/v2"],
        dpop="off",
        metadata=ResourceMetadata(),
    )
    for url, base in (
        ("/me", BASE),
        ("https://other.example/me", "https://other.example"),
        ("https://x/me", BASE),
        (f"{BASE}/v2/me", f"{BASE}/v2"),
        (f"{BASE}/v20/me", BASE),
    ):
        with pytest.raises(InvalidToken) as caught:
            await server.authorize("GET", url, [])
        expected = f'Bearer realm="{base}", resource_metadata="{metadata_url(base)}"'
        assert caught.value.headers["WWW-Authenticate"] == expected


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("issuer", "acme.eu.auth0.com"),
        ("issuer", "https://acme.eu.auth0.com"),
        ("issuer", ["https://acme.example", "https://acme.eu.auth0.com"]),
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
        ("dpop", ["required"]),
        ("nonces", "secret"),
        ("proof_max_age", "60"),
        ("auth_time_claim", None),
        ("auth_time_claim", ""),
        ("auth_time_claim", ("auth_time",)),
        ("acr_claim", "acr amr"),
        ("acr_claim", 'a"'),
        ("replay", None),
        ("replay", object()),
        ("replay", MemoryReplayStore),
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


@pytest.mark.parametrize(
    ("argument", "value", "problem"),
    [
        ("replay", None, "must be a ReplayStore for the lifetime of the API: MemoryReplayStore()"),
        ("replay", MemoryReplayStore, "must be a ReplayStore, not a class"),
        (
            "algorithms",
            "RS256",
            "must be some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, in a list",
        ),
    ],
)
def test_mistakes_of_a_new_user_are_told(argument: str, value: Any, problem: str, make_server: Any) -> None:
    """By what to write instead."""
    with pytest.raises(UsageError) as caught:
        make_server(**{argument: value})
    assert str(caught.value) == f"{argument}: {problem}"
