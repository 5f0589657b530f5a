"""The grants: what they share, and each grant type."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from helpers.tenant_wire import (
    ABSENT,
    ADA,
    Opener,
    Wire,
    ask_and_follow,
    challenge_factor,
    claims_of,
    exchange_database,
    follow_link,
    list_factors,
    log_in_offline,
    open_auth_session,
    redeem_code,
    stop_at_mfa,
)
from passwordless_async.auth0.identity import Phone
from passwordless_async.testing import (
    BOUND_API,
    PLAIN_API,
    STRICT_API,
    Fault,
)
from passwordless_async.testing.grants import verifies

BLOCKED = (401, "unauthorized", "user is blocked")


async def test_a_blocked_user(warm: Wire) -> None:
    """The right code of a blocked user is refused; a refresh too; after the block is lifted a new code passes."""
    token = (await warm.exchange(scope="offline_access")).json["refresh_token"]
    await warm.start()
    warm.tenant.users.block(ADA)

    assert (await warm.exchange()).words == BLOCKED
    assert (await warm.refresh(token)).words == BLOCKED
    warm.tenant.users.unblock(ADA)
    await warm.start()
    assert (await warm.exchange()).status == 200
    assert (await warm.refresh(token)).status == 200


async def test_a_user_who_is_added_blocked(warm: Wire) -> None:
    """A block can come with the account; a wrong code does not reveal it."""
    warm.tenant.users.add(ADA, blocked=True)

    assert (await warm.exchange(otp="x")).words[1] == "invalid_grant"
    assert (await warm.exchange()).words == BLOCKED


async def test_too_many_failures(wire_for: Opener) -> None:
    """After so many wrong codes in a row, over several codes, even the right one is refused, until it is lifted."""
    wire = await wire_for(failures_before_block=4, public_nonce_required=False)
    for _ in range(2):
        await wire.start()
        for _ in range(2):
            assert (await wire.exchange(otp="x")).words[:2] == (403, "invalid_grant")

    answer = await wire.exchange()

    assert answer.words[:2] == (429, "too_many_attempts")
    assert "blocked after multiple consecutive login attempts" in answer.words[2]
    assert wire.tenant.stats.codes_presented == 4
    wire.tenant.users.unblock(ADA)
    assert (await wire.exchange()).status == 200


async def test_a_right_code_forgives(wire_for: Opener) -> None:
    """Failures count in a row; those of another user do not count."""
    wire = await wire_for(failures_before_block=2, public_nonce_required=False)
    for _ in range(3):
        await wire.start()
        assert (await wire.exchange(otp="x")).status == 403
        assert (await wire.exchange(otp="x", username="bob@example.com")).status in (403, 429)
        assert (await wire.exchange()).status == 200


async def test_settings_for_what_is_undocumented(wire_for: Opener) -> None:
    """``redirect_uri``, ``resource``, the scope of the response and the spelling of the type are settings."""
    wire = await wire_for(redirect_uri_required=True, resource_parameter=True, scope_in_answer=False, token_type="dpop")

    assert (await wire.login()).words[:2] == (400, "invalid_request")
    answer = await wire.exchange(redirect_uri="https://app.example/cb", resource=BOUND_API)
    assert answer.json["token_type"] == "dpop"
    assert "scope" not in answer.json
    assert BOUND_API in claims_of(answer.json["access_token"])["aud"]


@pytest.fixture
async def warm_session(warm: Wire) -> str:
    """Open an ``auth_session`` with a code that was sent."""
    return await open_auth_session(warm)


async def test_a_login(warm: Wire, warm_session: str) -> None:
    """The session and the code yield the tokens of the database user, bound to the key."""
    answer = await exchange_database(warm, warm_session, scope="openid offline_access", audience=BOUND_API)

    assert answer.status == 200
    assert answer.json["token_type"] == "DPoP"
    userinfo = (await warm.userinfo(answer.json["access_token"])).json
    assert userinfo["sub"].startswith("auth0|")
    assert userinfo["email"] == ADA.address
    renewed = (await warm.refresh(answer.json["refresh_token"])).json
    assert (await warm.userinfo(renewed["access_token"])).json["sub"] == userinfo["sub"]


async def test_a_nonce_challenge_leaves_the_auth_session(wire: Wire) -> None:
    """The grant is challenged as any other and not spent."""
    session = await open_auth_session(wire)

    assert (await exchange_database(wire, session)).words[1] == "use_dpop_nonce"
    assert (await exchange_database(wire, session)).status == 200


async def test_malformed_grants(warm: Wire, warm_session: str) -> None:
    """The session takes the place of username and realm, and needs its code."""
    assert (await warm.exchange(auth_session=warm_session)).words[:2] == (400, "invalid_request")
    assert (await exchange_database(warm, warm_session, otp=ABSENT)).words[:2] == (400, "invalid_request")
    assert (await exchange_database(warm, warm_session)).status == 200


async def test_a_second_factor_follows(warm: Wire, warm_session: str) -> None:
    """A database login is asked for the second factor as any other."""
    warm.tenant.users.add(ADA, mfa=["otp"])

    stopped = await exchange_database(warm, warm_session)
    answer = await warm.mfa("otp", stopped.json["mfa_token"], otp=warm.tenant.mfa.otp_for(ADA))

    assert (await warm.userinfo(answer.json["access_token"])).json["sub"].startswith("auth0|")


async def test_a_bound_login(wire: Wire) -> None:
    """An API's access token is a JWT whose ``cnf.jkt`` is the key's thumbprint; the ID token is about the user."""
    answer = await wire.login(scope="openid offline_access", audience=BOUND_API)
    keys = KeySet.import_key_set((await wire.send("GET", "/.well-known/jwks.json")).json)

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["token_type"] == "DPoP"
    assert answer.json["expires_in"] == 86_400
    assert answer.json["scope"] == "openid offline_access"
    assert answer.json["refresh_token"]
    access = jwt.decode(answer.json["access_token"], keys, algorithms=["RS256"]).claims
    assert access["cnf"] == {"jkt": wire.thumbprint}
    assert BOUND_API in access["aud"]
    identity = jwt.decode(answer.json["id_token"], keys, algorithms=["RS256"]).claims
    assert identity["iss"] == wire.tenant.url + "/"
    assert identity["aud"] == wire.tenant.public_client_id
    assert identity["email"] == ADA.address
    assert identity["sub"] == access["sub"]
    assert identity["sub"].startswith("email|")
    assert identity["sid"]
    assert identity["exp"] - identity["iat"] == 36_000
    assert abs(identity["iat"] - time.time()) < 5


async def test_a_login_by_phone(wire: Wire) -> None:
    """The sms realm yields a phone number, and has its own words for a wrong code."""
    phone = Phone("+4930901820")
    client_id, secret = wire.tenant.confidential_client
    await wire.start(connection="sms", phone_number=phone.number)
    members = {"client_id": client_id, "client_secret": secret, "username": phone.number, "realm": "sms"}

    wrong = await wire.exchange(otp="1", **members)
    right = await wire.exchange(otp=wire.tenant.outbox.code_for(phone), **members)

    assert wrong.words == (403, "invalid_grant", "Wrong phone number or verification code.")
    assert claims_of(right.json["id_token"])["phone_number"] == phone.number


CALLBACK = "https://app.example/callback"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}


async def test_from_the_message_to_tokens(warm: Wire) -> None:
    """The link leads to the callback with code and state; the code yields what ``authParams`` asked for."""
    params = {
        "scope": "openid email offline_access",
        "audience": BOUND_API,
        "state": "a b&c",
        "nonce": "n-0S6",
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "max_age": 60,
        "dpop_jkt": warm.thumbprint,
        **PKCE,
    }
    assert (await warm.start(send="link", authParams=params)).status == 200
    message = warm.tenant.outbox.messages[-1]
    assert message.link == warm.tenant.outbox.link_for(ADA)
    assert message.link not in repr(message)

    where, result = await follow_link(warm)
    answer = await redeem_code(warm, result["code"], redirect_uri=CALLBACK, code_verifier=VERIFIER)

    assert where == CALLBACK
    assert result.keys() == {"code", "state"}
    assert result["state"] == "a b&c"
    assert answer.json["token_type"] == "DPoP"
    assert answer.json["scope"] == "openid email offline_access"
    assert claims_of(answer.json["access_token"])["cnf"] == {"jkt": warm.thumbprint}
    identity = claims_of(answer.json["id_token"])
    assert identity["nonce"] == "n-0S6"
    assert identity["iat"] - 5 <= identity["auth_time"] <= identity["iat"]
    assert identity["email"] == ADA.address
    renewed = (await warm.refresh(answer.json["refresh_token"])).json
    assert "nonce" not in claims_of(renewed["id_token"])


INVALID_CODE = (403, "invalid_grant", "Invalid authorization code")


async def test_an_authorization_code_passes_once(warm: Wire) -> None:
    """A used code, an unknown one and one that is a minute old are refused."""
    code = (await ask_and_follow(warm))["code"]
    assert (await redeem_code(warm, code)).status == 200
    assert (await redeem_code(warm, code)).words == INVALID_CODE
    old = (await ask_and_follow(warm))["code"]
    warm.tenant.clock.advance(60)

    for dead in ("guess", old):
        assert (await redeem_code(warm, dead)).words == INVALID_CODE
    assert (await redeem_code(warm, ABSENT)).words[:2] == (400, "invalid_request")


async def test_a_code_of_another_application(warm: Wire) -> None:
    """A code is the application's that asked for the link."""
    code = (await ask_and_follow(warm))["code"]
    client_id, secret = warm.tenant.confidential_client

    assert (await redeem_code(warm, code, client_id=client_id, client_secret=secret)).words == INVALID_CODE
    assert (await redeem_code(warm, code)).status == 200


