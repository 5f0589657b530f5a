"""Polling by RFC 8628 §3.5, on a clock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from passwordless_async import (
    AccessDenied,
    AuthorizationPending,
    CodeExpired,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    RateLimited,
    SlowDown,
    UsageError,
)
from passwordless_async._common.secret import Secret
from passwordless_async.client.polling import _MAX_LOGINS, Pace, Poll

if TYPE_CHECKING:
    from collections.abc import Iterator

SAID = {"status": 400, "error": "e"}
PENDING, SLOW = AuthorizationPending(**SAID), SlowDown(**SAID)
LOST, UNSENT = OutcomeUnknown("time-out"), NotSent("no route")


class Asked:
    """A service that answers from a list, and a time in which nothing else happens."""

    def __init__(self, *answers: PasswordlessError | str) -> None:
        self.answers: Iterator[PasswordlessError | str] = iter(answers)
        self.slept: list[float] = []

    def clock(self) -> float:
        return 1000.0 + sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def __call__(self) -> str:
        answer = next(self.answers)
        if isinstance(answer, PasswordlessError):
            raise answer
        return answer

    async def poll(self, *, interval: float = 5.0, until: float = 300.0) -> str:
        poll = Poll(Pace(), Secret("login"), 1000.0 + until, self.clock, self.sleep)
        return await poll.run(self, interval=interval)


@pytest.mark.parametrize(
    ("answers", "interval", "slept"),
    [
        ((), 5.0, [5]),
        ((), 1.0, [5]),
        ((), 9.0, [9]),
        ((PENDING, PENDING), 5.0, [5, 5, 5]),
        ((PENDING, SLOW, PENDING), 5.0, [5, 5, 10, 10]),
        ((SLOW, SLOW), 5.0, [5, 10, 15]),
        ((LOST, UNSENT, PENDING), 5.0, [5, 10, 20, 20]),
        ((LOST,) * 4, 5.0, [5, 10, 20, 40, 40]),
        ((RateLimited(**SAID, retry_after=30.0), PENDING), 5.0, [5, 30, 30]),
        ((RateLimited(**SAID),), 5.0, [5, 5]),
    ],
)
async def test_the_time_between_polls(answers: tuple[PasswordlessError, ...], interval: float, slept: list[float]):
    """Five seconds or what is asked for; five more for each slow_down, for good; twice for no answer."""
    asked = Asked(*answers, "tokens")
    assert "tokens" == await asked.poll(interval=interval)
    assert slept == asked.slept


@pytest.mark.parametrize(
    ("last", "error"),
    [(PENDING, CodeExpired), (SLOW, CodeExpired), (LOST, OutcomeUnknown), (UNSENT, NotSent)],
)
async def test_the_end(last: PasswordlessError, error: type[Exception]):
    """The poll ends before what was sent does, with what was known last."""
    asked = Asked(*[last] * 100)
    with pytest.raises(error):
        await asked.poll(until=61.0)
    assert asked.clock() < 1061.0


async def test_a_refusal_ends_it():
    """What is refused for good is not asked again."""
    asked = Asked(PENDING, AccessDenied(**SAID), "tokens")
    with pytest.raises(AccessDenied):
        await asked.poll()
    assert "tokens" == next(asked.answers)


async def test_too_late():
    """What has ended is not polled for at all."""
    with pytest.raises(UsageError, match="is expired"):
        await Asked().poll(until=5.0)


def test_a_pace_is_bounded():
    """Logins that nobody polls any more are forgotten, the oldest first."""
    pace = Pace()
    waits = [pace.reserve(Secret(str(n)), 5.0, 0.0) for n in range(_MAX_LOGINS + 1)]
    assert {5.0} == set(waits)
    assert f"<Pace of {_MAX_LOGINS} logins>" == repr(pace)
    assert [5.0, 10.0, 5.0] == [pace.reserve(Secret("a"), 5.0, now) for now in (0.0, 0.0, 100.0)]
