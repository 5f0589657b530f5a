"""OTP for database connections: the other start of the same grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.testing import BOUND_API

if TYPE_CHECKING:
    from tests.testing.conftest import Answer, Opener, Wire

ADA = Email("ada@example.com")
ABSENT = ...
WRONG = (400, "invalid_request", "Wrong or expired verification code.")


async def _challenge(wire: Wire, **members: Any) -> Answer:
    body = {
        "client_id": wire.tenant.public_client_id,
        "connection": "Username-Password-Authentication",
        "email": ADA.address,
        **members,
    }
    body = {name: value for name, value in body.items() if value is not ABSENT}
    return await wire.send("POST", "/otp/challenge", json=body)


async def _session(wire: Wire, **members: Any) -> str:
    wire.tenant.users.add(ADA, database=True)
    return (await _challenge(wire, **members)).json["auth_session"]


async def _exchange(wire: Wire, auth_session: str, **members: Any) -> Answer:
    return await wire.exchange(username=ABSENT, realm=ABSENT, auth_session=auth_session, **members)


@pytest.fixture
async def warm_session(warm: Wire) -> str:
    """Open a session whose code was sent."""
    return await _session(warm)


async def test_a_login(warm: Wire, warm_session: str):
    """The session and the code yield the tokens of the database user, bound to the key."""
    answer = await _exchange(warm, warm_session, scope="openid offline_access", audience=BOUND_API)

    assert answer.status == 200
    assert answer.json["token_type"] == "DPoP"
    userinfo = (await warm.userinfo(answer.json["access_token"])).json
    assert userinfo["sub"].startswith("auth0|")
    assert userinfo["email"] == ADA.address
    renewed = (await warm.refresh(answer.json["refresh_token"])).json
    assert (await warm.userinfo(renewed["access_token"])).json["sub"] == userinfo["sub"]


async def test_a_login_by_phone(warm: Wire):
    """A phone's code goes out as text or by voice."""
    phone = Phone("+4930901820")
    warm.tenant.users.add(phone, database=True)

    body = {"email": ABSENT, "phone_number": phone.number, "delivery_method": "voice"}
    session = (await _challenge(warm, **body)).json["auth_session"]

    assert warm.tenant.outbox.messages[-1].delivery == "voice"
    assert (await _exchange(warm, session, otp=warm.tenant.outbox.code_for(phone))).status == 200


async def test_the_answer_does_not_tell_who_has_an_account(wire: Wire):
    """A stranger's challenge is answered alike; nothing is sent unless they may sign up."""
    silent = await _challenge(wire)
    assert not wire.tenant.outbox.messages
    signup = await _challenge(wire, allow_signup=True)

    assert silent.json.keys() == signup.json.keys() == {"auth_session"}
    assert (silent.status, signup.status) == (200, 200)
    assert wire.tenant.outbox.code_for(ADA)
    assert wire.tenant.stats.codes_sent == 1
    await _exchange(wire, signup.json["auth_session"])
    assert (await _exchange(wire, silent.json["auth_session"])).words == WRONG
    assert (await _exchange(wire, signup.json["auth_session"])).status == 200
    await _challenge(wire)
    assert wire.tenant.stats.codes_sent == 2


async def test_a_passwordless_account_is_none_of_the_database(wire: Wire):
    """Who logs in by the email connection is not known to the database."""
    wire.tenant.users.add(ADA)

    assert (await _challenge(wire)).status == 200
    assert not wire.tenant.outbox.messages


@pytest.mark.parametrize("what", ["wrong", "used", "expired", "exhausted", "unknown", "foreign"])
async def test_codes_that_do_not_pass(wire_for: Opener, what: str):
    """Whatever is wrong with the code, the answer is one 400 ``invalid_request``."""
    wire = await wire_for(nonce_lifetime=1e9, public_nonce_required=False)
    session, members = await _session(wire), {}
    if what == "used":
        assert (await _exchange(wire, session)).status == 200
    if what == "expired":
        wire.tenant.clock.advance(180)
    if what == "exhausted":
        assert [(await _exchange(wire, session, otp="x")).words for _ in range(3)] == [WRONG] * 3
    if what == "foreign":
        members = dict(zip(("client_id", "client_secret"), wire.tenant.confidential_client, strict=True))
    otp = "x" if what == "wrong" else wire.tenant.outbox.code_for(ADA)

    assert (await _exchange(wire, "guess" if what == "unknown" else session, otp=otp, **members)).words == WRONG


