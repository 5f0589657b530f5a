"""Logins by link: an e-mail, a browser and a callback, with every check that ties them to each other."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
import attrs
import pytest
from yarl import URL

from helpers.values import present
from passwordless_async import (
    TESTING,
    AccessDenied,
    BrokenSeal,
    ClientSecretPost,
    CodeSpent,
    DPoPKey,
    Email,
    InvalidCallback,
    InvalidIdToken,
    MfaRequired,
    OAuthError,
    PasswordlessClient,
    PendingLink,
    Phone,
    TemporarilyUnavailable,
    TooManyAttempts,
    UnauthorizedClient,
    UsageError,
    UseDPoPNonce,
)
from passwordless_async.testing import BOUND_API, ClaimFault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ADA = Email("ada@example.com")
CALLBACK = "https://app.example/callback"
TOKEN = "/oauth/token"


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[tuple[LocalTenant, PasswordlessClient]]:
    async with LocalTenant(TenantSettings(callback_urls=[CALLBACK], **settings)) as tenant:
        client_id, secret = tenant.confidential_client
        async with PasswordlessClient(
            tenant.url, client_id, client_auth=ClientSecretPost(secret), profile=TESTING
        ) as client:
            yield tenant, client


async def follow(tenant: LocalTenant, who: Email = ADA) -> str:
    """Do as a browser does with the link in the mail; gives where it ends."""
    async with aiohttp.ClientSession() as browser:
        async with browser.get(tenant.outbox.link_for(who), allow_redirects=False) as response:
            return response.headers["Location"]


async def test_a_login_by_link() -> None:
    """The link ends at the callback, and its code becomes tokens that are bound to the link's key."""
    async with opened() as (tenant, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK, scope="openid email", audience=BOUND_API)
        tokens = await client.exchange_link(pending, await follow(tenant))
        assert present(tokens.claims)["email"] == ADA.address
        assert present(tokens.claims)["nonce"] == pending.nonce
        assert tokens.key is pending.key
        assert tenant.disagreements == ()
        sent = tenant.requests.to("/passwordless/start")[0].json["authParams"]
    assert {
        "response_type": "code",
        "code_challenge_method": "S256",
        "dpop_jkt": present(pending.key).thumbprint,
    }.items() <= (sent.items())
    assert pending.code_verifier not in sent.values()


async def test_a_callback_is_good_for_once() -> None:
    """The code of a link is spent like any other."""
    async with opened() as (tenant, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK)
        callback = await follow(tenant)
        await client.exchange_link(pending, callback)
        with pytest.raises(CodeSpent):
            await client.exchange_link(pending, callback)


@pytest.mark.parametrize("changed", ["key", "code_verifier"])
async def test_a_stolen_callback_is_of_no_use(changed: str) -> None:
    """Without the key or the verifier of the link, the service refuses the code (RFC 9449 §10, RFC 7636 §4.6)."""
    async with opened() as (tenant, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK)
        thief = await client.start_link(Email("eve@example.com"), redirect_uri=CALLBACK)
        stolen = attrs.evolve(pending, **{changed: getattr(thief, changed)})
        with pytest.raises(OAuthError):
            await client.exchange_link(stolen, await follow(tenant))


@pytest.mark.parametrize(
    "change",
    [
        {"state": "another"},
        {"state": None},
        {"code": None},
        {"code": ""},
        {"iss": "https://elsewhere.example/"},
    ],
    ids=str,
)
async def test_a_callback_of_another_login_is_refused(change: dict[str, str | None]) -> None:
    """Before anything is sent: another state, no code, another issuer (RFC 6749 §10.12, RFC 9207)."""
    async with opened() as (tenant, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK)
        callback = URL(await follow(tenant))
        query = {name: value for name, value in {**callback.query, **change}.items() if value is not None}
        with pytest.raises(InvalidCallback):
            await client.exchange_link(pending, str(callback.with_query(query)))
        assert tenant.stats.token_requests == 0


async def test_a_repeated_parameter_is_refused() -> None:
    """A callback with two codes is ambiguous, so it is refused (RFC 6749 §3.1)."""
    async with opened() as (tenant, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK)
        with pytest.raises(InvalidCallback, match="repeated"):
            await client.exchange_link(pending, f"{await follow(tenant)}&code=other")


