"""What a tenant records: counters, messages, requests, and secrets that came again."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from helpers.tenant_wire import ADA, Opener, Wire
from helpers.values import present
from passwordless_async.auth0.identity import Email
from passwordless_async.testing import Message, TenantStats
from passwordless_async.testing.state import records
from passwordless_async.testing.state.records import OTP_GRANT, Presentations
from passwordless_async.testing.state.users import User


async def test_a_login_is_counted(wire: Wire) -> None:
    """A challenged login is two token requests, one code and one bound token."""
    await wire.login()

    stats = wire.tenant.stats
    assert (stats.wire_requests, stats.start_requests, stats.token_requests) == (3, 1, 2)
    assert (stats.codes_sent, stats.codes_presented, stats.codes_refused) == (1, 1, 0)
    assert (stats.nonce_challenges, stats.proofs_accepted, stats.distinct_keys) == (1, 1, 1)
    assert (stats.tokens_issued, stats.tokens_bound) == (1, 1)


def test_counters_survive_json() -> None:
    """``to_json`` holds every counter."""
    stats = TenantStats(wire_requests=3, codes_sent=1)

    assert TenantStats(**stats.to_json()) == stats


async def test_code_and_link_are_not_confused(warm: Wire) -> None:
    """A message holds a code or a link, and the error names which."""
    with pytest.raises(LookupError, match="holds a code"):
        warm.tenant.outbox.link_for(ADA)
    await warm.start(send="link")
    with pytest.raises(LookupError, match="holds a link"):
        warm.tenant.outbox.code_for(ADA)


async def test_asking_for_a_code_that_was_never_sent_raises(wire: Wire) -> None:
    """Asking for a code that was never sent is a LookupError that says so."""
    with pytest.raises(LookupError, match="no message was sent"):
        wire.tenant.outbox.code_for(ADA)


async def test_on_send_is_called_with_each_message(wire: Wire) -> None:
    """``on_send`` is called with each message."""
    heard: list[Message] = []
    wire.tenant.outbox.on_send = heard.append

    await wire.start()

    assert [message.code for message in heard] == [wire.tenant.outbox.code_for(ADA)]


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


ADAS_CODE = {"grant_type": "otp", "username": "ada@example.com", "otp": "123456"}


def present_twice(first: dict[str, str], second: dict[str, str]) -> int:
    """Present two requests and return how many were presented again."""
    stats = TenantStats()
    presentations = Presentations(stats)
    presentations.note_request(urlencode(first).encode())
    presentations.note_request(urlencode(second).encode())
    return stats.presented_again


def test_a_secret_that_is_not_spent_may_come_again() -> None:
    """Otherwise, a second presentation counts."""
    stats = TenantStats()
    presentations, body = Presentations(stats), urlencode(ADAS_CODE).encode()
    presentations.note_unspent(present(presentations.note_request(body)))
    presentations.note_request(body)
    assert stats.presented_again == 0
    presentations.note_request(body)
    assert stats.presented_again == 1


def test_a_code_that_is_issued_again_is_a_new_one() -> None:
    """Chance gives a user the digits of an earlier code once in a million: that presents nothing again."""
    stats = TenantStats()
    presentations, body = Presentations(stats), urlencode({**ADAS_CODE, "grant_type": OTP_GRANT}).encode()
    presentations.note_request(body)
    presentations.note_issued(User.of(Email("Ada@example.com")), "123456")
    presentations.note_request(body)
    assert stats.presented_again == 0
    presentations.note_request(body)
    assert stats.presented_again == 1


def test_a_lost_response_counts() -> None:
    """A secret without a response may be spent."""
    stats = TenantStats()
    presentations = Presentations(stats)
    for _ in range(3):
        presentations.note_request(urlencode(ADAS_CODE).encode())

    assert stats.presented_again == 2


def test_the_newest_secrets_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number is bounded: a tenant that runs for days watches those of its last hours, and no unspent ones."""
    monkeypatch.setattr(records, "_MAX_GRANTS", 2)
    stats = TenantStats()
    presentations = Presentations(stats)
    bodies = [urlencode({**ADAS_CODE, "otp": otp}).encode() for otp in ("000001", "000002", "000003")]
    for body in bodies:
        presentations.note_request(body)
    presentations.note_request(bodies[2])
    assert stats.presented_again == 1
    assert len(presentations._may_be_spent) == 2
    for body in bodies:
        presentations.note_unspent(present(presentations.note_request(body)))
    assert len(presentations._may_be_spent) == 0


@pytest.mark.parametrize("change", [{"otp": "654321"}, {"username": "bob@example.com"}, {"grant_type": "mfa"}])
def test_another_grant_is_another_secret(change: dict[str, str]) -> None:
    """Another code, user or grant type is not presented again."""
    assert present_twice(ADAS_CODE, {**ADAS_CODE, **change}) == 0


def test_a_request_without_a_secret_is_not_noted() -> None:
    """A poll presents no secret, however often it comes."""
    assert present_twice({"oob_code": "1"}, {"oob_code": "1"}) == 0
