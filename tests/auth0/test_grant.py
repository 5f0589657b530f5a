"""A grant, driven by hand: what it sends, in which order, and what it makes of each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers.flows import (
    CHALLENGE,
    JWKS_URL,
    KEY,
    NOW,
    REFUSED_PROOF,
    TOKEN_URL,
    TOKENS,
    WRONG,
    Clock,
    access_token,
    answer,
    end,
    form,
    id_token,
    jwks,
    login,
    new_tenant,
    proof,
    stop_clocks,
)
from passwordless_async import (
    DPoPKey,
    InvalidDPoPProof,
    InvalidIdToken,
    MalformedAnswer,
    NonceChallengeRepeated,
    NotSenderConstrained,
    NotSent,
    OAuthError,
    OutcomeUnknown,
    SenderConstrained,
    UsageError,
    UseDPoPNonce,
    WrongCode,
)
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.life_cycle import refresh
from passwordless_async.auth0.otp import exchange

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0.tenant import Tenant


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the clocks."""
    return stop_clocks(monkeypatch)


@pytest.fixture
def tenant() -> Tenant:
    """Return a tenant that knows neither nonce nor key."""
    return new_tenant()


# Start.


def test_a_full_answer_becomes_tokens(tenant: Tenant) -> None:
    """Everything the service granted is in the tokens, with the validated claims."""
    flow = exchange(tenant, login("openid offline_access email"))
    assert str(next(flow).url) == JWKS_URL
    flow.send(jwks("k1"))
    body = TOKENS | {
        "access_token": access_token(KEY.thumbprint),
        "refresh_token": "refresh",
        "id_token": id_token(email="ada@example.com"),
        "scope": "openid offline_access",
    }
    tokens = end(flow, answer(200, body))
    assert (body["access_token"], "refresh", body["id_token"], "openid offline_access") == (
        tokens.access_token,
        tokens.refresh_token,
        tokens.id_token,
        tokens.scope,
    )
    assert (tokens.claims["sub"], tokens.claims["email"]) == ("ada", "ada@example.com")


def test_expiry_counts_from_before_the_request(tenant: Tenant, clock: Clock) -> None:
    """RFC 6749 §5.1: the lifetime counts from the answer; from before the request is on the safe side."""
    flow = exchange(tenant, login())
    next(flow)
    clock.time += 30
    flow.send(answer(400, CHALLENGE, nonce="n1"))
    clock.time += 30
    tokens = end(flow, answer(200, TOKENS))
    assert (tokens.expires_at, type(tokens.expires_at)) == (int(NOW) + 86400, int)


def test_no_lifetime_means_no_expiry(tenant: Tenant) -> None:
    """A server that does not say how long is not guessed at."""
    flow = exchange(tenant, login())
    next(flow)
    assert end(flow, answer(200, {"access_token": "opaque", "token_type": "DPoP"})).expires_at is None


@pytest.mark.parametrize(
    ("requested", "granted", "expected"),
    [
        ("read write", None, "read write"),
        ("read write", "read", "read"),
        (None, None, ""),
        (None, "read", "read"),
    ],
)
def test_scope_falls_back_to_the_requested_one(
    tenant: Tenant, requested: str | None, granted: str | None, expected: str
) -> None:
    """RFC 6749 §5.1: no scope in the answer means the requested one."""
    flow = exchange(tenant, login(requested))
    next(flow)
    assert end(flow, answer(200, {**TOKENS, "scope": granted})).scope == expected


# Exchange: the nonce.


@pytest.mark.parametrize("challenge", [CHALLENGE, {"error": "invalid_dpop_nonce"}, REFUSED_PROOF])
def test_a_challenge_is_answered_once(tenant: Tenant, challenge: dict[str, str]) -> None:
    """Rules 3, 12, 13: the second transmission has the nonce, a new jti and signature, and the same code."""
    flow = exchange(tenant, login())
    first = next(flow)
    second = flow.send(answer(400, challenge, nonce="n1"))
    one, two = proof(first), proof(second)
    assert (one.get("nonce"), two["nonce"]) == (None, "n1")
    assert one["jti"] != two["jti"]
    assert form(first) == form(second)
    assert first is not second
    assert first.headers["DPoP"] != second.headers["DPoP"]
    assert end(flow, answer(200, TOKENS)).access_token == "opaque"


