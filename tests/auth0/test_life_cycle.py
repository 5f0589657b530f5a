"""A login and what follows it, against a tenant that verifies every proof and every assertion."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import aiohttp
import attrs
import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from helpers import flows
from helpers.values import present
from passwordless_async import (
    TESTING,
    BindingRequired,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    DPoPKey,
    Email,
    InvalidIdToken,
    InvalidRefreshToken,
    InvalidToken,
    KeyMismatch,
    KeyMissing,
    MalformedAnswer,
    MfaRequired,
    NoClientAuth,
    NotSenderConstrained,
    OAuthError,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    PrivateKeyJwt,
    RateLimited,
    TemporarilyUnavailable,
    TlsClientAuth,
    TokenSet,
    UsageError,
)
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.life_cycle import refresh, userinfo
from passwordless_async.auth0.otp import exchange
from passwordless_async.testing import BOUND_API, PLAIN_API, Fault, LocalTenant, TenantSettings, ThrowAwayCa

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async._common.http import HttpRequest, HttpResponse

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
CALLBACK = "https://app.example/callback"
SCOPE = "openid email offline_access"
TOKEN = "/oauth/token"
METHODS = [
    "none",
    "client_secret_post",
    "client_secret_basic",
    "private_key_jwt RS256",
    "private_key_jwt RS384",
    "private_key_jwt PS256",
    "private_key_jwt ES256",
    "tls_client_auth",
    "self_signed_tls_client_auth",
]
NONCES: dict[str, dict[str, Any]] = {
    "no nonce": {"public_nonce_required": False, "nonce_in_answers": "never"},
    "a nonce": {"public_nonce_required": True, "confidential_nonce_required": True, "userinfo_nonce_required": True},
    "single-use nonces": {
        "public_nonce_required": True,
        "confidential_nonce_required": True,
        "userinfo_nonce_required": True,
        "single_use_nonces": True,
    },
    "rotation at every request": {
        "public_nonce_required": True,
        "confidential_nonce_required": True,
        "nonce_rotation": 1,
    },
}


# The authority that vouches for each tenant, for a browser to trust.
client_ca: WeakKeyDictionary[LocalTenant, ThrowAwayCa] = WeakKeyDictionary()


@asynccontextmanager
async def opened(method: str, **settings: Any) -> AsyncIterator[tuple[LocalTenant, PasswordlessClient]]:
    """Run a tenant and open a client that authenticates by this method, over TLS where that is what it takes."""
    ca = ThrowAwayCa()
    certificate = ca.issue("tls-client") if method == "tls_client_auth" else ca.self_signed("tls-client")
    tls = method.endswith("tls_client_auth")
    trusted = (certificate,) if method.startswith("self_signed") else ()
    algorithm: Any
    name, _, algorithm = method.partition(" ")
    if trusted:
        settings["self_signed_certificates"] = (certificate.thumbprint,)
    settings.setdefault("callback_urls", [CALLBACK])
    tenant = LocalTenant(TenantSettings(**settings), ssl=ca.server_context(trusted=trusted) if tls else None)
    client_ca[tenant] = ca
    async with tenant:
        known: Any = tenant.client_for(name, *([algorithm] if algorithm else []))
        ways: dict[str, Any] = {
            "none": NoClientAuth,
            "client_secret_post": lambda: ClientSecretPost(known.secret),
            "client_secret_basic": lambda: ClientSecretBasic(known.secret),
            "private_key_jwt": lambda: PrivateKeyJwt(
                known.private_pem, algorithm=algorithm, key_id=known.private_jwk["kid"]
            ),
        }
        auth: ClientAuth = TlsClientAuth(ca.client_context(certificate)) if tls else ways[name]()
        async with PasswordlessClient(tenant.url, known.client_id, client_auth=auth, profile=TESTING) as client:
            yield tenant, client


async def log_in(tenant: LocalTenant, client: PasswordlessClient, who: Email = ADA, **parameters: Any) -> TokenSet:
    await client.start(who)
    return await client.exchange(who, tenant.outbox.code_for(who), **{"scope": SCOPE, **parameters})


@pytest.mark.parametrize("nonces", NONCES)
@pytest.mark.parametrize("method", METHODS)
async def test_every_grant_by_every_authentication(method: str, nonces: str) -> None:
    """Rules 3, 16 and 18: each transmission has a proof and an assertion of its own, and the key stays the same."""
    async with opened(method, **NONCES[nonces]) as (tenant, client):
        first = await log_in(tenant, client, audience=BOUND_API)
        second = await client.refresh(first)
        third = await client.refresh(second)
        assert (await client.userinfo(third))["sub"] == present(third.claims)["sub"] == present(first.claims)["sub"]
        await client.revoke(third)
        with pytest.raises(InvalidRefreshToken):
            await client.refresh(third)
    assert {tokens.jkt for tokens in (first, second, third)} == {present(first.key).thumbprint}
    assert len({tokens.access_token for tokens in (first, second, third)}) == 3
    proofs = [json.loads(jws.extract_compact(r.proof.encode()).payload)["jti"] for r in tenant.requests if r.proof]
    assert len(proofs) == len(set(proofs))
    assert (tenant.stats.replays_refused, tenant.stats.assertions_replayed) == (0, 0)
    asserted = [r for r in tenant.requests if b"client_assertion" in r.body]
    assert tenant.stats.assertions_accepted == len(asserted)
    assert bool(asserted) == method.startswith("private_key_jwt")


async def by_database(tenant: LocalTenant, client: PasswordlessClient, ca: ThrowAwayCa) -> TokenSet:  # noqa: ARG001
    tenant.users.add(BOB, database=True)
    session = await client.start_database(BOB, connection="Username-Password-Authentication")
    return await client.exchange(session, tenant.outbox.code_for(BOB), scope=SCOPE)


async def by_link(tenant: LocalTenant, client: PasswordlessClient, ca: ThrowAwayCa) -> TokenSet:
    pending = await client.start_link(BOB, redirect_uri=CALLBACK, scope=SCOPE)
    async with aiohttp.ClientSession() as browser:
        link = tenant.outbox.link_for(BOB)
        async with browser.get(link, allow_redirects=False, ssl=ca.client_context()) as response:
            return await client.exchange_link(pending, response.headers["Location"])


def by_factor(factor: str) -> Any:
    async def log_in_by(tenant: LocalTenant, client: PasswordlessClient, ca: ThrowAwayCa) -> TokenSet:  # noqa: ARG001
        tenant.users.add(BOB, mfa=[factor, "otp"] if factor == "recovery-code" else [factor])
        with pytest.raises(MfaRequired) as required:
            await log_in(tenant, client, BOB)
        state = present(required.value.state)
        if factor == "otp":
            return await client.mfa.verify_otp(state, tenant.mfa.otp_for(BOB))
        if factor == "recovery-code":
            return (await client.mfa.verify_recovery_code(state, tenant.mfa.recovery_code_for(BOB)))[0]
        challenge = await client.mfa.challenge(state, types=["oob"])
        return await client.mfa.verify_oob(state, challenge, binding_code=tenant.mfa.code_for(BOB))

    return log_in_by


GRANTS = {
    "database OTP": by_database,
    "authorization code": by_link,
    "mfa-otp": by_factor("otp"),
    "mfa-oob": by_factor("sms"),
    "mfa-recovery-code": by_factor("recovery-code"),
}


@pytest.mark.parametrize("nonces", NONCES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grant", GRANTS)
async def test_every_other_grant_by_every_authentication(grant: str, method: str, nonces: str) -> None:
    """Rules 3, 16 and 18 for links, database connections and second factors: nothing goes twice, one key throughout."""
    async with opened(method, **NONCES[nonces]) as (tenant, client):
        tokens = await GRANTS[grant](tenant, client, client_ca[tenant])
        renewed = await client.refresh(tokens)
        assert tokens.jkt == present(tokens.key).thumbprint == renewed.jkt
        assert present(tokens.claims)["sub"] == present(renewed.claims)["sub"]
        assert tenant.disagreements == ()
    proofs = [json.loads(jws.extract_compact(r.proof.encode()).payload)["jti"] for r in tenant.requests if r.proof]
    assert len(proofs) == len(set(proofs))
    assert (tenant.stats.replays_refused, tenant.stats.assertions_replayed) == (0, 0)


async def test_a_hundred_refreshes_at_once() -> None:
    """Rule 19: one request on the wire, one rotation, equal results for all; who is cancelled disturbs nobody."""
    async with opened("none") as (tenant, client):
        tokens = await log_in(tenant, client)
        before = tenant.stats.token_requests
        refreshing = [asyncio.create_task(client.refresh(tokens)) for _ in range(100)]
        await asyncio.sleep(0)
        refreshing[0].cancel()
        refreshing[50].cancel()
        results = await asyncio.gather(*refreshing, return_exceptions=True)
        renewed = {id(result) for result in results if isinstance(result, TokenSet)}
        assert (len(renewed), sum(isinstance(result, TokenSet) for result in results)) == (1, 98)
        assert (tenant.stats.token_requests - before, tenant.stats.refresh_rotations) == (1, 1)
        late = await client.refresh(tokens)
        assert {id(late)} == renewed
        assert (tenant.stats.refresh_reuse_detected, tenant.stats.families_revoked) == (0, 0)


async def test_what_lingers_is_for_the_key_alone() -> None:
    """Whoever has the refresh token and not the key gets nothing, however soon after a refresh they come."""
    async with opened("none") as (tenant, client):
        tokens = await log_in(tenant, client)
        await client.refresh(tokens)
        with pytest.raises(OAuthError, match="thumbprints don't match"):
            await client.refresh(attrs.evolve(tokens, key=DPoPKey.generate(), jkt=None))


async def test_another_scope_is_another_refresh() -> None:
    """A late caller with another scope goes on from the new refresh token: nothing is spent twice or mixed."""
    async with opened("none") as (tenant, client):
        tokens = await log_in(tenant, client)
        narrow = await client.refresh(tokens, scope="openid offline_access")
        wide = await client.refresh(tokens)
        assert (narrow.scope, wide is narrow) == ("openid offline_access", False)
        assert (tenant.stats.refresh_reuse_detected, tenant.stats.families_revoked) == (0, 0)


async def test_a_revocation_leaves_nothing_lingering() -> None:
    """After it the old refresh token leads to the typed error, at once."""
    async with opened("none") as (tenant, client):
        tokens = await log_in(tenant, client)
        renewed = await client.refresh(tokens)
        await client.revoke(renewed)
        for dead in (tokens, renewed):
            with pytest.raises(InvalidRefreshToken):
                await client.refresh(dead)


async def test_without_rotation_each_refresh_is_new() -> None:
    """A refresh token that stays is good for another access token a moment later."""
    async with opened("none", refresh_rotation=False) as (tenant, client):
        first = await client.refresh(await log_in(tenant, client))
        assert (await client.refresh(first)).access_token != first.access_token


async def test_a_refresh_token_without_rotation_stays() -> None:
    """Where the service sends no new refresh token the old one is kept with the new tokens."""
    async with opened("none", refresh_rotation=False) as (tenant, client):
        first = await log_in(tenant, client)
        second = await client.refresh(first)
        assert second.refresh_token == first.refresh_token
        assert second.access_token != first.access_token


async def test_a_scope_can_be_narrowed() -> None:
    """The new access token has the scope that was asked for."""
    async with opened("none") as (tenant, client):
        tokens = await log_in(tenant, client)
        assert (await client.refresh(tokens, scope="openid")).scope == "openid"


async def test_reuse_ends_the_family() -> None:
    """A refresh token that was spent elsewhere is refused, and with it everything that came of the login."""
    async with opened("none") as (tenant, client):
        first = await log_in(tenant, client)
        second = await client.refresh(first)
        async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as thief:
            with pytest.raises(InvalidRefreshToken):
                await thief.refresh(first)
        with pytest.raises(InvalidRefreshToken):
            await client.refresh(second)
        assert (tenant.stats.refresh_reuse_detected, tenant.stats.families_revoked) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"key": None}, KeyMissing),
        ({"key": DPoPKey.generate()}, KeyMismatch),
        ({"issuer": "https://other.example/"}, UsageError),
        ({"client_id": "other"}, UsageError),
        ({"refresh_token": None}, UsageError),
    ],
)
async def test_nothing_is_sent_for_tokens_that_are_not_whole(changes: dict[str, Any], error: type[Exception]) -> None:
    """Rule 18: a stripped or exchanged key, another tenant's tokens: a typed error before anything is sent."""
    async with opened("none") as (tenant, client):
        tokens = attrs.evolve(await log_in(tenant, client), **changes)
        before = tenant.stats.wire_requests
        with pytest.raises(error):
            await client.refresh(tokens)
        if "refresh_token" not in changes:
            with pytest.raises(error):
                await client.userinfo(tokens)
        if "key" not in changes:
            with pytest.raises(error):
                await client.revoke(tokens)
        assert tenant.stats.wire_requests == before
        with pytest.raises(UsageError, match="tokens: must be a TokenSet"):
            await client.refresh("a refresh token")  # type: ignore[arg-type]


