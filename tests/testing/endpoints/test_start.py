"""The start of a login: codes, links, database connections."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from helpers.tenant_wire import (
    ABSENT,
    ADA,
    Opener,
    Wire,
    ask_and_follow,
    exchange_database,
    follow_link,
    redeem_code,
    start_database,
)
from passwordless_async.auth0.identity import Phone


@pytest.mark.parametrize("counts", [False, True])
async def test_a_forwarded_address_by_assertion_is_a_setting(wire_for: Opener, *, counts: bool) -> None:
    """Whether ``auth0-forwarded-for`` counts for private_key_jwt is undocumented."""
    wire = await wire_for(forwarded_for_by_assertion=counts)

    await wire.start(headers={"auth0-forwarded-for": "192.0.2.7"}, **wire.asserting())

    assert wire.tenant.outbox.messages[0].ip == ("192.0.2.7" if counts else "127.0.0.1")


async def test_no_links_by_sms(wire: Wire) -> None:
    """A link goes out by e-mail alone."""
    members = {"connection": "sms", "email": ABSENT, "phone_number": "+4930901820", "send": "link"}

    assert (await wire.start(**members)).words[:2] == (400, "bad.send")


async def test_a_captcha(wire_for: Opener) -> None:
    """Start asks for the captcha until it is solved."""
    wire = await wire_for(captcha="solved")

    assert (await wire.start()).words[:2] == (401, "requires_verification")
    assert (await wire.start(captcha="guess")).words[:2] == (401, "requires_verification")
    assert not wire.tenant.outbox.messages
    assert (await wire.start(captcha="solved")).status == 200


async def test_a_code_is_sent(wire: Wire) -> None:
    """A start returns the documented body and puts six digits into the outbox."""
    answer = await wire.start(headers={"x-request-language": "de"})

    assert answer.status == 200
    assert answer.json.keys() == {"_id", "email", "email_verified"}
    assert answer.headers["Cache-Control"] == "no-store"
    code = wire.tenant.outbox.code_for(ADA)
    assert len(code) == 6
    assert code.isdecimal()
    (message,) = wire.tenant.outbox.messages
    assert (message.realm, message.username, message.language) == ("email", ADA.address, "de")
    assert code not in repr(message)


async def test_a_code_goes_to_a_phone(wire: Wire, absent: object) -> None:
    """The sms connection returns the phone's members and repeats the language."""
    answer = await wire.start(
        connection="sms", email=absent, phone_number="+4930901820", headers={"x-request-language": "fr"}
    )

    assert answer.status == 200
    assert answer.json.keys() == {"_id", "phone_number", "phone_verified", "request_language"}
    assert wire.tenant.outbox.code_for(Phone("+4930901820"))


ABSENT_CODE = "holds a link"


async def test_absent_send_means_link(wire: Wire, absent: object) -> None:
    """Without ``send`` the message holds a link and no code (facts: "Absent means link")."""
    await wire.start(send=absent)

    assert wire.tenant.outbox.messages[0].code is None
    with pytest.raises(LookupError, match=ABSENT_CODE):
        wire.tenant.outbox.code_for(ADA)


REFUSED = [
    ({"client_id": None}, 400, "bad.client_id"),
    ({"client_id": "unknown-client"}, 400, "bad.client_id"),
    ({"client_id": 7}, 400, "bad.client_id"),
    ({"client_id": ["public-client"]}, 400, "bad.client_id"),
    ({"client_id": "confidential-client"}, 401, "invalid_client"),
    ({"client_id": "confidential-client", "client_secret": "guess"}, 401, "invalid_client"),
    ({"client_id": "confidential-client", "client_secret": 7}, 401, "invalid_client"),
    ({"connection": "fax"}, 400, "bad.connection"),
    ({"connection": None}, 400, "bad.connection"),
    ({"connection": {}}, 400, "bad.connection"),
    ({"email": "ada"}, 400, "bad.email"),
    ({"email": "ada @example.com"}, 400, "bad.email"),
    ({"email": None}, 400, "bad.email"),
    ({"connection": "sms"}, 400, "bad.phone_number"),
    ({"connection": "sms", "phone_number": "4930901820"}, 400, "bad.phone_number"),
    ({"connection": "sms", "phone_number": "+1234567890123456"}, 400, "bad.phone_number"),
    ({"send": "pigeon"}, 400, "bad.send"),
    ({"send": ["code"]}, 400, "bad.send"),
    ({"authParams": "scope=openid"}, 400, "bad.authParams"),
    ({"captcha": 7}, 400, "bad.request"),
    ({"otp": "123456"}, 400, "bad.request"),
]