def test_the_nonce_is_remembered(tenant: Tenant) -> None:
    """One challenge teaches all: the next login brings the nonce at once."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(400, CHALLENGE, nonce="n1"))
    end(flow, answer(200, TOKENS))
    assert proof(next(exchange(tenant, login())))["nonce"] == "n1"


@pytest.mark.parametrize(
    "response",
    [
        answer(200, TOKENS, nonce="n2"),
        answer(403, WRONG, nonce="n2"),
        answer(429, {}, nonce="n2"),
        answer(401, b"<html>", nonce="n2"),
        answer(302, b"", nonce="n2"),
        answer(200, b"junk", nonce="n2"),
        answer(200, {**TOKENS, "token_type": "Bearer"}, nonce="n2"),
    ],
)
def test_every_answer_teaches_a_nonce(tenant: Tenant, response: HttpResponse) -> None:
    """Rule 8: the nonce is taken from every answer, before it is returned or raised."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises((StopIteration, OAuthError, MalformedAnswer, NotSenderConstrained)):
        flow.send(response)
    assert tenant.nonces.get("https://tenant.example") == "n2"


def test_the_answer_to_the_retry_teaches_too(tenant: Tenant) -> None:
    """Rule 8: a nonce that rotates with the retried answer is the one to use next."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(400, CHALLENGE, nonce="n1"))
    end(flow, answer(200, TOKENS, nonce="n2"))
    assert tenant.nonces.get("https://tenant.example") == "n2"


def test_a_fourth_challenge_is_an_error(tenant: Tenant) -> None:
    """Three challenges are answered while their nonces are new: exactly four requests."""
    flow = exchange(tenant, login())
    next(flow)
    for nonce in ("n1", "n2", "n3"):
        flow.send(answer(400, CHALLENGE, nonce=nonce))
    with pytest.raises(NonceChallengeRepeated) as refused:
        flow.send(answer(400, CHALLENGE, nonce="n4"))
    expected = "use_dpop_nonce (400): the server challenged again after its own nonce was used"
    assert str(refused.value) == expected
    assert tenant.nonces.get("https://tenant.example") == "n4"


def test_a_second_challenge_with_a_new_nonce_is_answered(tenant: Tenant) -> None:
    """A server that renewed its nonce meanwhile costs no login."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(400, CHALLENGE, nonce="n1"))
    flow.send(answer(400, CHALLENGE, nonce="n2"))
    assert end(flow, answer(200, TOKENS)).token_type == "DPoP"


def test_the_same_nonce_again_is_an_error(tenant: Tenant) -> None:
    """Rule 12: a server that refuses its own nonce is not asked a third time."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(400, CHALLENGE, nonce="n1"))
    with pytest.raises(NonceChallengeRepeated):
        flow.send(answer(400, CHALLENGE, nonce="n1"))


def test_a_challenge_with_the_nonce_that_was_sent_is_an_error(tenant: Tenant) -> None:
    """Rule 12: a challenge that offers the nonce that the proof already has cannot be answered."""
    tenant.nonces.harvest("https://tenant.example", answer(200, nonce="n1"), tenant.nonces.ticket())
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(NonceChallengeRepeated):
        flow.send(answer(400, CHALLENGE, nonce="n1"))


@pytest.mark.parametrize("nonce", [None, "not a nonce", "x" * 2000])
def test_a_challenge_without_a_nonce_is_malformed(tenant: Tenant, nonce: str | None) -> None:
    """Rules 9, 14: a challenge without a nonce that is one is a typed error, and nothing is sent again."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(MalformedAnswer) as refused:
        flow.send(answer(400, CHALLENGE, nonce=nonce))
    expected = "a nonce is demanded and none, or none that is valid, is given (status 400)"
    assert str(refused.value) == expected


def test_two_nonces_are_none(tenant: Tenant) -> None:
    """Rule 9: a challenge with two DPoP-Nonce fields gives none."""
    response = answer(400, CHALLENGE, nonce="n1")
    response.headers.add("DPoP-Nonce", "n2")  # type: ignore[attr-defined]
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(MalformedAnswer):
        flow.send(response)