VERIFIERS = [
    (PKCE, VERIFIER, 200),
    (PKCE, ABSENT, 403),
    (PKCE, "x" * 43, 403),
    (PKCE, CHALLENGE, 403),
    ({}, VERIFIER, 403),
    ({}, ABSENT, 200),
]


@pytest.mark.parametrize(("params", "verifier", "status"), VERIFIERS)
async def test_verifiers(warm: Wire, params: dict[str, str], verifier: str, status: int) -> None:
    """RFC 7636 §4.6: the verifier of the challenge passes; none, another, and one without a challenge do not."""
    code = (await ask_and_follow(warm, **params))["code"]

    answer = await redeem_code(warm, code, code_verifier=verifier)

    assert answer.status == status
    if status == 403:
        assert answer.words[1:] == ("invalid_grant", "Failed to verify code verifier")


@pytest.mark.parametrize(
    ("given", "repeated", "status"),
    [
        (CALLBACK, CALLBACK, 200),
        (CALLBACK, ABSENT, 403),
        (CALLBACK, "https://other.example/", 403),
        (ABSENT, CALLBACK, 200),
        (ABSENT, "https://other.example/", 403),
        (ABSENT, ABSENT, 200),
    ],
)
async def test_the_redirect_uri_is_repeated(warm: Wire, given: str, repeated: str, status: int) -> None:
    """RFC 6749 §4.1.3: what was said at the start must be said again."""
    code = (await ask_and_follow(warm, **({} if given is ABSENT else {"redirect_uri": given})))["code"]

    assert (await redeem_code(warm, code, redirect_uri=repeated)).status == status