async def test_a_stolen_refresh_token_is_of_no_use() -> None:
    """Without the key it was bound to, the tenant refuses it."""
    async with opened("none") as (tenant, client):
        tokens = await log_in(tenant, client)
        stolen = attrs.evolve(tokens, key=DPoPKey.generate(), jkt=None)
        with pytest.raises(Exception, match="thumbprints don't match"):
            await client.refresh(stolen)


@pytest.mark.parametrize(
    ("body", "challenge"),
    [(b"Unauthorized", ""), (b"", 'Bearer error="invalid_token"'), ({}, 'DPoP error="invalid_token", algs="ES256"')],
)
def test_an_access_token_that_is_refused_in_any_form(body: Any, challenge: str) -> None:
    """RFC 6750 §3.1: a 401 of userinfo is about the token, with JSON or without."""
    tenant = flows.new_tenant()
    flow = exchange(tenant, flows.login())
    next(flow)
    asked = userinfo(tenant, flows.end(flow, flows.answer(200, flows.TOKENS)))
    next(asked)
    response = flows.answer(401, body)
    if challenge:
        response.headers.add("WWW-Authenticate", challenge)  # type: ignore[attr-defined] # of the test's own
    with pytest.raises(InvalidToken) as caught:
        asked.send(response)
    assert (caught.value.status, caught.value.error) == (401, "invalid_token")