async def refused_by(**query: str) -> OAuthError:
    """Bring a callback with these parameters and the right state to a login; gives its refusal."""
    async with opened() as (tenant, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK)
        with pytest.raises(OAuthError) as caught:
            await client.exchange_link(pending, f"{CALLBACK}?{urlencode({'state': pending.state, **query})}")
        assert tenant.stats.token_requests == 0
    return caught.value


@pytest.mark.parametrize(
    ("error", "description", "meaning"),
    [
        ("access_denied", "User did not authorize the request", AccessDenied),
        ("unauthorized", "user is blocked", AccessDenied),
        ("unauthorized_client", "", UnauthorizedClient),
        ("temporarily_unavailable", "", TemporarilyUnavailable),
        ("too_many_attempts", "Your account has been blocked", TooManyAttempts),
        ("login_required", "Login required", OAuthError),
        ("access_denied.", "", OAuthError),
    ],
)
async def test_a_callback_that_says_no(error: str, description: str, meaning: type[OAuthError]) -> None:
    """A refusal that comes by the callback means what it means on the wire, in the service's own words."""
    refused = await refused_by(error=error, error_description=description)
    assert (
        type(refused),
        refused.status,
        refused.error,
        refused.error_description,
    ) == (meaning, 302, error, description)


async def test_a_callback_says_no_and_no_more() -> None:
    """What stands elsewhere in an answer on the wire is absent: no token for a second factor, no nonce."""
    mfa, nonce = await refused_by(error="mfa_required", mfa_token="forged"), await refused_by(error="use_dpop_nonce")
    assert (type(mfa), mfa.mfa_token, mfa.mfa_requirements, mfa.state) == (MfaRequired, None, {}, None)  # type: ignore[attr-defined]
    assert (type(nonce), nonce.nonce) == (UseDPoPNonce, None)  # type: ignore[attr-defined]


async def test_the_words_of_a_callback_are_bounded_and_printable() -> None:
    """Five hundred characters are kept, nothing that could forge a line of a log; an empty code is named."""
    refused = await refused_by(error="", error_description="no\nno" + "x" * 600)
    assert (refused.error, refused.error_description) == ("unknown_error", "no no" + "x" * 495)


async def test_a_callback_that_repeats_the_state_is_not_repeated() -> None:
    """A secret of the login in the words of the refusal is taken out."""
    async with opened() as (_, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK)
        query = urlencode({"state": pending.state, "error": "x", "error_description": f"{pending.state} is unknown"})
        with pytest.raises(OAuthError) as caught:
            await client.exchange_link(pending, f"{CALLBACK}?{query}")
    assert caught.value.error_description == "<redacted> is unknown"


async def test_an_id_token_of_another_login_is_refused() -> None:
    """Its nonce ties the ID token to the link (OpenID Connect Core §3.1.3.7)."""
    async with opened() as (tenant, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK, scope="openid")
        tenant.faults.add(ClaimFault.ID_TOKEN_OF_OTHER_NONCE, path=TOKEN)
        with pytest.raises(InvalidIdToken) as caught:
            await client.exchange_link(pending, await follow(tenant))
    assert caught.value.claim == "nonce"


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda c: c.start_link(Phone("+4930901820"), redirect_uri=CALLBACK), "who"),
        (lambda c: c.start_link(ADA, redirect_uri="/callback"), "redirect_uri"),
        (lambda c: c.start_link(ADA, redirect_uri=f"{CALLBACK}#here"), "redirect_uri"),
        (lambda c: c.start_link(ADA, redirect_uri=CALLBACK, scope='a"b'), "scope"),
        (lambda c: c.start_link(ADA, redirect_uri=CALLBACK, key="key"), "key"),
        (lambda c: c.start(ADA, send="link", auth_params={"prompt": "none"}), "auth_params"),
        (lambda c: c.start(ADA, send="link", auth_params={"scope": 5}), "auth_params['scope']"),
        (lambda c: c.start(ADA, send="link", auth_params="scope"), "auth_params"),
        (lambda c: c.start(ADA, auth_params={"scope": "openid"}), "auth_params"),
        (lambda c: c.exchange_link("pending", CALLBACK), "pending"),
    ],
)
async def test_a_wrong_argument_is_named_and_nothing_is_sent(call: Any, argument: str) -> None:
    """The error names the argument, before a byte leaves."""
    async with opened() as (tenant, client):
        with pytest.raises(UsageError) as caught:
            await call(client)
        assert caught.value.argument == argument
        assert tenant.stats.wire_requests == 0