@pytest.mark.parametrize(("members", "status", "error"), REFUSED)
async def test_malformed_starts_are_refused(wire: Wire, members: dict[str, Any], status: int, error: str) -> None:
    """Each documented refusal has its status and code, and nothing is sent."""
    answer = await wire.start(**members)

    assert answer.words[:2] == (status, error)
    assert not wire.tenant.outbox.messages


@pytest.mark.parametrize(
    ("shape", "members"),
    [
        ("error", {"error", "error_description"}),
        ("code", {"code", "description"}),
        ("errorCode", {"errorCode", "message"}),
    ],
)
async def test_errors_come_in_several_shapes(wire_for: Opener, shape: str, members: set[str]) -> None:
    """The members of an error body are a setting, because several occur."""
    wire = await wire_for(start_error_shape=shape)

    assert (await wire.start(connection="fax")).json.keys() == members


@pytest.mark.parametrize(
    ("form", "status", "body"), [("empty", 200, {}), ("created", 201, {}), ("no_content", 204, None)]
)
async def test_success_comes_in_several_forms(
    wire_for: Opener, form: str, status: int, body: dict[str, Any] | None
) -> None:
    """200 with an empty object, 201 and 204 also occur."""
    wire = await wire_for(start_answer=form)

    answer = await wire.start()

    assert (answer.status, answer.json) == (status, body)
    assert wire.tenant.outbox.code_for(ADA)


async def test_closed_signup(wire_for: Opener) -> None:
    """With sign-ups off a stranger is refused and an account is sent its code."""
    wire = await wire_for(allow_signup=False)

    assert (await wire.start()).json["error_description"] == "Public signup is disabled"
    wire.tenant.users.add(ADA)
    assert (await wire.start()).json["email_verified"] is True


async def test_disabled_grant(wire_for: Opener) -> None:
    """An application without the grant is refused with 403 at both endpoints."""
    wire = await wire_for(grant_enabled=False)

    assert (await wire.start()).words[:2] == (403, "unauthorized_client")
    assert (await wire.exchange(otp="1")).words[:2] == (403, "unauthorized_client")


async def test_http_basic_at_start_is_a_setting(wire_for: Opener, absent: object) -> None:
    """HTTP Basic at start is undocumented: a setting decides."""
    for allowed, status in ((False, 400), (True, 200)):
        wire = await wire_for(basic_auth_at_start=allowed)
        credentials = base64.b64encode(":".join(wire.tenant.confidential_client).encode()).decode()
        answer = await wire.start(client_id=absent, headers={"Authorization": f"Basic {credentials}"})
        assert answer.status == status


@pytest.mark.parametrize(
    ("trust", "confidential", "ip"), [(True, True, "192.0.2.7"), (False, True, None), (True, False, None)]
)
async def test_the_forwarded_address_counts_for_a_trusted_confidential_client(
    wire_for: Opener, *, trust: bool, confidential: bool, ip: str | None
) -> None:
    """``auth0-forwarded-for`` counts for a confidential application that is trusted, and is ignored otherwise."""
    wire = await wire_for(trust_forwarded_for=trust)
    members = dict(zip(("client_id", "client_secret"), wire.tenant.confidential_client, strict=True))

    answer = await wire.start(headers={"auth0-forwarded-for": "192.0.2.7"}, **(members if confidential else {}))

    assert answer.status == 200
    assert wire.tenant.outbox.messages[0].ip == (ip or "127.0.0.1")