async def test_sessions_do_not_disturb_each_other(warm: Wire, warm_session: str):
    """A code belongs to its session: a later challenge leaves the earlier one alive."""
    code = warm.tenant.outbox.code_for(ADA)
    await _session(warm)

    assert (await _exchange(warm, warm_session, otp=code)).status == 200


async def test_a_challenge_for_a_nonce_leaves_the_session(wire: Wire):
    """The grant is challenged as any other and not spent."""
    session = await _session(wire)

    assert (await _exchange(wire, session)).words[1] == "use_dpop_nonce"
    assert (await _exchange(wire, session)).status == 200


MALFORMED = [
    ({"connection": "email"}, 400, "invalid_request"),
    ({"connection": ABSENT}, 400, "invalid_request"),
    ({"connection": []}, 400, "invalid_request"),
    ({"email": ABSENT}, 400, "invalid_request"),
    ({"email": "ada"}, 400, "invalid_request"),
    ({"email": 7}, 400, "invalid_request"),
    ({"phone_number": "+4930901820"}, 400, "invalid_request"),
    ({"email": ABSENT, "phone_number": "0"}, 400, "invalid_request"),
    ({"allow_signup": "yes"}, 400, "invalid_request"),
    ({"delivery_method": "pigeon"}, 400, "invalid_request"),
    ({"delivery_method": ["text"]}, 400, "invalid_request"),
    ({"otp": "1"}, 400, "invalid_request"),
    ({"client_id": "nobody"}, 401, "invalid_client"),
    ({"client_id": ABSENT}, 401, "invalid_client"),
    ({"client_id": "confidential-client"}, 401, "invalid_client"),
]


@pytest.mark.parametrize(("members", "status", "error"), MALFORMED)
async def test_malformed_challenges(wire: Wire, members: dict[str, Any], status: int, error: str):
    """Each refusal has its status and code, and nothing is sent."""
    wire.tenant.users.add(ADA, database=True)

    assert (await _challenge(wire, **members)).words[:2] == (status, error)
    assert not wire.tenant.outbox.messages


async def test_an_assertion_at_the_challenge(wire: Wire):
    """A confidential application authenticates itself there too."""
    wire.tenant.users.add(ADA, database=True)

    assert (await _challenge(wire, **wire.asserting())).status == 200


async def test_malformed_grants(warm: Wire, warm_session: str):
    """The session takes the place of username and realm, and needs its code."""
    assert (await warm.exchange(auth_session=warm_session)).words[:2] == (400, "invalid_request")
    assert (await _exchange(warm, warm_session, otp=ABSENT)).words[:2] == (400, "invalid_request")
    assert (await _exchange(warm, warm_session)).status == 200


async def test_the_limit(wire_for: Opener):
    """The refusal bears X-RateLimit headers and Retry-After; an hour later there is room."""
    wire = await wire_for(challenges_per_hour=1)
    assert (await _challenge(wire)).status == 200

    limited = await _challenge(wire)

    assert limited.words[:2] == (429, "too_many_requests")
    assert int(limited.headers["Retry-After"]) > 3500
    assert limited.headers["X-RateLimit-Remaining"] == "0"
    assert (await _challenge(wire, email="bob@example.com")).status == 200
    wire.tenant.clock.advance(3600)
    assert (await _challenge(wire)).status == 200


async def test_a_second_factor_follows(warm: Wire, warm_session: str):
    """A database login is asked for the second factor as any other."""
    warm.tenant.users.add(ADA, mfa=["otp"])

    stopped = await _exchange(warm, warm_session)
    answer = await warm.mfa("otp", stopped.json["mfa_token"], otp=warm.tenant.mfa.otp_for(ADA))

    assert (await warm.userinfo(answer.json["access_token"])).json["sub"].startswith("auth0|")


async def test_disabled_grant(wire_for: Opener):
    """An application without the grant is refused with 403."""
    wire = await wire_for(grant_enabled=False)

    assert (await _challenge(wire)).words[:2] == (403, "unauthorized_client")
