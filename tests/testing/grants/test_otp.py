"""The OTP grant, for passwordless and for database connections."""

from __future__ import annotations

import time

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from helpers.tenant_wire import ABSENT, ADA, Wire, claims_of, exchange_database, open_auth_session
from passwordless_async.auth0.identity import Phone
from passwordless_async.testing import (
    BOUND_API,
)


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