def test_a_nonce_alone_is_no_challenge(tenant: Tenant) -> None:
    """A blind resend would cost one of three attempts: only the error code asks for it."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(WrongCode):
        flow.send(answer(403, WRONG, nonce="n1"))


def test_a_refused_proof_without_a_fresh_nonce_is_final(tenant: Tenant) -> None:
    """Rule 13: invalid_dpop_proof counts as a challenge with a fresh nonce alone."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(InvalidDPoPProof):
        flow.send(answer(400, REFUSED_PROOF))
    tenant.nonces.harvest("https://tenant.example", answer(200, nonce="n1"), tenant.nonces.ticket())
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(InvalidDPoPProof):
        flow.send(answer(400, REFUSED_PROOF, nonce="n1"))


def test_a_proof_refused_with_the_servers_nonce_is_a_refused_proof(tenant: Tenant) -> None:
    """The nonce was right the second time, so the error says what the server says: look at the clock and the key."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(400, REFUSED_PROOF, nonce="n1"))
    with pytest.raises(InvalidDPoPProof):
        flow.send(answer(400, REFUSED_PROOF, nonce="n2"))


def test_a_sibling_may_have_renewed_the_cache(tenant: Tenant) -> None:
    """Rule 11: the challenge is compared with the nonce that was sent, though the cache holds it already."""
    slow, quick = exchange(tenant, login()), exchange(tenant, login())
    assert "nonce" not in proof(next(slow)) | proof(next(quick))
    quick.send(answer(400, CHALLENGE, nonce="n1"))
    end(quick, answer(200, TOKENS))
    assert tenant.nonces.get("https://tenant.example") == "n1"
    assert proof(slow.send(answer(400, CHALLENGE, nonce="n1")))["nonce"] == "n1"
    assert end(slow, answer(200, TOKENS)).access_token == "opaque"


def test_the_retry_uses_the_nonce_of_its_own_challenge(tenant: Tenant) -> None:
    """Rule 11: the nonce that came with the challenge is the answer to it, whatever a sibling has learned."""
    slow, quick = exchange(tenant, login()), exchange(tenant, login())
    next(slow)
    next(quick)
    quick.send(answer(400, CHALLENGE, nonce="newer"))
    assert proof(slow.send(answer(400, CHALLENGE, nonce="older")))["nonce"] == "older"
    assert tenant.nonces.get("https://tenant.example") == "newer"


def test_nonces_are_ordered_by_sending(tenant: Tenant) -> None:
    """Rule 10: an answer that was overtaken does not put its older nonce back."""
    slow, quick = exchange(tenant, login()), exchange(tenant, login())
    next(slow)
    next(quick)
    end(quick, answer(200, TOKENS, nonce="newer"))
    end(slow, answer(200, TOKENS, nonce="older"))
    assert tenant.nonces.get("https://tenant.example") == "newer"


def test_a_hundred_siblings_each_send_twice_at_most(tenant: Tenant) -> None:
    """Rules 11, 12: a hundred cold logins in flight at once all succeed, with two hundred different proofs."""
    flows = [exchange(tenant, login()) for _ in range(100)]
    proofs = [next(flow).headers["DPoP"] for flow in flows]
    proofs += [flow.send(answer(400, CHALLENGE, nonce=f"n{n // 50}")).headers["DPoP"] for n, flow in enumerate(flows)]
    assert [end(flow, answer(200, TOKENS, nonce="n9")).access_token for flow in flows] == ["opaque"] * 100
    assert len(set(proofs)) == 200


# Exchange: refusals and failures.


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504])
@pytest.mark.parametrize("body", [CHALLENGE, WRONG, TOKENS, b"<html>"])
def test_after_a_failure_nobody_knows(tenant: Tenant, status: int, body: Any) -> None:
    """Rule 8: 5xx is neither retried nor believed, and its nonce is not taken."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(OutcomeUnknown) as refused:
        flow.send(answer(status, body, nonce="n1"))
    assert status == refused.value.status
    assert tenant.nonces.get("https://tenant.example") is None