async def test_a_code_that_is_bound(warm: Wire) -> None:
    """RFC 9449 §10: a proof by another key than ``dpop_jkt`` names is refused, and so is none; the code is unspent."""
    code = (await ask_and_follow(warm, dpop_jkt=warm.thumbprint))["code"]
    right, warm.key = warm.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await redeem_code(warm, code)).words[2] == "DPoP proof thumbprints don't match"
    form = {"grant_type": "authorization_code", "client_id": warm.tenant.public_client_id, "code": code}
    assert (await warm.token(form, proof=None)).words[1] == "invalid_dpop_proof"
    warm.key = right
    assert (await redeem_code(warm, code)).status == 200


async def test_the_policy_of_the_api(warm: Wire) -> None:
    """The API that the link was asked for decides whether a proof is needed."""
    code = (await ask_and_follow(warm, audience=STRICT_API))["code"]
    form = {"grant_type": "authorization_code", "client_id": warm.tenant.public_client_id, "code": code}

    assert "requires the use of DPoP" in (await warm.token(form, proof=None)).words[2]
    assert (await warm.token(form)).json["token_type"] == "DPoP"


SCOPE = "openid email offline_access"


async def test_a_refresh(wire: Wire) -> None:
    """By the same key it yields new tokens for the same scope and audience, and the ID token of the same login."""
    login = await log_in_offline(wire)

    answer = await wire.refresh(login["refresh_token"])

    assert answer.status == 200
    assert answer.headers["DPoP-Nonce"]
    assert answer.json["token_type"] == "DPoP"
    assert answer.json["scope"] == SCOPE
    assert answer.json["refresh_token"] != login["refresh_token"]
    assert answer.json["access_token"] != login["access_token"]
    access, identity = claims_of(answer.json["access_token"]), claims_of(answer.json["id_token"])
    assert access["cnf"] == {"jkt": wire.thumbprint}
    assert BOUND_API in access["aud"]
    assert identity["sub"] == claims_of(login["id_token"])["sub"]
    assert (await wire.userinfo(answer.json["access_token"])).status == 200