async def test_a_downgraded_login_leaves_nothing_behind() -> None:
    """The refresh token of an answer that is refused is revoked before the error is raised."""
    async with opened("none") as (tenant, client):
        with pytest.raises(NotSenderConstrained):
            await log_in(tenant, client, audience=PLAIN_API)
        assert (tenant.stats.revoke_requests, [family.revoked for family in tenant.refresh_families]) == (1, [True])


@pytest.mark.parametrize(
    "fault", [Fault.ID_TOKEN_EXPIRED, Fault.ID_TOKEN_TAMPERED, Fault.ID_TOKEN_UNSIGNED, Fault.ID_TOKEN_OF_UNKNOWN_KID]
)
async def test_a_login_with_a_bad_id_token_leaves_nothing_behind(fault: Fault) -> None:
    """The refresh token beside an ID token that is refused is revoked before the error is raised."""
    async with opened("none") as (tenant, client):
        tenant.faults.add(fault, path=TOKEN)
        with pytest.raises(InvalidIdToken):
            await log_in(tenant, client)
        assert [family.revoked for family in tenant.refresh_families] == [True]


async def test_a_refresh_that_turns_into_another_user_leaves_nothing_behind() -> None:
    """OpenID Connect Core §12.2: sub is the one before; what came instead is revoked."""
    async with opened("none") as (tenant, client):
        tokens = await log_in(tenant, client)
        tenant.faults.add(Fault.ID_TOKEN_OF_OTHER_USER, path=TOKEN)
        with pytest.raises(InvalidIdToken, match="another user than before the refresh"):
            await client.refresh(tokens)
        assert [family.revoked for family in tenant.refresh_families] == [True]