def test_a_failure_of_the_retry_leaves_the_first_nonce(tenant: Tenant) -> None:
    """Rule 8: 5xx takes no nonce away."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(400, CHALLENGE, nonce="n1"))
    with pytest.raises(OutcomeUnknown):
        flow.send(answer(503, nonce="n2"))
    assert tenant.nonces.get("https://tenant.example") == "n1"


@pytest.mark.parametrize("failure", [NotSent("no route"), OutcomeUnknown("time-out")])
def test_a_failure_of_the_network_is_handed_on(tenant: Tenant, failure: Exception) -> None:
    """What the shell could not send, or has no answer to, is raised as it is; nothing is sent again."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(type(failure)) as raised:
        flow.throw(failure)
    assert failure is raised.value


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", None, "", "N_A"])
def test_a_bearer_answer_is_thrown_away(tenant: Tenant, token_type: str | None) -> None:
    """Rule 17, RFC 9449 §5: a proof was sent and the token is not bound."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(NotSenderConstrained) as refused:
        flow.send(answer(200, {**TOKENS, "token_type": token_type, "access_token": access_token(KEY.thumbprint)}))
    assert str(refused.value) == "a proof was sent, but token_type is not DPoP: a thief could use the token"


@pytest.mark.parametrize("jkt", [None, DPoPKey.generate().thumbprint, ""], ids=["none", "another", "empty"])
def test_a_token_bound_to_another_key_is_thrown_away(tenant: Tenant, jkt: str | None) -> None:
    """Rule 17, RFC 9449 §6.1: cnf.jkt of a JWT access token is the thumbprint of the key that was proven."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(NotSenderConstrained) as refused:
        flow.send(answer(200, {**TOKENS, "access_token": access_token(jkt)}))
    assert str(refused.value) == "cnf.jkt of the access token is not the thumbprint of the key"


@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "DPOP"])
@pytest.mark.parametrize(
    "token", ["opaque", "opaque.twice", "eyJhbGciOiJkaXIifQ..iv.ciphertext.tag", access_token(KEY.thumbprint)]
)
def test_a_bound_token_is_kept(tenant: Tenant, token: str, token_type: str) -> None:
    """The type is compared without regard to case; a token that is opaque or encrypted cannot be looked into."""
    flow = exchange(tenant, login())
    next(flow)
    tokens = end(flow, answer(200, {**TOKENS, "access_token": token, "token_type": token_type}))
    assert (tokens.access_token, tokens.token_type) == (token, token_type)