OTHER_KEY = "DPoP proof thumbprints don't match"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("invalid_dpop_proof", (400, "invalid_dpop_proof", OTHER_KEY)),
        ("invalid_grant", (403, "invalid_grant", OTHER_KEY)),
    ],
)
async def test_another_key(wire_for: Opener, error: str, words: tuple[int, str, str]) -> None:
    """A proof by another key is refused before the token is spent; so is none."""
    wire = await wire_for(other_key_error=error)
    token = (await log_in_offline(wire))["refresh_token"]
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await wire.refresh(token)).words == words
    assert (await wire.refresh(token, proof=None)).words == (400, "invalid_dpop_proof", "DPoP proof is missing")
    wire.key = right
    assert (await wire.refresh(token)).status == 200


async def test_a_thief_without_the_key_cannot_end_the_family(wire: Wire) -> None:
    """Reuse by another key is refused for the key, and the family lives."""
    old = (await log_in_offline(wire))["refresh_token"]
    new = (await wire.refresh(old)).json["refresh_token"]
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await wire.refresh(old)).words[2] == OTHER_KEY
    wire.key = right
    assert (await wire.refresh(new)).status == 200


async def test_a_refresh_token_of_a_plain_api_may_be_bound(wire_for: Opener) -> None:
    """Undocumented: where the proof is checked, its key binds the refresh token of a Bearer token too."""
    wire = await wire_for(unused_proof="checked")
    login = await log_in_offline(wire, audience=PLAIN_API)
    assert login["token_type"] == "Bearer"
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)

    assert (await wire.refresh(login["refresh_token"])).words[2] == OTHER_KEY
    wire.key = right
    assert (await wire.refresh(login["refresh_token"])).json["token_type"] == "Bearer"


async def test_a_login_without_a_proof(wire: Wire) -> None:
    """An unbound refresh token needs no proof."""
    await wire.start()
    login = (await wire.exchange(proof=None, scope=SCOPE)).json

    answer = await wire.refresh(login["refresh_token"], proof=None)
    assert answer.json["token_type"] == "Bearer"


