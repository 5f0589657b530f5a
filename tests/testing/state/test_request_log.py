"""The requests that the tenant records."""

from __future__ import annotations

import pytest

from helpers.tenant_wire import ADA, Opener, Wire
from passwordless_async.auth0.identity import Email

TOKEN = "/oauth/token"


async def test_the_record_of_a_request(warm: Wire) -> None:
    """Requests are kept in the order of their arrival, secrets included, and print without them."""
    await warm.start()
    await warm.exchange()
    first, second = warm.tenant.requests

    assert first.json["email"] == ADA.address
    assert (second.method, second.path, second.status) == ("POST", TOKEN, 200)
    assert second.form["realm"] == "email"
    assert str(second.proof).count(".") == 2
    assert repr(second) == "<RecordedRequest POST /oauth/token 200>"
    assert warm.tenant.requests.to(TOKEN) == [second]
    assert warm.tenant.requests[0:1] == [first]


async def test_records_are_bounded(wire_for: Opener) -> None:
    """The oldest requests and messages go first."""
    wire = await wire_for(requests_kept=2, messages_kept=2)
    for number in range(4):
        await wire.start(email=f"user{number}@example.com")

    assert [request.json["email"] for request in wire.tenant.requests] == ["user2@example.com", "user3@example.com"]
    assert len(wire.tenant.outbox.messages) == 2
    with pytest.raises(LookupError):
        wire.tenant.outbox.code_for(Email("user0@example.com"))
