"""Which calls are tried again: the tables, cell by cell."""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import errors
from passwordless_async import (
    BULK,
    INTERACTIVE,
    TESTING,
    DPoPKey,
    Email,
    MfaState,
    PasswordlessClient,
    PasswordlessError,
    Policy,
    TokenSet,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.mfa.values import MfaRequirements
from passwordless_async.client.events import Operation, Retried
from passwordless_async.client.traffic.gate import Priority
from passwordless_async.client.traffic.retries import (
    LIMITED_PER_USER,
    OTHER_WINDOWS,
    PRIORITIES,
    retry_delay,
)
from passwordless_async.errors import NotSent, RateLimited, TemporarilyUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

POLICY = Policy(tries=3, patience=60.0, backoff=0.5, backoff_at_most=8.0, outlasts_outages=False)
NOT_SENT = {"NotSent", "CircuitOpen"}
SPENDS_NOTHING = {*NOT_SENT, "RateLimited", "TemporarilyUnavailable", "OutcomeUnknown"}
# The errors after which each operation is tried again. A spent code or refresh token is missed by no error in its row:
# after each of them the server has not looked at it.
TRIED_AGAIN = {
    Operation.EXCHANGE: {*NOT_SENT, "RateLimited"},
    Operation.REFRESH: {*NOT_SENT, "RateLimited"},
    Operation.MFA: NOT_SENT,  # the limits of a user: more tries use them up
    Operation.START: {*NOT_SENT, "RateLimited", "TemporarilyUnavailable"},
    Operation.REVOKE: SPENDS_NOTHING,
    Operation.USERINFO: SPENDS_NOTHING,
    Operation.KEYS: SPENDS_NOTHING,
}


def test_every_operation_has_its_row() -> None:
    """An operation that is added is added to each table, here and there."""
    assert set(TRIED_AGAIN) == set(Operation)
    assert set(PRIORITIES) == set(Operation)


@pytest.mark.parametrize("operation", Operation)
def test_a_call_is_tried_again_after_the_errors_of_its_row_alone(operation: Operation) -> None:
    """Of all errors of the library; 503 is the status of a server that did nothing."""
    delays = {
        kind.__name__: retry_delay(operation, POLICY, 1, errors.made(kind, status=503)) for kind in errors.classes()
    }
    assert {name for name, delay in delays.items() if delay is not None} == TRIED_AGAIN[operation]


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("status", [500, 502, 504])
def test_after_a_failure_that_may_have_done_something_only_what_spends_nothing_is_tried_again(
    operation: Operation, status: int
) -> None:
    """A start may have sent a code: for it only 503 says that nothing was done."""
    error = TemporarilyUnavailable(status=status, error="temporarily_unavailable")
    is_tried_again = retry_delay(operation, POLICY, 1, error) is not None
    assert is_tried_again is (operation in {Operation.REVOKE, Operation.USERINFO, Operation.KEYS})


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("tries", [3, 4, 1000])
def test_the_last_try_is_the_last(operation: Operation, tries: int) -> None:
    """After as many tries as the policy has, no error is followed by another."""
    made = [errors.made(kind, status=503) for kind in errors.classes()]
    assert {retry_delay(operation, POLICY, tries, error) for error in made} == {None}
    assert retry_delay(operation, POLICY, 2, NotSent("nothing was sent")) is not None


@given(
    tries=st.integers(1, 5000),
    backoff=st.floats(0, 10),
    at_most=st.floats(0, 20),
)
def test_the_wait_doubles_up_to_its_bound(tries: int, backoff: float, at_most: float) -> None:
    """It is a random part of the backoff, which doubles with each try."""
    policy = attrs.evolve(POLICY, tries=10_000, backoff=backoff, backoff_at_most=at_most)
    delay = retry_delay(Operation.REVOKE, policy, tries, errors.made(TemporarilyUnavailable, status=503))
    assert delay is not None
    assert 0 <= delay <= min(backoff * 2.0 ** min(tries - 1, 100), at_most)


def test_the_wait_is_random() -> None:
    """Calls that failed together are not tried again together; over many, the whole backoff is used."""
    delays = [
        retry_delay(Operation.REVOKE, POLICY, 2, errors.made(TemporarilyUnavailable, status=503)) for _ in range(500)
    ]
    known = [delay for delay in delays if delay is not None]
    assert len(known) == 500
    assert min(known) < 0.1
    assert max(known) > 0.9
    assert len(set(known)) > 400


# After a 429 the seconds that it names decide. The gate, or the limit of the caller, holds back what it is about.
RETRIED_AFTER_429 = {Operation.EXCHANGE, Operation.REFRESH, Operation.REVOKE, Operation.START}


@pytest.mark.parametrize("operation", sorted(RETRIED_AFTER_429))
@pytest.mark.parametrize("seconds", [None, 0.0, 1.0, 60.0, 3600.0])
def test_a_call_that_is_held_back_queues_again_at_once(operation: Operation, seconds: float | None) -> None:
    """So it goes in its turn when the pause is over."""
    error = RateLimited(status=429, error="too_many_requests", retry_after=seconds)
    assert retry_delay(operation, POLICY, 1, error, is_held=True) == 0.0


@pytest.mark.parametrize("operation", sorted(RETRIED_AFTER_429))
def test_a_call_that_nothing_holds_back_waits_itself(operation: Operation) -> None:
    """For the seconds that the answer names, and the backoff."""
    error = RateLimited(status=429, error="too_many_logins", retry_after=61.0)
    delay = retry_delay(operation, POLICY, 1, error)
    assert delay is not None
    assert 61.0 <= delay <= 61.5


@pytest.mark.parametrize("is_held", [True, False])
@pytest.mark.parametrize("operation", [Operation.START, Operation.REVOKE, Operation.USERINFO, Operation.KEYS])
def test_a_503_is_not_followed_by_a_try_before_the_time_that_it_names(operation: Operation, *, is_held: bool) -> None:
    """``Retry-After`` says when the service will be back (RFC 9110 §10.2.3)."""
    error = TemporarilyUnavailable(status=503, error="temporarily_unavailable", retry_after=7.0)
    delay = retry_delay(operation, POLICY, 1, error, is_held=is_held)
    assert delay is not None
    assert 7.0 <= delay <= 7.5


@pytest.mark.parametrize(("seconds", "least"), [(None, 0.0), (0.0, 0.0), (20.0, 20.0), (100.0, 100.0)])
def test_after_a_429_about_a_user_the_call_waits_itself(seconds: float | None, least: float) -> None:
    """Userinfo is limited per user: the wait is the seconds that the answer names, and the backoff."""
    error = RateLimited(status=429, error="too_many_requests", retry_after=seconds)
    delay = retry_delay(Operation.USERINFO, POLICY, 1, error)
    assert delay is not None
    assert least <= delay <= least + 0.5


def test_a_second_factor_is_not_tried_again_after_a_429() -> None:
    """The user's own limit: another try uses it up."""
    error = RateLimited(status=429, error="too_many_requests", retry_after=0.0)
    assert retry_delay(Operation.MFA, POLICY, 1, error) is None


def test_the_backoff_of_every_profile_stays_finite() -> None:
    """However often a call was tried."""
    for policy in (INTERACTIVE.single, INTERACTIVE.many, BULK.single):
        delay = retry_delay(
            Operation.REVOKE, attrs.evolve(policy, tries=10**6), 10**5, errors.made(TemporarilyUnavailable, status=503)
        )
        assert delay is not None
        assert math.isfinite(delay)
        assert delay <= policy.backoff_at_most


def test_what_expires_goes_first() -> None:
    """Codes expire, so exchanges go before refreshes, and those before starts; the order is the gate's."""
    by_priority = {priority: {op for op, its in PRIORITIES.items() if its is priority} for priority in Priority}
    assert by_priority == {
        Priority.AGAIN: set(),  # for the answers to challenges
        Priority.EXCHANGE: {Operation.EXCHANGE, Operation.MFA},
        Priority.REFRESH: {Operation.REFRESH, Operation.REVOKE, Operation.USERINFO, Operation.KEYS},
        Priority.START: {Operation.START},
    }


def test_whose_limits_an_answer_speaks_of() -> None:
    """A start's window is an address's; a user's operations have windows and limits of the user's own."""
    assert LIMITED_PER_USER == {Operation.MFA, Operation.USERINFO}  # noqa: SIM300 - the constant is what is tested
    assert OTHER_WINDOWS == {Operation.MFA, Operation.USERINFO, Operation.START}  # noqa: SIM300 - the constant is what is tested


PACING = Path(__file__).parents[3] / "docs" / "explanation" / "pacing.md"
# The rows of that page's table, by what is in their first cell, and its columns by what they stand for.
ROWS = {
    "start": Operation.START,
    "exchange": Operation.EXCHANGE,
    "refresh": Operation.REFRESH,
    "second factor": Operation.MFA,
    "userinfo": Operation.USERINFO,
    "revocation": Operation.REVOKE,
    "keys of a logout token": Operation.KEYS,
}
TROUBLES: dict[str, list[str | int]] = {
    "429": [429],
    "not sent": ["refused"],
    "no response, or 5xx": ["broken", 500, 502, 503, 504],
}
LOGOUT_TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0.e30.c2ln"
ADA, KEY = Email("ada@example.com"), DPoPKey.generate()


def retried_by_the_table() -> dict[tuple[Operation, str | int], bool]:
    """Read the table: what is retried after what."""
    table = PACING.read_text(encoding="utf-8").partition("What the client retries:")[2].split("\n\n")[1]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    head, rows = lines[0], lines[2:]
    expected: dict[tuple[Operation, str | int], bool] = {}
    for row in rows:
        cells = dict(zip(head, row, strict=True))
        for name in row[0].split(", "):
            for column, troubles in TROUBLES.items():
                for trouble in troubles:
                    said = cells[column].startswith("retried") or (
                        cells[column].startswith("only a 503") and trouble == 503
                    )
                    # The first note: "A second factor is not retried: its limit is the user's own."
                    expected[ROWS[name], trouble] = said and (name, trouble) != ("second factor", 429)
    return expected


@asynccontextmanager
async def troubled(trouble: str | int) -> AsyncIterator[str]:
    """Run a service with one kind of trouble, for every request."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            if trouble != "broken":
                body = b'{"error": "too_many_requests"}'
                fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
                writer.write(f"HTTP/1.1 {trouble} Trouble\r\n{fields}\r\n\r\n".encode() + body)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if trouble == "refused":
        server.close()
    async with server:
        yield f"http://127.0.0.1:{port}"


def called(operation: Operation, client: PasswordlessClient) -> Awaitable[object]:
    """Call one operation of a client."""
    shared: dict[str, Any] = {"key": KEY, "jkt": KEY.thumbprint, "issuer": client.issuer, "client_id": client.client_id}
    tokens = TokenSet(Secret("access"), "DPoP", None, "", Secret("refresh"), None, None, **shared)
    state = MfaState(
        mfa_token=Secret("mfa"), requirements=MfaRequirements.read(None), expires_at=int(_clock.now()) + 600, **shared
    )
    calls: dict[Operation, Callable[[], Awaitable[object]]] = {
        Operation.START: lambda: client.start(ADA),
        Operation.EXCHANGE: lambda: client.exchange(ADA, "123456"),
        Operation.REFRESH: lambda: client.refresh(tokens),
        Operation.MFA: lambda: client.mfa.verify_otp(state, "123456"),
        Operation.USERINFO: lambda: client.userinfo(tokens),
        Operation.REVOKE: lambda: client.revoke(tokens),
        Operation.KEYS: lambda: client.read_logout_token(LOGOUT_TOKEN),
    }
    return calls[operation]()


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "trouble"), retried_by_the_table())
async def test_the_table_says_what_is_retried(operation: Operation, trouble: str | int) -> None:
    """Each cell of its table, on a real wire."""
    retried: list[Retried] = []
    single = attrs.evolve(TESTING.single, tries=2, patience=30.0, backoff=0.0, backoff_at_most=0.0)
    async with (
        troubled(trouble) as url,
        PasswordlessClient(
            url,
            "client",
            profile=attrs.evolve(TESTING, single=single),
            on_event=lambda event: retried.append(event) if isinstance(event, Retried) else None,
        ) as client,
    ):
        with pytest.raises(PasswordlessError):
            await called(operation, client)
    assert bool(retried) is retried_by_the_table()[operation, trouble]


def test_the_table_has_every_operation() -> None:
    """And every trouble of each."""
    assert len(retried_by_the_table()) == len(Operation) * sum(map(len, TROUBLES.values()))


def test_what_would_fail_again_is_not_tried_again() -> None:
    """A certificate that is refused, or a host name that does not exist: nothing was sent, and nothing will be."""
    final = NotSent("the certificate was refused").with_facts(retryable=False)
    assert [retry_delay(operation, POLICY, 1, final) for operation in Operation] == [None] * len(Operation)
