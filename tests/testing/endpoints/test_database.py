"""``POST /otp/challenge``: the start of a login by a database connection."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.tenant_wire import ABSENT, ADA, Opener, Wire, exchange_database, start_database
from passwordless_async.auth0.identity import Phone


async def test_a_login_by_phone(warm: Wire) -> None:
    """A phone's code goes out as text or by voice."""
    phone = Phone("+4930901820")
    warm.tenant.users.add(phone, database=True)

    body = {"email": ABSENT, "phone_number": phone.number, "delivery_method": "voice"}
    session = (await start_database(warm, **body)).json["auth_session"]

    assert warm.tenant.outbox.messages[-1].delivery == "voice"
    assert (await exchange_database(warm, session, otp=warm.tenant.outbox.code_for(phone))).status == 200


WRONG = (400, "invalid_request", "Wrong or expired verification code.")


async def test_the_response_does_not_reveal_who_has_an_account(wire: Wire) -> None:
    """An unknown user gets the same response; nothing is sent unless sign-up is allowed."""
    silent = await start_database(wire)
    assert not wire.tenant.outbox.messages
    signup = await start_database(wire, allow_signup=True)

    assert silent.json.keys() == signup.json.keys() == {"auth_session"}
    assert (silent.status, signup.status) == (200, 200)
    assert wire.tenant.outbox.code_for(ADA)
    assert wire.tenant.stats.codes_sent == 1
    await exchange_database(wire, signup.json["auth_session"])
    assert (await exchange_database(wire, silent.json["auth_session"])).words == WRONG
    assert (await exchange_database(wire, signup.json["auth_session"])).status == 200
    await start_database(wire)
    assert wire.tenant.stats.codes_sent == 2


async def test_a_passwordless_account_is_unknown_to_the_database(wire: Wire) -> None:
    """A user of the email connection is unknown to the database connection."""
    wire.tenant.users.add(ADA)

    assert (await start_database(wire)).status == 200
    assert not wire.tenant.outbox.messages


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
    ({"client_id": "unknown-client"}, 401, "invalid_client"),
    ({"client_id": ABSENT}, 401, "invalid_client"),
    ({"client_id": "confidential-client"}, 401, "invalid_client"),
]


@pytest.mark.parametrize(("members", "status", "error"), MALFORMED)
async def test_malformed_requests_are_refused(wire: Wire, members: dict[str, Any], status: int, error: str) -> None:
    """Each refusal has its status and code, and nothing is sent."""
    wire.tenant.users.add(ADA, database=True)

    assert (await start_database(wire, **members)).words[:2] == (status, error)
    assert not wire.tenant.outbox.messages


async def test_an_assertion_passes_at_the_database_start(wire: Wire) -> None:
    """A confidential application authenticates itself there too."""
    wire.tenant.users.add(ADA, database=True)

    assert (await start_database(wire, **wire.asserting())).status == 200


async def test_disabled_grant(wire_for: Opener) -> None:
    """An application without the grant is refused with 403."""
    wire = await wire_for(grant_enabled=False)

    assert (await start_database(wire)).words[:2] == (403, "unauthorized_client")