def test_an_unbound_token_is_refused_before_keys_are_fetched(tenant: Tenant) -> None:
    """The binding is checked before anything else is done for the answer."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(NotSenderConstrained):
        flow.send(answer(200, {**TOKENS, "token_type": "Bearer", "id_token": id_token()}))


# Exchange: the modes of a client.

UNBOUND = {**TOKENS, "token_type": "Bearer"}


@pytest.mark.parametrize("token_type", ["Bearer", "bearer"])
@pytest.mark.parametrize("token", ["opaque", access_token(None)])
def test_preferred_takes_tokens_that_are_not_bound(token: str, token_type: str) -> None:
    """RFC 9449 §5: the proof was ignored. Its key is kept for refreshes: the refresh token may be bound to it."""
    flow = exchange(new_tenant("preferred"), login())
    assert proof(next(flow))["htm"] == "POST"
    tokens = end(flow, answer(200, {**UNBOUND, "access_token": token, "token_type": token_type}))
    assert (tokens.bound, tokens.key, tokens.jkt, tokens.token_type) == (False, None, None, token_type)
    assert tokens.refresh_key is KEY


def test_preferred_checks_tokens_that_are_bound() -> None:
    """They are bound to the key that was proven, or refused."""
    flow = exchange(new_tenant("preferred"), login())
    next(flow)
    tokens = end(flow, answer(200, {**TOKENS, "access_token": access_token(KEY.thumbprint)}))
    assert (tokens.bound, tokens.key, tokens.jkt, tokens.refresh_key) == (True, KEY, KEY.thumbprint, None)
    flow = exchange(new_tenant("preferred"), login())
    next(flow)
    with pytest.raises(NotSenderConstrained):
        flow.send(answer(200, {**TOKENS, "access_token": access_token(DPoPKey.generate().thumbprint)}))


def test_off_sends_no_proof() -> None:
    """One request without a proof; its tokens are Bearer tokens."""
    flow = exchange(new_tenant("off"), login(key=None))
    request = next(flow)
    tokens = end(flow, answer(200, UNBOUND, nonce="n1"))
    assert "DPoP" not in request.headers
    assert (tokens.bound, tokens.key, tokens.jkt, tokens.refresh_key) == (False, None, None, None)


@pytest.mark.parametrize("changes", [{"token_type": "DPoP"}, {"access_token": access_token(KEY.thumbprint)}])
def test_off_refuses_bound_tokens_and_revokes_them(changes: dict[str, str]) -> None:
    """They are bound to a key that the client does not have."""
    flow = exchange(new_tenant("off"), login(key=None))
    next(flow)
    request = flow.send(answer(200, {**UNBOUND, **changes, "refresh_token": "rt"}))
    assert (request.url.path, form(request)["token"]) == ("/oauth/revoke", "rt")
    with pytest.raises(SenderConstrained):
        flow.send(answer(200))


def test_off_answers_no_challenge() -> None:
    """There is no proof that could have a nonce."""
    flow = exchange(new_tenant("off"), login(key=None))
    next(flow)
    with pytest.raises(UseDPoPNonce):
        flow.send(answer(400, CHALLENGE, nonce="n1"))


def test_off_takes_no_key() -> None:
    """A key that would never be proven is a mistake; nothing is sent."""
    with pytest.raises(UsageError, match=r"^key: is given, and the client sends no proofs"):
        next(exchange(new_tenant("off"), login()))


# Exchange: the ID token and its keys.


def test_keys_come_before_the_code(tenant: Tenant) -> None:
    """A code is spent once sent: what the answer is checked with is fetched first, without a proof or a secret."""
    flow = exchange(tenant, login("profile openid"))
    request = next(flow)
    assert (
        request.method,
        str(request.url),
        request.headers,
        request.body,
        request.shareable,
    ) == ("GET", JWKS_URL, {}, b"", True)
    assert str(flow.send(jwks("k1")).url) == TOKEN_URL
    assert end(flow, answer(200, TOKENS | {"id_token": id_token()})).claims["sub"] == "ada"


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (answer(503, b""), "the signing keys cannot be read (status 503)"),
        (answer(404, {}), "the signing keys cannot be read (status 404)"),
        (answer(200, {"keys": []}), "the key set has no usable RSA or P-256 key for signatures (status 200)"),
        (answer(200, b"junk"), "the answer is not a JSON object (status 200)"),
    ],
)
def test_without_keys_the_code_is_not_sent(tenant: Tenant, response: HttpResponse, problem: str) -> None:
    """Keys that cannot be had before the code was sent leave it unspent, and the error says so."""
    flow = exchange(tenant, login("openid"))
    next(flow)
    with pytest.raises(NotSent) as refused:
        flow.send(response)
    expected = f"the tenant's signing keys could not be fetched, so nothing else was sent: {problem}"
    assert str(refused.value) == expected
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "failure", [NotSent("no route"), OutcomeUnknown("time-out"), MalformedAnswer("too large", status=200)]
)
def test_a_failure_before_the_code_leaves_it_unspent(tenant: Tenant, failure: Exception) -> None:
    """Whatever became of the request for the keys, the code was not sent."""
    flow = exchange(tenant, login("openid"))
    next(flow)
    with pytest.raises(NotSent) as refused:
        flow.throw(failure)
    assert str(refused.value).endswith(f"so nothing else was sent: {failure}")


FOUND = jwks("k1")


def test_a_refresh_goes_on_where_the_keys_cannot_be_had(tenant: Tenant) -> None:
    """The new refresh token is not thrown away for want of a key: the ID token is left out, the user stays the same."""
    tenant.keys.learn(jwks("k1"))
    flow = exchange(tenant, login())
    next(flow)
    tokens = end(flow, answer(200, TOKENS | {"id_token": id_token("k1")}))
    flow = refresh(tenant, attrs.evolve(tokens, refresh_token=Secret("rt1")))
    next(flow)
    flow.send(answer(200, TOKENS | {"id_token": id_token("k9"), "refresh_token": "rt2"}))
    for _ in range(2):
        assert str(flow.send(answer(503)).url) == JWKS_URL
    renewed = end(flow, answer(503))
    assert ("rt2", tokens.claims["sub"], tokens.id_token) == (
        renewed.refresh_token,
        renewed.claims["sub"],
        renewed.id_token,
    )


DAY = 86_400


def test_an_id_token_that_was_not_asked_for_is_validated_too(tenant: Tenant) -> None:
    """Whatever comes back is checked: the keys are fetched afterwards where they are not known."""
    flow = exchange(tenant, login("profile"))
    next(flow)
    assert str(flow.send(answer(200, TOKENS | {"id_token": id_token()})).url) == JWKS_URL
    assert end(flow, jwks("k1")).claims["sub"] == "ada"


@pytest.mark.parametrize("failure", [NotSent("no route"), OutcomeUnknown("time-out")])
def test_keys_that_cannot_be_had_after_the_code(tenant: Tenant, failure: Exception) -> None:
    """The code is spent: that the request for the keys was not sent must not say that it may be sent again."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(200, TOKENS | {"id_token": id_token()}))
    for _ in range(2):
        assert str(flow.throw(failure).url) == JWKS_URL
    with pytest.raises(OutcomeUnknown) as refused:
        flow.throw(failure)
    expected = f"the tokens arrived, but the keys for their ID token could not be fetched: {failure}"
    assert str(refused.value) == expected
    assert not refused.value.retryable
    assert refused.value.__context__ is None