async def test_a_forwarded_address_that_is_none(wire: Wire) -> None:
    """A header that is not an IP address is ignored."""
    client_id, secret = wire.tenant.confidential_client

    await wire.start(client_id=client_id, client_secret=secret, headers={"auth0-forwarded-for": "192.0.2.7, 10.0.0.1"})

    assert wire.tenant.outbox.messages[0].ip == "127.0.0.1"


CALLBACK = "https://app.example/callback"


async def test_a_link_without_parameters(warm: Wire) -> None:
    """It leads to the first callback URL, without a state; the code needs no redirect_uri."""
    await warm.start(send="link")

    where, result = await follow_link(warm)

    assert (where, list(result)) == (CALLBACK, ["code"])
    answer = await redeem_code(warm, result["code"])
    assert answer.json.keys() == {"access_token", "expires_in", "token_type"}


async def test_a_callback_with_a_query(wire_for: Opener) -> None:
    """The callback's own query stays."""
    wire = await wire_for(callback_urls=["https://app.example/?page=1"])

    assert (await ask_and_follow(wire)).keys() == {"page", "code"}


async def test_links_pass_once_and_the_newest_alone(warm: Wire) -> None:
    """A used link and one before the newest are refused."""
    await warm.start(send="link")
    first = warm.tenant.outbox.link_for(ADA)
    await warm.start(send="link")
    await follow_link(warm)

    for link in (first, warm.tenant.outbox.link_for(ADA), f"{warm.tenant.url}/passwordless/verify_redirect"):
        answer = await warm.send("GET", link.removeprefix(warm.tenant.url))
        assert answer.words[:2] == (400, "invalid_request")


async def test_a_link_expires(wire: Wire) -> None:
    """After three minutes the callback gets an error: the link has expired."""
    await wire.start(send="link", authParams={"state": "s"})
    wire.tenant.clock.advance(180)

    _, result = await follow_link(wire)

    assert (result["error"], result["state"]) == ("unauthorized", "s")
    assert "expired" in result["error_description"]


async def test_a_blocked_user_follows_a_link(wire: Wire) -> None:
    """The callback gets an error for a blocked user, and so does a code from before the block."""
    code = (await ask_and_follow(wire))["code"]
    wire.tenant.users.block(ADA)

    assert (await ask_and_follow(wire))["error_description"] == "user is blocked"
    assert (await redeem_code(wire, code)).words[1] == "use_dpop_nonce"
    assert (await redeem_code(wire, code)).words == (401, "unauthorized", "user is blocked")


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


async def test_disabled_grant_for_a_database_user(wire_for: Opener) -> None:
    """An application without the grant is refused with 403."""
    wire = await wire_for(grant_enabled=False)

    assert (await start_database(wire)).words[:2] == (403, "unauthorized_client")


CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
MALFORMED_PARAMETERS = [
    {"scope": 7},
    {"state": ["s"]},
    {"response_type": "token"},
    {"redirect_uri": "https://other.example/"},
    {"redirect_uri": 7},
    {"code_challenge": CHALLENGE},
    {"code_challenge": CHALLENGE, "code_challenge_method": "plain"},
    {"code_challenge": "short", "code_challenge_method": "S256"},
    {"dpop_jkt": "short"},
    {"dpop_jkt": {}},
]


@pytest.mark.parametrize("params", MALFORMED_PARAMETERS)
async def test_malformed_parameters(wire: Wire, params: dict[str, Any]) -> None:
    """A parameter that the tenant does not support, or cannot read, is refused at the start."""
    assert (await wire.start(send="link", authParams=params)).words[:2] == (400, "bad.authParams")
    assert (await wire.start(authParams=params)).status == 200
