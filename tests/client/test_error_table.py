"""Each refusal that the service documents, from the wire to the error: a real client, real sockets, both shapes.

What the service says of its own accord (a wrong secret, a blocked user, a grant that is off) is tested where the client
is; here the tenant says every row of the table, word for word.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async import (
    TESTING,
    ClientSecretPost,
    Email,
    MalformedAnswer,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    RateLimited,
    TemporarilyUnavailable,
    UseDPoPNonce,
)
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from helpers.refusals import Row

ADA = Email("ada@example.com")
OTP = "918273"
START, TOKEN, CHALLENGE = "/passwordless/start", "/oauth/token", "/otp/challenge"
UNAVAILABLE: dict[str, Any] = {"status": 503, "error": "temporarily_unavailable", "description": "Back soon"}


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[LocalTenant, PasswordlessClient]]:
    async with LocalTenant() as tenant:
        client_id, secret = tenant.confidential_client
        async with PasswordlessClient(
            tenant.url, client_id, client_auth=ClientSecretPost(secret), profile=TESTING
        ) as client:
            yield tenant, client


def outcome(row: Row, members: tuple[str, str]) -> type[PasswordlessError]:
    """Return what a row of the token endpoint's becomes there, which is the documented class but for two."""
    if row.meaning is TemporarilyUnavailable:
        return OutcomeUnknown  # after a 5xx nobody knows whether the code is spent
    if row.meaning is UseDPoPNonce and members[0] == "error":
        return MalformedAnswer  # a challenge, as RFC 9449 §8 words it, that brings no nonce to answer it with
    return row.meaning


async def test_each_refusal_of_a_start(refused_start: Row, refused_in: tuple[str, str]) -> None:
    """Asking for a code fails with the documented class and the service's own words, after one request."""
    async with opened() as (tenant, client):
        tenant.faults.add(Fault.REFUSAL, path=START, members=refused_in, **refused_start.words)
        with pytest.raises(refused_start.meaning) as caught:
            await client.start(ADA)
        assert [request.path for request in tenant.requests] == [START]
    refused_start.check(caught.value)


async def test_each_refusal_of_a_grant(refused_grant: Row, refused_in: tuple[str, str]) -> None:
    """A code is refused with the documented class and the service's own words, after one request.

    Two rows differ at this endpoint on purpose: after a 503 the outcome is unknown, for the code may be spent, and a
    demand for a nonce that brings none is an answer that breaks the protocol.
    """
    expected = outcome(refused_grant, refused_in)
    async with opened() as (tenant, client):
        tenant.faults.add(Fault.REFUSAL, path=TOKEN, members=refused_in, **refused_grant.words)
        with pytest.raises(expected) as caught:
            await client.exchange(ADA, OTP)
        assert [request.path for request in tenant.requests] == [TOKEN]
    assert (type(caught.value), getattr(caught.value, "status", None)) == (expected, refused_grant.status)
    assert OTP not in f"{caught.value} {vars(caught.value)}"
    if expected is refused_grant.meaning:
        refused_grant.check(caught.value)


async def test_a_refusal_that_repeats_the_code(refused_grant: Row, refused_in: tuple[str, str]) -> None:
    """A service that puts the code into its words is not repeated, and its words mean what they meant."""
    expected = outcome(refused_grant, refused_in)
    words = {**refused_grant.words, "description": f"{refused_grant.description} ({OTP})"}
    async with opened() as (tenant, client):
        tenant.faults.add(Fault.REFUSAL, path=TOKEN, members=refused_in, **words)
        with pytest.raises(expected) as caught:
            await client.exchange(ADA, OTP)
    assert type(caught.value) is expected
    assert OTP not in f"{caught.value} {vars(caught.value)}"
    if expected is refused_grant.meaning:
        assert vars(caught.value)["error_description"] == f"{refused_grant.description} (<redacted>)"


async def test_an_unavailable_start(refused_in: tuple[str, str]) -> None:
    """Nothing is at stake where a code is asked for: 503 is worth another try, whatever the body says."""
    async with opened() as (tenant, client):
        tenant.faults.add(Fault.REFUSAL, path=START, members=refused_in, **UNAVAILABLE)
        with pytest.raises(TemporarilyUnavailable) as caught:
            await client.start(ADA)
        assert len(tenant.requests.to(START)) == 1
    assert (caught.value.status, caught.value.error, caught.value.retryable) == (503, "temporarily_unavailable", True)


async def test_a_limit_of_database_challenges(refused_in: tuple[str, str]) -> None:
    """The start for database connections refuses for too many requests alone, in either shape."""
    words: dict[str, Any] = {
        "status": 429,
        "error": "too_many_requests",
        "description": "Global limit has been reached",
    }
    async with opened() as (tenant, client):
        tenant.faults.add(Fault.REFUSAL, path=CHALLENGE, members=refused_in, **words)
        with pytest.raises(RateLimited) as caught:
            await client.start_database(ADA, connection="Username-Password-Authentication")
        assert len(tenant.requests.to(CHALLENGE)) == 1
    assert (caught.value.status, caught.value.error, caught.value.error_description) == tuple(words.values())