@pytest.mark.parametrize("text", ["", "The user does not exist any more.", "Wrong email or verification code."])
@pytest.mark.parametrize("status", [400, 403])
async def test_a_refresh_that_is_refused_in_other_words(status: int, text: str) -> None:
    """RFC 6749 §5.2: invalid_grant says that the refresh token is dead; the description is for people."""
    async with opened("none") as (tenant, client):
        tokens = await log_in(tenant, client)
        tenant.faults.add(Fault.REFUSAL, path=TOKEN, status=status, error="invalid_grant", description=text)
        with pytest.raises(InvalidRefreshToken) as refused:
            await client.refresh(tokens)
        assert (refused.value.status, refused.value.error) == (status, "invalid_grant")


async def test_a_refresh_token_that_stays_good_is_not_given_up() -> None:
    """Without rotation the refresh token is still the caller's after an answer that is refused."""
    async with opened("none", refresh_rotation=False) as (tenant, client):
        tokens = await log_in(tenant, client)
        tenant.faults.add(Fault.ID_TOKEN_EXPIRED, path=TOKEN, times=1)
        with pytest.raises(InvalidIdToken):
            await client.refresh(tokens)
        assert (await client.refresh(tokens)).refresh_token == tokens.refresh_token


async def test_a_logout_during_a_refresh_leaves_nothing_to_hand_out() -> None:
    """What a refresh brings after the logout goes to its caller alone: who comes later asks the service."""
    async with opened("none") as (tenant, client):
        tokens = await log_in(tenant, client)
        answer = asyncio.Event()
        tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer, times=1)
        refreshing = asyncio.create_task(client.refresh(tokens))
        while tenant.stats.token_requests < 3:  # noqa: ASYNC110 - the tenant says it by nothing else
            await asyncio.sleep(0)
        await client.revoke(tokens)
        answer.set()
        await refreshing
        with pytest.raises(InvalidRefreshToken):
            await client.refresh(tokens)


