"""The flows, driven by hand: what they send, in which order, and what they make of each answer."""

from __future__ import annotations

import base64
import ipaddress
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import attrs
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from multidict import CIMultiDict

from passwordless_async import (
    ClientSecretPost,
    DPoPKey,
    Email,
    InvalidDPoPProof,
    InvalidIdToken,
    Login,
    MalformedAnswer,
    NoClientAuth,
    NonceChallengeRepeated,
    NotSenderConstrained,
    NotSent,
    OAuthError,
    OutcomeUnknown,
    Phone,
    RateLimited,
    TokenSet,
    UsageError,
    WrongCode,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import Secret
from passwordless_async.auth0 import Application
from passwordless_async.auth0.life_cycle import refresh
from passwordless_async.auth0.otp import exchange
from passwordless_async.auth0.start import start
from passwordless_async.auth0.tenant import Tenant

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpRequest
    from passwordless_async.auth0.tenant import Flow

NOW = 1_700_000_000.75
ADA = Email("ada@example.com")
KEY = DPoPKey.generate()
SIGNING_KEY = RSAKey.generate_key(2048, {"kid": "k1"})
TOKENS = {"access_token": "opaque", "token_type": "DPoP", "expires_in": 86400}
WRONG = {"error": "invalid_grant", "error_description": "Wrong email or verification code."}
CHALLENGE = {"error": "use_dpop_nonce", "error_description": "Authorization server requires nonce in DPoP proof"}
REFUSED_PROOF = {"error": "invalid_dpop_proof"}
JWKS_URL = "https://tenant.example/.well-known/jwks.json"
TOKEN_URL = "https://tenant.example/oauth/token"


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the clocks."""
    stopped = Clock()
    monkeypatch.setattr(_clock, "now", stopped.now)
    monkeypatch.setattr(_clock, "monotonic", stopped.now)
    return stopped


@pytest.fixture
def tenant() -> Tenant:
    """Return a tenant that knows neither nonce nor key."""
    return Tenant(Application("tenant.example", "client", NoClientAuth()))


def answer(
    status: int, body: Any = None, nonce: str | None = None, content_type: str = "application/json"
) -> HttpResponse:
    """Return an answer, with a nonce or without."""
    headers = CIMultiDict({"Content-Type": content_type})
    if nonce is not None:
        headers["DPoP-Nonce"] = nonce
    return HttpResponse(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def jwks(*kids: str) -> HttpResponse:
    """Return the tenant's key set: the one key under these names."""
    return answer(200, {"keys": [{**SIGNING_KEY.as_dict(private=False), "kid": kid} for kid in kids]})


def id_token(kid: str = "k1", **changes: Any) -> str:
    """Sign an ID token."""
    claims = {"iss": "https://tenant.example/", "aud": "client", "sub": "ada", "iat": int(NOW), "exp": int(NOW) + 60}
    return jwt.encode({"alg": "RS256", "kid": kid}, {**claims, **changes}, SIGNING_KEY, algorithms=["RS256"])


def access_token(jkt: str | None) -> str:
    """Return something of the form of a JWT access token, bound or not."""
    claims = {"sub": "ada"} if jkt is None else {"sub": "ada", "cnf": {"jkt": jkt}}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.c2ln"


def end(flow: Flow[Any], response: HttpResponse) -> Any:
    """Send the last answer and return what the flow returns."""
    with pytest.raises(StopIteration) as stopped:
        flow.send(response)
    return stopped.value.value


def proof(request: HttpRequest) -> dict[str, Any]:
    """Return the claims of a request's proof, verified with the key in its header by joserfc."""
    header = json.loads(base64.urlsafe_b64decode(request.headers["DPoP"].split(".")[0] + "=="))
    return jwt.decode(request.headers["DPoP"], ECKey.import_key(header["jwk"]), algorithms=["ES256"]).claims


def form(request: HttpRequest) -> dict[str, str]:
    """Return the parameters of a request."""
    return dict(parse_qsl(request.body.decode(), strict_parsing=True))


def login(scope: str | None = None, **parameters: Any) -> Login:
    """Return a login with a fixed key."""
    return Login(ADA, "123456", scope=scope, **{"key": KEY, **parameters})


# Start.


def test_start_is_one_request_without_a_proof(tenant: Tenant, clock: Clock) -> None:
    """Start sends once, without a proof, and the receipt's time is that of sending."""
    flow = start(tenant, ADA, language="de")
    request = next(flow)
    assert ("POST", "https://tenant.example/passwordless/start") == (request.method, str(request.url))
    assert "DPoP" not in request.headers
    clock.time += 5
    receipt = end(flow, answer(200, {}))
    assert (ADA, NOW) == (receipt.who, receipt.sent_at)


def test_start_leaves_nonces_alone(tenant: Tenant) -> None:
    """No proof was sent, so what the answer says of nonces is not about one."""
    flow = start(tenant, Phone("+4930901820"))
    next(flow)
    end(flow, answer(200, {}, nonce="n1"))
    assert tenant.nonces.get("https://tenant.example") is None


def test_start_raises_what_the_service_says(tenant: Tenant) -> None:
    """A refusal is raised; nothing is sent again, not even for a nonce challenge."""
    for response in (answer(429, {}), answer(400, CHALLENGE, nonce="n1")):
        flow = start(tenant, ADA)
        next(flow)
        with pytest.raises(OAuthError):
            flow.send(response)


def test_start_refuses_before_it_sends(tenant: Tenant) -> None:
    """A wrong argument is refused before there is a request."""
    with pytest.raises(UsageError):
        next(start(tenant, ADA, captcha=""))


# Exchange: what is sent.


def test_an_exchange_is_one_request_with_a_proof(tenant: Tenant) -> None:
    """A server that wants no nonce is sent one request; the proof is for it and without ath."""
    flow = exchange(tenant, login())
    request = next(flow)
    assert ("POST", TOKEN_URL) == (request.method, str(request.url))
    assert ("ada@example.com", "123456", "email") == tuple(form(request)[name] for name in ("username", "otp", "realm"))
    claims = proof(request)
    assert {"htm": "POST", "htu": TOKEN_URL} == {name: claims[name] for name in ("htm", "htu")}
    assert {"htm", "htu", "iat", "jti"} == claims.keys()
    tokens = end(flow, answer(200, TOKENS))
    expected = TokenSet("opaque", "DPoP", int(NOW) + 86400, "", None, None, None, KEY)
    whose = {"jkt": KEY.thumbprint, "issuer": "https://tenant.example/", "client_id": "client"}
    assert attrs.evolve(expected, **whose) == tokens


def test_a_full_answer_becomes_tokens(tenant: Tenant) -> None:
    """Everything the service granted is in the tokens, with the validated claims."""
    flow = exchange(tenant, login("openid offline_access email"))
    assert JWKS_URL == str(next(flow).url)
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
    assert ("ada", "ada@example.com") == (tokens.claims["sub"], tokens.claims["email"])


def test_a_key_is_made_for_each_login(tenant: Tenant) -> None:
    """Two logins without a key of their own are bound to two keys; the proof is by the key that comes back."""
    made = []
    for _ in range(2):
        flow = exchange(tenant, login(key=None))
        header = json.loads(base64.urlsafe_b64decode(next(flow).headers["DPoP"].split(".")[0] + "=="))
        tokens = end(flow, answer(200, TOKENS))
        assert header["jwk"] == tokens.key.to_jwk()
        made.append(tokens.key)
    assert made[0] != made[1]


def test_a_confidential_client_sends_its_secret_each_time(tenant: Tenant) -> None:
    """Client authentication and the end user's address go with both transmissions."""
    tenant = Tenant(Application("tenant.example", "client", ClientSecretPost("s3cret")))
    flow = exchange(tenant, login(), forwarded_for=ipaddress.ip_address("203.0.113.7"))
    requests = [next(flow), flow.send(answer(400, CHALLENGE, nonce="n1"))]
    assert ["s3cret"] * 2 == [form(request)["client_secret"] for request in requests]
    assert ["203.0.113.7"] * 2 == [request.headers["auth0-forwarded-for"] for request in requests]


def test_an_address_for_a_public_client_is_refused_before_anything_is_sent(tenant: Tenant) -> None:
    """A wrong argument is refused before even the signing keys are fetched."""
    flow = exchange(tenant, login("openid"), forwarded_for=ipaddress.ip_address("203.0.113.7"))
    with pytest.raises(UsageError) as refused:
        next(flow)
    assert "forwarded_for" == refused.value.argument


def test_expiry_counts_from_before_the_request(tenant: Tenant, clock: Clock) -> None:
    """RFC 6749 §5.1: the lifetime counts from the answer; from before the request is on the safe side."""
    flow = exchange(tenant, login())
    next(flow)
    clock.time += 30
    flow.send(answer(400, CHALLENGE, nonce="n1"))
    clock.time += 30
    tokens = end(flow, answer(200, TOKENS))
    assert (int(NOW) + 86400, int) == (tokens.expires_at, type(tokens.expires_at))


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
    assert expected == end(flow, answer(200, {**TOKENS, "scope": granted})).scope


# Exchange: the nonce.


@pytest.mark.parametrize("challenge", [CHALLENGE, {"error": "invalid_dpop_nonce"}, REFUSED_PROOF])
def test_a_challenge_is_answered_once(tenant: Tenant, challenge: dict[str, str]) -> None:
    """Rules 3, 12, 13: the second transmission has the nonce, a new jti and signature, and the same code."""
    flow = exchange(tenant, login())
    first = next(flow)
    second = flow.send(answer(400, challenge, nonce="n1"))
    one, two = proof(first), proof(second)
    assert (None, "n1") == (one.get("nonce"), two["nonce"])
    assert one["jti"] != two["jti"]
    assert form(first) == form(second)
    assert first is not second
    assert first.headers["DPoP"] != second.headers["DPoP"]
    assert "opaque" == end(flow, answer(200, TOKENS)).access_token


def test_the_nonce_is_remembered(tenant: Tenant) -> None:
    """One challenge teaches all: the next login brings the nonce at once."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(400, CHALLENGE, nonce="n1"))
    end(flow, answer(200, TOKENS))
    assert "n1" == proof(next(exchange(tenant, login())))["nonce"]


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
    assert "n2" == tenant.nonces.get("https://tenant.example")


def test_the_answer_to_the_retry_teaches_too(tenant: Tenant) -> None:
    """Rule 8: a nonce that rotates with the retried answer is the one to use next."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(400, CHALLENGE, nonce="n1"))
    end(flow, answer(200, TOKENS, nonce="n2"))
    assert "n2" == tenant.nonces.get("https://tenant.example")


def test_a_second_challenge_is_an_error(tenant: Tenant) -> None:
    """Rule 12: exactly two requests; a second challenge, though its nonce be new, is not answered."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(400, CHALLENGE, nonce="n1"))
    with pytest.raises(NonceChallengeRepeated) as refused:
        flow.send(answer(400, CHALLENGE, nonce="n2"))
    expected = "use_dpop_nonce (400): the server challenged again after its own nonce was used"
    assert expected == str(refused.value)
    assert "n2" == tenant.nonces.get("https://tenant.example")


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
    assert expected == str(refused.value)


def test_two_nonces_are_none(tenant: Tenant) -> None:
    """Rule 9: a challenge with two DPoP-Nonce fields gives none."""
    response = answer(400, CHALLENGE, nonce="n1")
    response.headers.add("DPoP-Nonce", "n2")
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
    assert "n1" == tenant.nonces.get("https://tenant.example")
    assert "n1" == proof(slow.send(answer(400, CHALLENGE, nonce="n1")))["nonce"]
    assert "opaque" == end(slow, answer(200, TOKENS)).access_token


def test_the_retry_uses_the_nonce_of_its_own_challenge(tenant: Tenant) -> None:
    """Rule 11: the nonce that came with the challenge is the answer to it, whatever a sibling has learned."""
    slow, quick = exchange(tenant, login()), exchange(tenant, login())
    next(slow)
    next(quick)
    quick.send(answer(400, CHALLENGE, nonce="newer"))
    assert "older" == proof(slow.send(answer(400, CHALLENGE, nonce="older")))["nonce"]
    assert "newer" == tenant.nonces.get("https://tenant.example")


def test_nonces_are_ordered_by_sending(tenant: Tenant) -> None:
    """Rule 10: an answer that was overtaken does not put its older nonce back."""
    slow, quick = exchange(tenant, login()), exchange(tenant, login())
    next(slow)
    next(quick)
    end(quick, answer(200, TOKENS, nonce="newer"))
    end(slow, answer(200, TOKENS, nonce="older"))
    assert "newer" == tenant.nonces.get("https://tenant.example")


def test_a_hundred_siblings_each_send_twice_at_most(tenant: Tenant) -> None:
    """Rules 11, 12: a hundred cold logins in flight at once all succeed, with two hundred different proofs."""
    flows = [exchange(tenant, login()) for _ in range(100)]
    proofs = [next(flow).headers["DPoP"] for flow in flows]
    proofs += [flow.send(answer(400, CHALLENGE, nonce=f"n{n // 50}")).headers["DPoP"] for n, flow in enumerate(flows)]
    assert ["opaque"] * 100 == [end(flow, answer(200, TOKENS, nonce="n9")).access_token for flow in flows]
    assert 200 == len(set(proofs))


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
    assert "n1" == tenant.nonces.get("https://tenant.example")


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (answer(403, WRONG), WrongCode),
        (answer(429, {}), RateLimited),
        (answer(400, {"error": "something"}), OAuthError),
        (answer(401, CHALLENGE, nonce="n1"), OAuthError),
        (answer(400, CHALLENGE, nonce="n1", content_type="text/html"), MalformedAnswer),
        (answer(403, b"<html>", content_type="text/html"), MalformedAnswer),
        (answer(302, b""), MalformedAnswer),
        (answer(204, b""), MalformedAnswer),
        (answer(200, b"junk"), MalformedAnswer),
        (answer(200, {}), MalformedAnswer),
    ],
)
def test_a_refusal_is_final(tenant: Tenant, response: HttpResponse, kind: type[Exception]) -> None:
    """A code is sent again in answer to a challenge alone."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(kind):
        flow.send(response)


@pytest.mark.parametrize("failure", [NotSent("no route"), OutcomeUnknown("time-out")])
def test_a_failure_of_the_network_is_handed_on(tenant: Tenant, failure: Exception) -> None:
    """What the shell could not send, or has no answer to, is raised as it is; nothing is sent again."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(type(failure)) as raised:
        flow.throw(failure)
    assert failure is raised.value


@pytest.mark.parametrize("key", [{"kty": "EC"}, "key", 5, DPoPKey])
def test_a_key_that_is_none_is_refused_before_anything_is_sent(key: object) -> None:
    """A wrong key is refused by name."""
    with pytest.raises(UsageError) as refused:
        login("openid", key=key)
    assert "key" == refused.value.argument


# Exchange: the binding.


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", None, "", "N_A"])
def test_a_bearer_answer_is_thrown_away(tenant: Tenant, token_type: str | None) -> None:
    """Rule 17, RFC 9449 §5: a proof was sent and the token is not bound."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(NotSenderConstrained) as refused:
        flow.send(answer(200, {**TOKENS, "token_type": token_type, "access_token": access_token(KEY.thumbprint)}))
    assert "a proof was sent and token_type is not DPoP: the token would serve any thief" == str(refused.value)


@pytest.mark.parametrize("jkt", [None, DPoPKey.generate().thumbprint, ""], ids=["none", "another", "empty"])
def test_a_token_bound_to_another_key_is_thrown_away(tenant: Tenant, jkt: str | None) -> None:
    """Rule 17, RFC 9449 §6.1: cnf.jkt of a JWT access token is the thumbprint of the key that was proven."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(NotSenderConstrained) as refused:
        flow.send(answer(200, {**TOKENS, "access_token": access_token(jkt)}))
    assert "cnf.jkt of the access token is not the thumbprint of the key" == str(refused.value)


@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "DPOP"])
@pytest.mark.parametrize(
    "token", ["opaque", "opaque.twice", "eyJhbGciOiJkaXIifQ..iv.ciphertext.tag", access_token(KEY.thumbprint)]
)
def test_a_bound_token_is_kept(tenant: Tenant, token: str, token_type: str) -> None:
    """The type is compared without regard to case; a token that is opaque or encrypted cannot be looked into."""
    flow = exchange(tenant, login())
    next(flow)
    tokens = end(flow, answer(200, {**TOKENS, "access_token": token, "token_type": token_type}))
    assert (token, token_type) == (tokens.access_token, tokens.token_type)


def test_an_unbound_token_is_refused_before_keys_are_fetched(tenant: Tenant) -> None:
    """The binding is checked before anything else is done for the answer."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(NotSenderConstrained):
        flow.send(answer(200, {**TOKENS, "token_type": "Bearer", "id_token": id_token()}))


# Exchange: the ID token and its keys.


def test_keys_come_before_the_code(tenant: Tenant) -> None:
    """A code is spent once sent: what the answer is checked with is fetched first, without a proof or a secret."""
    flow = exchange(tenant, login("profile openid"))
    request = next(flow)
    assert ("GET", JWKS_URL, {}, b"", True) == (
        request.method,
        str(request.url),
        request.headers,
        request.body,
        request.shareable,
    )
    assert TOKEN_URL == str(flow.send(jwks("k1")).url)
    assert "ada" == end(flow, answer(200, TOKENS | {"id_token": id_token()})).claims["sub"]


def test_keys_are_fetched_once(tenant: Tenant) -> None:
    """The second login finds the keys and goes straight to the code."""
    flow = exchange(tenant, login("openid"))
    next(flow)
    flow.send(jwks("k1"))
    end(flow, answer(200, TOKENS | {"id_token": id_token()}))
    flow = exchange(tenant, login("openid"))
    assert TOKEN_URL == str(next(flow).url)
    assert "ada" == end(flow, answer(200, TOKENS | {"id_token": id_token()})).claims["sub"]


@pytest.mark.parametrize("scope", [None, "profile", "openids", "xopenid openid2"])
def test_keys_are_not_fetched_for_nothing(tenant: Tenant, scope: str | None) -> None:
    """Where no ID token was asked for, the code goes at once."""
    assert TOKEN_URL == str(next(exchange(tenant, login(scope))).url)


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (answer(503, b""), "the signing keys cannot be read (status 503)"),
        (answer(404, {}), "the signing keys cannot be read (status 404)"),
        (answer(200, {"keys": []}), "the key set has no RSA or P-256 key for signatures (status 200)"),
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
    assert expected == str(refused.value)
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


def test_a_new_key_is_fetched(tenant: Tenant) -> None:
    """A kid that is not known has the key set fetched again, however young the set is."""
    tenant.keys.learn(jwks("k1"))
    flow = exchange(tenant, login("openid"))
    next(flow)
    request = flow.send(answer(200, TOKENS | {"id_token": id_token("k2")}))
    assert (JWKS_URL, True) == (str(request.url), request.shareable)
    assert "ada" == end(flow, jwks("k1", "k2")).claims["sub"]


FOUND = jwks("k1")


@pytest.mark.parametrize("outcome", [FOUND, answer(503), NotSent("no route"), None])
def test_a_flood_of_unknown_keys_costs_one_fetch(tenant: Tenant, clock: Clock, outcome: Any) -> None:
    """After a search the next comes a minute after its start; after one that failed, a second after its end."""
    tenant.keys.learn(jwks("k1"))
    flow = searching(tenant, "k2")
    clock.time += 59
    expected: type[Exception] = InvalidIdToken
    if outcome is None:
        tenant.keys.search_ended()  # as the client does when the fetch ends before those who wait for it go on
    elif outcome is FOUND:
        with pytest.raises(InvalidIdToken):
            flow.send(outcome)
    else:
        expected = OutcomeUnknown
        with pytest.raises(OutcomeUnknown):
            flow.send(outcome) if isinstance(outcome, HttpResponse) else flow.throw(outcome)
    for kid in ("k2", "k3"):
        flow = exchange(tenant, login("openid"))
        next(flow)
        with pytest.raises(expected):
            flow.send(answer(200, TOKENS | {"id_token": id_token(kid)}))
    clock.time += 1
    searching(tenant, "k2")


def test_a_refresh_goes_on_where_the_keys_cannot_be_had(tenant: Tenant) -> None:
    """The new refresh token is not thrown away for want of a key: the ID token is left out, the user stays the same."""
    tenant.keys.learn(jwks("k1"))
    flow = exchange(tenant, login())
    next(flow)
    tokens = end(flow, answer(200, TOKENS | {"id_token": id_token("k1")}))
    flow = refresh(tenant, attrs.evolve(tokens, refresh_token=Secret("rt1")))
    next(flow)
    flow.send(answer(200, TOKENS | {"id_token": id_token("k9"), "refresh_token": "rt2"}))
    renewed = end(flow, answer(503))
    assert ("rt2", tokens.claims["sub"], tokens.id_token) == (
        renewed.refresh_token,
        renewed.claims["sub"],
        renewed.id_token,
    )


def test_those_who_come_during_a_fetch_share_it(tenant: Tenant) -> None:
    """Rotation under load: whoever comes with the new key while it is fetched waits for the same answer."""
    tenant.keys.learn(jwks("k1"))
    flows = [searching(tenant, "k2") for _ in range(3)]
    shared = jwks("k1", "k2")
    for flow in flows:
        assert "ada" == end(flow, shared).claims["sub"]


def searching(tenant: Tenant, kid: str) -> Flow[TokenSet]:
    """Return a login whose ID token is by an unknown key, at the point where the key set is fetched."""
    flow = exchange(tenant, login("openid"))
    next(flow)
    assert JWKS_URL == str(flow.send(answer(200, TOKENS | {"id_token": id_token(kid)})).url)
    return flow


DAY = 86_400


def test_keys_are_renewed_before_the_code_when_they_are_a_day_old(tenant: Tenant, clock: Clock) -> None:
    """A key that was withdrawn is trusted for a day at most, and the code waits for the new ones."""
    tenant.keys.learn(jwks("k1"))
    clock.time += DAY - 1
    assert TOKEN_URL == str(next(exchange(tenant, login("openid"))).url)
    clock.time += 1
    flow = exchange(tenant, login("openid"))
    assert JWKS_URL == str(next(flow).url)
    assert TOKEN_URL == str(flow.send(jwks("k2")).url)
    assert (None, False) == (tenant.keys.get("k1"), tenant.keys.due)


@pytest.mark.parametrize(
    "failure", [answer(503), answer(200, b"junk"), NotSent("no route"), OutcomeUnknown("time-out")]
)
def test_an_outage_is_survived_for_three_days(tenant: Tenant, clock: Clock, failure: Any) -> None:
    """While the endpoint fails the keys serve on, and one login a minute asks; then no code is sent."""
    tenant.keys.learn(jwks("k1"))
    clock.time += 3 * DAY - 61
    fail = (
        (lambda flow: flow.send(failure)) if isinstance(failure, HttpResponse) else (lambda flow: flow.throw(failure))
    )
    flow = exchange(tenant, login("openid"))
    assert JWKS_URL == str(next(flow).url)
    assert TOKEN_URL == str(next(exchange(tenant, login("openid"))).url)
    assert TOKEN_URL == str(fail(flow).url)
    signed = id_token(exp=int(clock.time) + 60, iat=int(clock.time))
    assert "ada" == end(flow, answer(200, TOKENS | {"id_token": signed})).claims["sub"]
    clock.time += 61
    for _ in range(2):
        flow = exchange(tenant, login("openid"))
        next(flow)
        with pytest.raises(NotSent):
            fail(flow)
    assert tenant.keys.get("k1") is None


def test_the_key_is_for_its_algorithm(tenant: Tenant) -> None:
    """RFC 7517 §4.4: a key that is for PS256 has not signed RS256."""
    tenant.keys.learn(answer(200, {"keys": [{**SIGNING_KEY.as_dict(private=False), "alg": "PS256"}]}))
    flow = exchange(tenant, login("openid"))
    next(flow)
    with pytest.raises(InvalidIdToken) as refused:
        flow.send(answer(200, TOKENS | {"id_token": id_token()}))
    assert "ID token, alg: is not one that the key is for" == str(refused.value)


def test_max_age_needs_an_id_token(tenant: Tenant) -> None:
    """To leave the ID token out is no way around a check that was asked for."""
    tenant.keys.learn(jwks("k1"))
    flow = exchange(tenant, login("openid", max_age=60))
    next(flow)
    with pytest.raises(InvalidIdToken) as refused:
        flow.send(answer(200, TOKENS))
    assert "ID token, auth_time: is missing: there is no ID token" == str(refused.value)


@pytest.mark.parametrize("parameters", [{"scope": None}, {"scope": "profile"}, {"scope": "openid", "max_age": 0}])
def test_max_age_is_checked_before_anything_is_sent(parameters: dict[str, Any]) -> None:
    """It needs the scope openid, and is a number of seconds."""
    with pytest.raises(UsageError) as refused:
        login(**{"max_age": 60, **parameters})
    assert "max_age" == refused.value.argument


def test_a_key_that_is_still_unknown_is_refused(tenant: Tenant) -> None:
    """A kid that the fetched set has not is refused."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(200, TOKENS | {"id_token": id_token("k2")}))
    with pytest.raises(InvalidIdToken) as refused:
        flow.send(jwks("k1"))
    assert "kid" == refused.value.claim


def test_an_id_token_that_was_not_asked_for_is_validated_too(tenant: Tenant) -> None:
    """Whatever comes back is checked: the keys are fetched afterwards where they are not known."""
    flow = exchange(tenant, login("profile"))
    next(flow)
    assert JWKS_URL == str(flow.send(answer(200, TOKENS | {"id_token": id_token()})).url)
    assert "ada" == end(flow, jwks("k1")).claims["sub"]


@pytest.mark.parametrize("failure", [NotSent("no route"), OutcomeUnknown("time-out")])
def test_keys_that_cannot_be_had_after_the_code(tenant: Tenant, failure: Exception) -> None:
    """The code is spent: that the request for the keys was not sent must not say that it may be sent again."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(200, TOKENS | {"id_token": id_token()}))
    with pytest.raises(OutcomeUnknown) as refused:
        flow.throw(failure)
    expected = f"tokens came, and the keys to check their ID token could not be fetched: {failure}"
    assert expected == str(refused.value)
    assert not refused.value.retryable
    assert refused.value.__context__ is None


def test_malformed_keys_after_the_code(tenant: Tenant) -> None:
    """A key set that cannot be read says nothing against the ID token: nobody knows, and nothing is given up."""
    flow = exchange(tenant, login())
    next(flow)
    flow.send(answer(200, TOKENS | {"id_token": id_token(), "refresh_token": "rt"}))
    with pytest.raises(OutcomeUnknown, match="the signing keys cannot be read"):
        flow.send(answer(500))


def test_a_malformed_answer_is_given_up(tenant: Tenant) -> None:
    """The refresh token in it would live on at the service: it is revoked before the error is raised."""
    flow = exchange(tenant, login())
    next(flow)
    request = flow.send(answer(200, TOKENS | {"expires_in": "soon", "refresh_token": "rt"}))
    assert "/oauth/revoke" == request.url.path
    with pytest.raises(MalformedAnswer, match="expires_in"):
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
        ("", None),
    ],
)
def test_a_bad_id_token_spoils_the_answer(tenant: Tenant, token: str, claim: str | None) -> None:
    """No tokens come of an answer whose ID token fails a check, with the clock of the moment."""
    tenant.keys.learn(jwks("k1"))
    flow = exchange(tenant, login("openid"))
    next(flow)
    with pytest.raises(InvalidIdToken if claim else MalformedAnswer) as refused:
        flow.send(answer(200, TOKENS | {"id_token": token}))
    assert claim == getattr(refused.value, "claim", None)


def test_no_id_token_means_no_claims(tenant: Tenant) -> None:
    """A server that grants no openid sends no ID token, and that is no error."""
    tenant.keys.learn(jwks("k1"))
    flow = exchange(tenant, login("openid"))
    next(flow)
    tokens = end(flow, answer(200, TOKENS | {"scope": ""}))
    assert (None, None, "") == (tokens.id_token, tokens.claims, tokens.scope)
