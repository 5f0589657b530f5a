"""Polling by RFC 8628 §3.5, on a clock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from passwordless_async.client.polling import Poll, PollTimes

if TYPE_CHECKING:
    from collections.abc import Iterator

SAID: dict[str, Any] = {"status": 400, "error": "e"}
PENDING, SLOW = AuthorizationPending(**SAID), SlowDown(**SAID)
LOST, UNSENT = OutcomeUnknown("time-out"), NotSent("no route")


class Service:
    """A service that answers from a list, and a clock that only sleeping moves."""

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
        poll = Poll(PollTimes(clock=self.clock, sleep=self.sleep), Secret("login"), 1000.0 + until)
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
async def test_the_interval_grows_as_rfc_8628_says(
    answers: tuple[PasswordlessError, ...], interval: float, slept: list[float]
) -> None:
    """Five seconds at least; five more after each ``slow_down``; twice as many after a poll without an answer."""
    service = Service(*answers, "tokens")
    assert await service.poll(interval=interval) == "tokens"
    assert service.slept == slept


@pytest.mark.parametrize(
    ("last", "error"),
    [(PENDING, CodeExpired), (SLOW, CodeExpired), (LOST, OutcomeUnknown), (UNSENT, NotSent)],
)
async def test_polling_ends_before_the_deadline_with_the_last_failure(
    last: PasswordlessError, error: type[Exception]
) -> None:
    """No poll is sent at or after the deadline, and the last failure is raised."""
    service = Service(*[last] * 100)
    with pytest.raises(error):
        await service.poll(until=61.0)
    assert service.clock() < 1061.0


async def test_a_final_refusal_ends_the_polling() -> None:
    """After ``access_denied`` no other poll is sent."""
    service = Service(PENDING, AccessDenied(**SAID), "tokens")
    with pytest.raises(AccessDenied):
        await service.poll()
    assert next(service.answers) == "tokens"


async def test_an_expired_message_is_not_polled_for() -> None:
    """Nothing is sent if the first poll would come after the deadline."""
    with pytest.raises(UsageError, match="is expired"):
        await Service().poll(until=5.0)


def test_poll_times_are_given_back(clock: Any) -> None:
    """A login is forgotten when its last poll is due."""
    times = PollTimes()
    for now in range(0, 600, 5):
        times.reserve(Secret(str(now)), 5.0, float(now))
        clock.time += 5.0
    assert repr(times) == "<PollTimes of 1 logins>"


def test_poll_times_are_bounded() -> None:
    """The login whose next poll is due first is forgotten first."""
    times = PollTimes(max_logins=100)
    assert {times.reserve(Secret(str(n)), 5.0, 0.0) for n in range(101)} == {5.0}
    assert repr(times) == "<PollTimes of 100 logins>"
    assert [times.reserve(Secret(login), 5.0, 0.0) for login in ("100", "0")] == [10.0, 5.0]


def test_polls_of_one_login_are_an_interval_apart() -> None:
    """A poll that is reserved before the last one is due comes an interval after that one."""
    times = PollTimes()
    assert [times.reserve(Secret("a"), 5.0, now) for now in (0.0, 0.0, 100.0)] == [5.0, 10.0, 5.0]