async def test_a_failing_revocation_hides_no_downgrade() -> None:
    """Where the revocation fails too, the downgrade is what the caller hears of."""
    async with opened("none") as (tenant, client):
        tenant.faults.add(Fault.DROP_BEFORE_READ, path="/oauth/revoke")
        with pytest.raises(NotSenderConstrained):
            await log_in(tenant, client, audience=PLAIN_API)


async def test_a_refresh_whose_answer_is_lost() -> None:
    """Nobody knows whether the refresh token is spent, and it is not sent again."""
    async with opened("none") as (tenant, client):
        tokens = await log_in(tenant, client)
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN)
        before = tenant.stats.token_requests
        with pytest.raises(OutcomeUnknown):
            await client.refresh(tokens)
        assert tenant.stats.token_requests == before + 1


# Tokens that are bound to no key

UNBOUND = TokenSet(
    Secret("an-access-token"), "Bearer", None, "openid", Secret("a-refresh-token"), None, None, None, audience=PLAIN_API
)
BEARER = {"access_token": "opaque", "token_type": "Bearer", "expires_in": 60}


def proven_key(request: HttpRequest) -> str | None:
    """Return the thumbprint of the key that a request proves."""
    proof = request.headers.get("DPoP")
    return (
        None if proof is None else ECKey.import_key(jws.extract_compact(proof.encode()).headers()["jwk"]).thumbprint()
    )


def begun(mode: Any, tokens: TokenSet) -> tuple[Any, str | None]:
    """Begin a refresh; return its flow and the key that it proves."""
    flow = refresh(flows.new_tenant(mode), attrs.evolve(tokens, scope=""))
    return flow, proven_key(next(flow))


def test_a_refresh_proves_a_new_key_where_bound_tokens_are_preferred() -> None:
    """Tokens of a login without a proof become bound once the API's policy has it so; the key is kept from then on."""
    flow, proven = begun("preferred", UNBOUND)
    other = begun("preferred", UNBOUND)[1]
    renewed = flows.end(flow, flows.answer(200, BEARER))
    assert (renewed.bound, renewed.refresh_key.thumbprint, other == proven) == (False, proven, False)
    flow, proven = begun("preferred", renewed)
    assert proven == renewed.refresh_key.thumbprint
    bound = flows.end(flow, flows.answer(200, {**BEARER, "token_type": "DPoP"}))
    assert (bound.jkt, bound.key, bound.refresh_key) == (proven, renewed.refresh_key, None)


@pytest.mark.parametrize("mode", ["preferred", "off"])
def test_a_refresh_proves_the_key_that_the_login_has_proven(mode: Any) -> None:
    """RFC 9449 §5: the refresh token may be bound to it, though the access token is not."""
    flow, proven = begun(mode, attrs.evolve(UNBOUND, refresh_key=flows.KEY))
    assert proven == flows.KEY.thumbprint
    assert flows.end(flow, flows.answer(200, BEARER)).refresh_key is flows.KEY


def test_a_refresh_proves_nothing_where_no_key_was_ever_made() -> None:
    """Its tokens stay Bearer tokens."""
    flow, proven = begun("off", UNBOUND)
    renewed = flows.end(flow, flows.answer(200, BEARER))
    assert (proven, renewed.bound, renewed.refresh_token) == (None, False, UNBOUND.refresh_token)