@pytest.mark.parametrize(
    ("asked", "excess", "status", "granted"),
    [
        ("openid", "refused", 200, "openid"),
        ("email offline_access", "refused", 200, "email offline_access"),
        ("", "refused", 200, SCOPE),
        ("openid phone", "refused", 400, None),
        ("openid phone", "dropped", 200, "openid"),
        ("phone", "dropped", 200, SCOPE),
    ],
)
async def test_less_scope(wire_for: Opener, asked: str, excess: str, status: int, granted: str | None) -> None:
    """A refresh may ask for less; for more it is refused and the token is not spent, or the excess is dropped."""
    wire = await wire_for(excess_scope=excess)
    token = (await log_in_offline(wire))["refresh_token"]

    answer = await wire.refresh(token, scope=asked)

    assert answer.status == status
    assert answer.json.get("scope") == granted
    if status == 200:
        assert ("id_token" in answer.json) == ("openid" in str(granted))
        token = answer.json["refresh_token"]
    assert (await wire.refresh(token)).json["scope"] == SCOPE


async def test_another_audience(wire: Wire) -> None:
    """A refresh may name another API, whose policy then decides; one that does not exist leaves the token unspent."""
    token = (await log_in_offline(wire))["refresh_token"]

    assert (await wire.refresh(token, audience="https://nowhere.example")).words[:2] == (403, "access_denied")
    answer = await wire.refresh(token, audience=STRICT_API)
    assert STRICT_API in claims_of(answer.json["access_token"])["aud"]


UNKNOWN = (403, "invalid_grant", "Unknown or invalid refresh token.")


@pytest.mark.parametrize(
    "members",
    [
        {"refresh_token": "guess"},
        {"client_id": "confidential-client"},
    ],
)
async def test_unknown_and_foreign_tokens_get_the_same_refusal(wire: Wire, members: dict[str, str]) -> None:
    """An unknown token and another application's get the same refusal."""
    token = (await log_in_offline(wire))["refresh_token"]
    if "client_id" in members:
        members = dict(zip(("client_id", "client_secret"), wire.tenant.confidential_client, strict=True))

    assert (await wire.refresh(**{"refresh_token": token, **members})).words == UNKNOWN
    assert (await wire.refresh(token)).status == 200


@pytest.mark.parametrize("name", ["refresh_token", "client_id"])
async def test_missing_parameters(wire: Wire, name: str) -> None:
    """A missing parameter is refused."""
    token = (await log_in_offline(wire))["refresh_token"]
    status = 401 if name == "client_id" else 400

    assert (await wire.refresh(**{"refresh_token": token, name: ABSENT})).status == status


async def test_a_nonce_challenge_leaves_the_token(wire_for: Opener) -> None:
    """A refresh without the nonce is challenged and not spent, as any other grant."""
    wire = await wire_for()
    token = (await log_in_offline(wire))["refresh_token"]
    wire.nonce = None

    assert (await wire.refresh(token)).words[1] == "use_dpop_nonce"
    assert (await wire.refresh(token)).status == 200


async def test_a_nonce_challenge_that_spends_the_refresh_token(wire: Wire) -> None:
    """A server that spends the grant first challenges, and the retry is a reuse."""
    token = (await log_in_offline(wire))["refresh_token"]
    wire.tenant.faults.add(Fault.CHALLENGE_SPENDS_CODE, path="/oauth/token", times=1)

    assert (await wire.refresh(token)).words[1] == "use_dpop_nonce"
    assert (await wire.refresh(token)).words == UNKNOWN


MALFORMED = (403, "invalid_grant", "Malformed mfa_token")