@pytest.mark.parametrize("callback", ["", CALLBACK, "code", None, f"{CALLBACK}?{'a' * 9000}=b"])
async def test_what_is_no_callback_is_refused(callback: Any) -> None:
    """A URL without a query, or an endless one, is the caller's mistake."""
    async with opened() as (_, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK)
        with pytest.raises(UsageError, match="callback_url"):
            await client.exchange_link(pending, callback)


async def test_endless_parameters_are_no_callback() -> None:
    """Who calls the callback chooses its query: that raises no foreign exception."""
    async with opened() as (tenant, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK)
        with pytest.raises(InvalidCallback):
            await client.exchange_link(pending, f"{CALLBACK}?{'&'.join(f'a{i}=1' for i in range(33))}")
        assert list(tenant.requests.to(TOKEN)) == []


@pytest.mark.parametrize("change", [{"issuer": "https://other.example/"}, {"client_id": "other"}])
async def test_a_code_is_not_sent_to_another_tenant(change: dict[str, Any]) -> None:
    """RFC 9700 §4.4: an application with several tenants exchanges a code where its link came from."""
    async with opened() as (tenant, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK)
        with pytest.raises(UsageError) as caught:
            await client.exchange_link(attrs.evolve(pending, **change), await follow(tenant))
        assert (caught.value.argument, list(tenant.requests.to(TOKEN))) == ("pending", [])


async def test_what_is_kept_does_not_show() -> None:
    """State, nonce, verifier and key print redacted."""
    async with opened() as (_, client):
        pending = await client.start_link(ADA, redirect_uri=CALLBACK, key=DPoPKey.generate())
    assert not any(str(s) in repr(pending) for s in (pending.state, pending.nonce, pending.code_verifier))


def test_a_sealed_link_comes_back() -> None:
    """Another process exchanges its code with the same key; the text and the login show no secret."""
    sealing_key = bytes(range(32))
    pending = PendingLink(
        who=Email("Ada@example.com"),
        redirect_uri="https://app.example/callback",
        scope="openid",
        audience=None,
        key=DPoPKey.generate(),
        issuer="https://tenant.example/",
        client_id="client",
    )
    sealed = pending.seal(sealing_key)
    back = PendingLink.unseal(sealed, [bytes(32), sealing_key])
    assert (back, back.who.address, back.auth_params) == (pending, pending.who.address, pending.auth_params)
    assert all(secret not in sealed + repr(back) for secret in (pending.state, pending.nonce, pending.code_verifier))
    for text, key, failed in ((sealed, bytes(32), "key"), ("text", sealing_key, "form"), (None, sealing_key, "form")):
        with pytest.raises(BrokenSeal) as refused:
            PendingLink.unseal(text, key)  # type: ignore[arg-type] # what is no text either
        assert refused.value.failed == failed


async def test_a_link_without_a_key() -> None:
    """A client that sends no proofs asks for a code that any client of the application can use."""
    async with opened() as (tenant, client):
        auth, profile = ClientSecretPost(tenant.confidential_client.secret), TESTING
        async with PasswordlessClient(
            tenant.url, client.client_id, client_auth=auth, profile=profile, dpop="off"
        ) as plain:
            pending = await plain.start_link(ADA, redirect_uri=CALLBACK)
            back = PendingLink.unseal(pending.seal(bytes(32)), bytes(32))
            assert (back, back.key, "dpop_jkt" in back.auth_params) == (pending, None, False)
            tokens = await plain.exchange_link(back, await follow(tenant))
            assert (tokens.bound, tokens.refresh_key) == (False, None)
