"""Codes for users of database connections, and how failures of a code are counted."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict

from helpers.values import present
from passwordless_async import (
    TESTING,
    AuthSession,
    CodeSpent,
    DPoPRequired,
    Email,
    MalformedAnswer,
    OAuthError,
    PasswordlessClient,
    Phone,
    RateLimited,
    TooManyAttempts,
    UsageError,
    WrongCode,
)
from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import SecretBytes
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.client_auth import NoClientAuth
from passwordless_async.auth0.database import database_request, read_database
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ADA = Email("ada@example.com")
CONNECTION = "Username-Password-Authentication"


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[tuple[LocalTenant, PasswordlessClient]]:
    async with (
        LocalTenant(TenantSettings(**settings)) as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        tenant.users.add(ADA, database=True)
        yield tenant, client


async def test_a_login_of_a_database_user() -> None:
    """The handle that the service gives stands for the user in the grant, and the tokens are bound."""
    async with opened() as (tenant, client):
        session = await client.start_database(ADA, connection=CONNECTION)
        tokens = await client.exchange(session, tenant.outbox.code_for(ADA), scope="openid")
        assert present(tokens.claims)["sub"].startswith("auth0|")
        assert tokens.jkt == present(tokens.key).thumbprint
        sent = tenant.requests.to("/oauth/token")[-1].form
    assert {"username", "realm"}.isdisjoint(sent)
    assert sent["auth_session"] == session.auth_session
    assert str(session.auth_session) not in repr(session)


async def test_a_code_that_is_wrong_or_was_used() -> None:
    """The service says invalid_request; here it is a wrong code with the attempts left. A used code is not sent."""
    async with opened() as (tenant, client):
        session = await client.start_database(ADA, connection=CONNECTION)
        with pytest.raises(WrongCode) as caught:
            await client.exchange(session, "000000" if tenant.outbox.code_for(ADA) != "000000" else "111111")
        assert (caught.value.status, caught.value.error, caught.value.attempts_left) == (400, "invalid_request", 2)
        await client.exchange(session, tenant.outbox.code_for(ADA))
        with pytest.raises(CodeSpent):
            await client.exchange(session, tenant.outbox.code_for(ADA))


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        ("Resource server requires the use of DPoP to issue sender-constrained access tokens", DPoPRequired),
        ("Missing required parameter: auth_session", OAuthError),
    ],
)
@pytest.mark.parametrize("otp", ["918273", "Resource", "Missing", "request", "e"])
async def test_what_is_not_about_the_code(description: str, kind: type[OAuthError], otp: str) -> None:
    """The same code for the API's policy or a parameter is no wrong code, whatever was typed, and costs no attempt."""
    async with opened() as (tenant, client):
        session = await client.start_database(ADA, connection=CONNECTION)
        tenant.faults.add(Fault.REFUSAL, path="/oauth/token", description=description, times=1)
        with pytest.raises(OAuthError) as refused:
            await client.exchange(session, otp)
        assert (type(refused.value), refused.value.error) == (kind, "invalid_request")
        tenant.faults.add(Fault.REFUSAL, path="/oauth/token", description="Invalid code", times=1)
        with pytest.raises(WrongCode) as wrong:
            await client.exchange(session, otp)
    assert wrong.value.attempts_left == 2


async def test_the_limit_of_challenges() -> None:
    """Too many are refused with the seconds to wait."""
    async with opened(challenges_per_hour=1) as (_, client):
        await client.start_database(ADA, connection=CONNECTION)
        with pytest.raises(RateLimited) as caught:
            await client.start_database(ADA, connection=CONNECTION)
    assert caught.value.retry_after is not None


async def test_attempts_are_counted_until_the_code_is_dead() -> None:
    """Two, one and none are left; a new code starts from the beginning, and a right one forgets."""
    async with opened() as (tenant, client):
        left = []
        for _ in range(2):
            await client.start(ADA)
            code = tenant.outbox.code_for(ADA)
            *two, third = [wrong for wrong in ("000000", "111111", "222222", "333333") if wrong != code][:3]
            for wrong in two:
                with pytest.raises(WrongCode) as caught:
                    await client.exchange(ADA, wrong)
                left.append(caught.value.attempts_left)
        assert left == [2, 1, 2, 1]
        with pytest.raises(TooManyAttempts):
            await client.exchange(ADA, third)
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        await client.exchange(ADA, code)
        tenant.clock.advance(1)
        with pytest.raises(WrongCode) as caught:
            await client.exchange(ADA, "000000" if code != "000000" else "111111")
    assert caught.value.attempts_left == 2


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"connection": ""}, "connection"),
        ({"connection": "a b"}, "connection"),
        ({"delivery_method": "pigeon"}, "delivery_method"),
        ({"delivery_method": "voice"}, "delivery_method"),
    ],
)
async def test_a_wrong_argument_is_named(changes: dict[str, Any], argument: str) -> None:
    """An e-mail cannot be spoken, and a connection has a name."""
    async with opened() as (_, client):
        with pytest.raises(UsageError) as caught:
            await client.start_database(ADA, **{"connection": CONNECTION, **changes})
    assert caught.value.argument == argument


def test_a_phone_may_be_called() -> None:
    """The delivery method goes out for a phone alone."""
    application = Application("acme.eu.auth0.com", "client", NoClientAuth())
    request = database_request(application, Phone("+4930901820"), connection="db", delivery_method="voice")
    assert b'"delivery_method": "voice"' in bytes(request.body)
    assert b"delivery_method" not in bytes(database_request(application, ADA, connection="db").body)


@pytest.mark.parametrize("body", [b"{}", b'{"auth_session": 5}', b'{"auth_session": ""}', b"[]", b"no JSON"])
def test_an_answer_without_a_handle_is_malformed(body: bytes) -> None:
    """A success that holds no handle is none."""
    application = Application("acme.eu.auth0.com", "client", NoClientAuth())
    request = database_request(application, ADA, connection="db")
    answer = HttpResponse(200, CIMultiDict({"Content-Type": "application/json"}), SecretBytes(body))
    with pytest.raises(MalformedAnswer):
        read_database(request, answer, ADA)


def test_a_handle_must_be_one() -> None:
    """What stands for a user is a text of visible ASCII, beside the user."""
    for handle, who in (("", ADA), ("a b", ADA), (5, ADA), ("handle", "ada@example.com")):
        with pytest.raises(UsageError):
            AuthSession(handle, who)  # type: ignore[arg-type]