async def test_an_authenticator_app(wire: Wire) -> None:
    """The app's code finishes the login: the scope, audience and key of the first request."""
    stopped = await stop_at_mfa(wire, "otp")
    assert (await challenge_factor(wire, stopped["mfa_token"])).json == {"challenge_type": "otp"}

    answer = await wire.mfa("otp", stopped["mfa_token"], otp=wire.tenant.mfa.otp_for(ADA))

    assert answer.status == 200
    assert answer.json["scope"] == "openid offline_access"
    access = json.loads(base64.urlsafe_b64decode(answer.json["access_token"].split(".")[1] + "=="))
    assert access["cnf"] == {"jkt": wire.thumbprint}
    assert (await wire.refresh(answer.json["refresh_token"])).status == 200
    assert (await wire.mfa("otp", stopped["mfa_token"], otp="1")).words == MALFORMED


@pytest.mark.parametrize(("kind", "channel"), [("sms", "sms"), ("voice", "voice"), ("email", "email")])
async def test_a_code_out_of_band(wire: Wire, kind: str, channel: str) -> None:
    """The code that was sent passes as ``binding_code``."""
    token = (await stop_at_mfa(wire, kind))["mfa_token"]
    with pytest.raises(LookupError, match="no second factor"):
        wire.tenant.mfa.code_for(ADA)
    (listed,) = (await list_factors(wire, token)).json
    assert (listed["authenticator_type"], listed["oob_channel"], listed["active"]) == ("oob", channel, True)
    challenge = (await challenge_factor(wire, token, authenticator_id=listed["id"])).json
    assert challenge.keys() == {"challenge_type", "oob_code", "binding_method"}
    assert (challenge["challenge_type"], challenge["binding_method"]) == ("oob", "prompt")
    poll = {"oob_code": challenge["oob_code"]}

    missing = await wire.mfa("oob", token, **poll)
    wrong = await wire.mfa("oob", token, binding_code="x", **poll)
    right = await wire.mfa("oob", token, binding_code=wire.tenant.mfa.code_for(ADA), **poll)

    assert missing.words == (400, "invalid_request", "binding_code is required")
    assert wrong.words == (403, "invalid_grant", "Invalid binding_code.")
    assert right.status == 200
    assert wire.tenant.stats.mfa_polls == 0


PENDING = (400, "authorization_pending")


async def test_a_push_message_is_approved(wire: Wire) -> None:
    """A poll is refused with ``authorization_pending`` until the user has approved."""
    token = (await stop_at_mfa(wire, "push"))["mfa_token"]
    with pytest.raises(LookupError, match="no push message"):
        wire.tenant.mfa.approve(ADA)
    challenge = (await challenge_factor(wire, token)).json
    assert challenge.keys() == {"challenge_type", "oob_code"}

    for _ in range(3):
        assert (await wire.mfa("oob", token, oob_code=challenge["oob_code"])).words[:2] == PENDING
    wire.tenant.mfa.approve(ADA)
    assert (await wire.mfa("oob", token, oob_code=challenge["oob_code"])).status == 200
    assert (wire.tenant.stats.mfa_challenges, wire.tenant.stats.mfa_polls) == (1, 4)


@pytest.mark.parametrize("denial", ["invalid_grant", "access_denied"])
async def test_a_push_message_is_denied(wire_for: Opener, denial: str) -> None:
    """A denial ends the login, with either error code."""
    wire = await wire_for(mfa_denial=denial)
    token = (await stop_at_mfa(wire, "push"))["mfa_token"]
    code = (await challenge_factor(wire, token)).json["oob_code"]
    wire.tenant.mfa.deny(ADA)

    assert (await wire.mfa("oob", token, oob_code=code)).words == (403, denial, "MFA Authorization rejected.")
    assert (await wire.mfa("oob", token, oob_code=code)).words == MALFORMED