@pytest.mark.parametrize("mode", ["required", "preferred", "off"])
def test_a_refresh_of_bound_tokens_gives_bound_ones_in_every_mode(mode: Any) -> None:
    """It proves their key; an answer with Bearer tokens is thrown away, and so is one for another key."""
    tokens = attrs.evolve(UNBOUND, token_type="DPoP", key=flows.KEY, jkt=flows.KEY.thumbprint)
    for answer in (BEARER, {**BEARER, "token_type": "DPoP", "access_token": flows.access_token("another")}):
        flow, proven = begun(mode, tokens)
        assert proven == flows.KEY.thumbprint
        with pytest.raises(NotSenderConstrained):
            flow.send(flows.answer(200, answer))


def test_userinfo_of_tokens_without_a_key() -> None:
    """RFC 6750 §2.1: as Bearer, without a proof."""
    flow = userinfo(flows.new_tenant("off"), UNBOUND)
    request = next(flow)
    assert (request.headers, proven_key(request)) == ({"Authorization": "Bearer an-access-token"}, None)
    assert flows.end(flow, flows.answer(200, {"sub": "ada"}))["sub"] == "ada"


def claims_of(response: HttpResponse, claims: dict[str, Any] | None) -> Any:
    """Return what userinfo makes of a response, for tokens with these claims of the ID token."""
    flow = userinfo(flows.new_tenant("off"), attrs.evolve(UNBOUND, claims=claims))
    next(flow)
    return flows.end(flow, response)


@pytest.mark.parametrize("body", [{"sub": "bob"}, {"sub": "Ada"}, {"sub": ""}, {"sub": None}, {"sub": 7}, {}])
def test_userinfo_about_another_user_is_refused(body: dict[str, Any]) -> None:
    """OpenID Connect Core §5.3.2: ``sub`` must be there, and be that of the ID token."""
    with pytest.raises(MalformedAnswer, match="about another user"):
        claims_of(flows.answer(200, {**body, "email": "bob@example.com"}), {"sub": "ada"})


@pytest.mark.parametrize("body", [{"sub": None}, {"sub": 7}, {}])
def test_userinfo_without_a_subject_is_refused(body: dict[str, Any]) -> None:
    """Also where no ID token names one to compare it with."""
    with pytest.raises(MalformedAnswer, match="no sub"):
        claims_of(flows.answer(200, body), None)


def test_claims_of_userinfo_cannot_be_changed() -> None:
    """The application gets a read-only mapping."""
    claims = claims_of(flows.answer(200, {"sub": "ada"}), {"sub": "ada"})
    with pytest.raises(TypeError):
        claims["sub"] = "bob"


@pytest.mark.parametrize(
    ("status", "body", "kind", "error"),
    [
        (401, {"error": "unauthorized"}, OAuthError, "unauthorized"),
        (401, {"error": "invalid_token"}, InvalidToken, "invalid_token"),
        (403, {"error": "insufficient_scope"}, OAuthError, "insufficient_scope"),
        (400, {"error": "invalid_request"}, OAuthError, "invalid_request"),
        (429, {"error": "too_many_requests"}, RateLimited, "too_many_requests"),
        (503, b"", TemporarilyUnavailable, "temporarily_unavailable"),
        (400, b"junk", MalformedAnswer, None),
        (403, b"", MalformedAnswer, None),
        (302, b"", MalformedAnswer, None),
        (200, b"junk", MalformedAnswer, None),
        (200, ["ada"], MalformedAnswer, None),
    ],
)
def test_each_refusal_of_userinfo_is_its_own_error(
    status: int, body: Any, kind: type[PasswordlessError], error: str | None
) -> None:
    """Only a 401 without words of its own means that the access token is no longer good (RFC 6750 §3.1)."""
    with pytest.raises(kind) as caught:
        claims_of(flows.answer(status, body), {"sub": "ada"})
    assert type(caught.value) is kind
    assert (getattr(caught.value, "status", None), getattr(caught.value, "error", None)) == (status, error)


@pytest.mark.parametrize("call", [refresh, userinfo])
def test_tokens_without_a_key_are_refused_where_all_must_be_bound(call: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(BindingRequired):
        next(call(flows.new_tenant(), UNBOUND))