def test_malformed_keys_after_the_code(tenant: Tenant) -> None:
    """A key set that cannot be read says nothing against the ID token; the tokens that are given up are revoked."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(200, TOKENS | {"id_token": id_token(), "refresh_token": "rt"}))
    for _ in range(2):
        assert str(flow.send(answer(500)).url) == JWKS_URL
    revocation = flow.send(answer(500))
    assert (revocation.url.path, form(revocation)["token"]) == ("/oauth/revoke", "rt")
    with pytest.raises(OutcomeUnknown, match="the signing keys cannot be read"):
        flow.send(answer(200, b""))


def test_a_malformed_answer_is_given_up(tenant: Tenant) -> None:
    """The refresh token in it would live on at the service: it is revoked before the error is raised."""
    flow = exchange(tenant, login())
    next(flow)
    request = flow.send(answer(200, TOKENS | {"token_type": 5, "refresh_token": "rt"}))
    assert request.url.path == "/oauth/revoke"
    with pytest.raises(MalformedAnswer, match="token_type"):
        flow.send(answer(503))


@pytest.mark.parametrize(
    ("token", "claim"),
    [
        (id_token(iss="https://tenant.example"), "iss"),
        (id_token(aud="other"), "aud"),
        (id_token(exp=int(NOW) - 61), "exp"),
        (id_token(iat=int(NOW) + 62), "iat"),
        ("junk", "header"),
        ("e30.e30.e30", "alg"),
        (id_token() + "x", "signature"),
    ],
)
def test_a_bad_id_token_spoils_the_answer(tenant: Tenant, token: str, claim: str) -> None:
    """No tokens come of an answer whose ID token fails a check, with the clock of the moment."""
    tenant.keys.learn(jwks("k1"))
    flow = exchange(tenant, login("openid"))
    next(flow)
    with pytest.raises(InvalidIdToken) as refused:
        flow.send(answer(200, TOKENS | {"id_token": token}))
    assert claim == getattr(refused.value, "claim", None)


def test_no_id_token_means_no_claims(tenant: Tenant) -> None:
    """A server that grants no openid sends no ID token, and that is no error."""
    tenant.keys.learn(jwks("k1"))
    flow = exchange(tenant, login("openid"))
    next(flow)
    tokens = end(flow, answer(200, TOKENS | {"scope": ""}))
    assert (tokens.id_token, tokens.claims, tokens.scope) == (None, None, "")