async def test_a_recovery_code(wire: Wire) -> None:
    """The recovery code passes once, and the response carries the next one."""
    token = (await stop_at_mfa(wire, "otp", "recovery-code"))["mfa_token"]
    code = wire.tenant.mfa.recovery_code_for(ADA)
    assert (await wire.mfa("recovery-code", token, recovery_code="x")).words[2] == "Invalid recovery_code."

    answer = await wire.mfa("recovery-code", token, recovery_code=code)

    assert answer.status == 200
    assert answer.json["recovery_code"] == wire.tenant.mfa.recovery_code_for(ADA) != code
    token = (await stop_at_mfa(wire))["mfa_token"]
    assert (await wire.mfa("recovery-code", token, recovery_code=code)).status == 403


@pytest.mark.parametrize(("bound", "status"), [(True, 400), (False, 200)])
async def test_the_key_of_the_login(wire_for: Opener, *, bound: bool, status: int) -> None:
    """Whether the second request must be by the key of the first is a setting; a refusal leaves the factor unused."""
    wire = await wire_for(mfa_key_bound=bound)
    token = (await stop_at_mfa(wire, "otp"))["mfa_token"]
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)
    code = wire.tenant.mfa.otp_for(ADA)

    answer = await wire.mfa("otp", token, otp=code)

    assert answer.status == status
    if bound:
        assert answer.words[2] == "DPoP proof thumbprints don't match"
        assert (await wire.mfa("otp", token, otp=code, proof=None)).words[1] == "invalid_dpop_proof"
        wire.key = right
        assert (await wire.mfa("otp", token, otp=code)).status == 200


async def test_a_nonce_challenge_leaves_the_factor(wire: Wire) -> None:
    """The second request is challenged as any other, and the factor is not used up."""
    token = (await stop_at_mfa(wire, "otp"))["mfa_token"]
    code = wire.tenant.mfa.otp_for(ADA)
    wire.nonce = None

    assert (await wire.mfa("otp", token, otp=code)).words[1] == "use_dpop_nonce"
    assert (await wire.mfa("otp", token, otp=code)).status == 200


async def test_the_policy_of_the_api_still_decides(wire: Wire) -> None:
    """A login for an API without bound tokens ends in a Bearer token after the second factor too."""
    token = (await stop_at_mfa(wire, "otp", audience=PLAIN_API))["mfa_token"]

    answer = await wire.mfa("otp", token, otp=wire.tenant.mfa.otp_for(ADA))

    assert answer.json["token_type"] == "Bearer"


REFUSED = [
    ("otp", {"mfa_token": "guess", "otp": "1"}, 403, "invalid_grant"),
    ("otp", {"mfa_token": ABSENT, "otp": "1"}, 400, "invalid_request"),
    ("otp", {}, 400, "invalid_request"),
    ("otp", {"otp": "1"}, 403, "invalid_grant"),
    ("otp", {"otp": "1", "client_id": "unknown-client"}, 401, "invalid_client"),
    ("oob", {}, 400, "invalid_request"),
    ("oob", {"oob_code": "guess"}, 403, "invalid_grant"),
    ("recovery-code", {}, 400, "invalid_request"),
    ("recovery-code", {"recovery_code": "1"}, 403, "invalid_grant"),
]


@pytest.mark.parametrize(("grant", "members", "status", "error"), REFUSED)
async def test_malformed_mfa_grants(wire: Wire, grant: str, members: dict[str, Any], status: int, error: str) -> None:
    """Each refusal has its status and code, and the login goes on."""
    token = (await stop_at_mfa(wire, "otp"))["mfa_token"]

    answer = await wire.mfa(grant, members.pop("mfa_token", token), **members)

    assert answer.words[:2] == (status, error)
    assert (await wire.mfa("otp", token, otp=wire.tenant.mfa.otp_for(ADA))).status == 200


def test_the_vector_of_pkce_passes() -> None:
    """RFC 7636 appendix B: the verifier matches its challenge; another one, and one without the other, do not."""
    assert verifies(VERIFIER, CHALLENGE)
    assert not verifies("x" * 43, CHALLENGE)
    assert not verifies(None, CHALLENGE)
    assert not verifies(VERIFIER, None)
    assert verifies(None, None)
