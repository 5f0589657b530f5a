"""The pace: a pure value of time, driven here by made-up times."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passwordless_async.auth0.rate_limit import Allowance
from passwordless_async.client.traffic.pace import Pace

RATES = st.sampled_from([0.5, 1.0, 2.0, 2.5, 3.0, 7.0, 10.0, 16.0, 25.0, 100.0, 1000.0])
HALF = settings(max_examples=50, deadline=None)
MINUTE = 60.0


def drive(pace: Pace, arrivals: list[float], late: list[float]) -> list[float]:
    """Send each as soon as it has arrived and may go; whoever waits is woken late. Gives the times of sending."""
    sent: list[float] = []
    now = 0.0
    for place, arrival in enumerate(arrivals):
        now = max(now, arrival)
        while (delay := pace.delay(now)) > 0:
            now = max(now + delay + late[place % len(late)], math.nextafter(now, math.inf))
        pace.sent(now)
        sent.append(now)
    return sent


def most_in(seconds: float, sent: list[float]) -> int:
    """Count the most that any window of so many seconds holds; its end is not in it."""
    first = most = 0
    for place, now in enumerate(sent):
        while sent[first] <= now - seconds:
            first += 1
        most = max(most, place - first + 1)
    return most


def saturate(pace: Pace, since: float, until: float) -> list[float]:
    """Send whenever it may be, a million a second at the most."""
    sent: list[float] = []
    now = since
    while (now := now + max(pace.delay(now), 1e-6)) < until:
        if pace.delay(now) <= 0:
            pace.sent(now)
            sent.append(now)
    return sent


@HALF
@given(RATES, st.lists(st.floats(0, 2) | st.just(0.0), min_size=1, max_size=200), st.lists(st.floats(0, 0.5)))
def test_no_second_holds_more_than_the_quota(rate: float, gaps: list[float], late: list[float]) -> None:
    """This holds for all arrivals, and however late a waiting request is woken."""
    arrivals = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    assert math.ceil(rate) >= most_in(1.0, drive(Pace(rate), arrivals, late or [0.0]))


@pytest.mark.parametrize("rate", [1.0, 2.0, 5.0, 10.0, 16.0])
def test_a_request_after_a_rest_is_no_reason_for_a_burst(rate: float) -> None:
    """Requests that come a little later than they may do not add up to more than the quota."""
    interval = 1 / rate
    sent = drive(Pace(rate), [10 + place * interval * 0.5 for place in range(100)], [0.0])
    assert rate >= most_in(1.0, sent)


@pytest.mark.parametrize("most", [0.0, 0.010])
@pytest.mark.parametrize("rate", [1.0, 2.0, 10.0, 25.0, 100.0, 500.0, 1000.0])
def test_a_full_queue_uses_the_quota(rate: float, most: float) -> None:
    """A queue that is never empty is served at 95 % of the quota or more, be wake-ups 10 ms late; never above it."""
    chance = random.Random(7)  # noqa: S311 - the same in every run
    late = [chance.uniform(0, most) for _ in range(997)]
    sent = drive(Pace(rate), [0.0] * int(rate * 41), late)
    assert 0.95 * rate * 40 <= sum(now < 40 for now in sent)
    assert rate >= most_in(1.0, sent)


def test_without_a_quota_nothing_is_spaced() -> None:
    """Without a known limit all requests go at once."""
    pace = Pace(None)
    assert drive(pace, [5.0] * 1000, [0.0]) == [5.0] * 1000


@given(st.floats(0, 1e6))
def test_a_refusal_stops_all(seconds: float) -> None:
    """A 429 stops all for the time that it names, a minute at the most, and by chance a little longer."""
    pace = Pace(None)
    pace.refused(100.0, seconds, None)
    named = min(seconds, MINUTE)
    assert named - 1e-9 <= pace.delay(100.0) <= named + min(named / 4, 1.0) + 1e-9


def test_the_jitter_is_random() -> None:
    """Two processes that are refused together do not resume together."""
    paces = [Pace(None) for _ in range(50)]
    for pace in paces:
        pace.refused(100.0, 2.0, None)
    assert len({pace.delay(100.0) for pace in paces}) > 40


def test_silent_refusals_double() -> None:
    """The pause of refusals that name no time begins at a second, doubles, and ends at a minute; an answer resets."""
    pace = Pace(None)
    now = 100.0
    for named in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0):
        pace.refused(now, None, None)
        assert named - 1e-6 <= pace.delay(now) <= named + min(named / 4, 1.0) + 1e-6
        now += pace.delay(now)
    pace.answered(now, None)
    pace.refused(now, None, None)
    assert 1.0 - 1e-6 <= pace.delay(now) <= 1.25 + 1e-6


@given(st.lists(st.tuples(st.floats(0, 9), st.none() | st.floats(0, 1)), max_size=30))
def test_refusals_during_a_pause_do_not_lengthen_it(refusals: list[tuple[float, float | None]]) -> None:
    """What was sent before the pause and is refused in it says nothing new."""
    pace = Pace(None)
    pace.refused(100.0, 10.0, None)
    resumes = 100 + pace.delay(100.0)
    for after, named in sorted(refusals, key=lambda refusal: refusal[0]):
        pace.refused(100 + after, named, None)
    assert resumes == pytest.approx(100 + pace.delay(100.0))
    pace.refused(resumes, None, None)
    assert 2.0 - 1e-6 <= pace.delay(resumes) <= 2.5 + 1e-6


def test_a_later_time_counts_during_a_pause() -> None:
    """A refusal in a pause that names a later time moves its end there."""
    pace = Pace(None)
    pace.refused(100.0, 2.0, None)
    pace.refused(101.0, 30.0, None)
    assert pace.delay(101.0) == 30.0
    pace.refused(102.0, 1e6, None)
    assert pace.delay(102.0) == MINUTE


def flooded(rate: int) -> Pace:
    """Make a pace that was refused after three seconds at a rate, for two seconds, at 103."""
    pace = Pace(None)
    for place in range(rate * 3):
        pace.sent(100 + place / rate)
    pace.refused(103.0, 2.0, None)
    return pace


@pytest.mark.parametrize("rate", [10, 50, 400])
def test_a_refusal_slows_down(rate: int) -> None:
    """After a refusal it goes on at no more than seven tenths of the rate that led to it."""
    sent = saturate(flooded(rate), 103.0, 115.0)
    assert 105.0 <= sent[0] <= 105.5
    assert (
        1.0 <= rate * 0.6 <= len([now for now in sent if now < sent[0] + 10]) / 10 <= max(rate * 0.7, 1.0) * 1.01 + 0.1
    )


def test_answers_during_a_pause_do_not_undo_it() -> None:
    """What was sent before the refusal and is answered in its pause does not bring the old rate back."""
    pace = flooded(10)
    for _ in range(500):
        pace.answered(103.5, None)
    assert len(saturate(pace, 103.0, 115.6)) / 10 <= 7.5


def test_the_rate_recovers() -> None:
    """With answers the rate grows by one a second, each second; a minute after the pause the refusal is forgotten."""
    pace = flooded(10)
    sent: list[float] = []
    for second in range(106, 116):
        went = saturate(pace, second, second + 1)
        for now in went:
            pace.answered(now, None)
        sent.append(len(went))
    assert 7 <= sent[0] <= 9
    assert 15 <= sent[-1] <= 18
    pace.answered(166.0, None)
    assert drive(pace, [170.0] * 100, [0.0]) == [170.0] * 100


def test_the_memory_outlasts_the_pause() -> None:
    """What was learned holds for a minute after the pause, be the pause a minute itself."""
    pace = Pace(None)
    for place in range(100):
        pace.sent(100 + place / 100)
    pace.refused(101.0, MINUTE, None)
    resumes = 101 + pace.delay(101.0)
    pace.answered(resumes, None)
    assert len(saturate(pace, resumes, resumes + 1)) <= 75


@pytest.mark.parametrize("requests", [1, 2, 9])
@pytest.mark.parametrize("said", [None, Allowance(1, 0, 1.0)])
@pytest.mark.parametrize("later", [0.0, 10.0, 55.0, 300.0])
def test_a_refusal_in_a_quiet_moment_does_not_slow_down_the_crowd_after_it(
    requests: int, said: Allowance | None, later: float
) -> None:
    """A few requests did not lead to it, so their rate is no measure: after the pause all go at once."""
    pace = Pace(None)
    for _ in range(requests):
        pace.sent(100.0)
    pace.refused(100.1, 1.0, said)
    since = 102.0 + later
    assert drive(pace, [since] * 1000, [0.0]) == [since] * 1000


def test_a_rate_that_was_learned_is_lowered_while_it_is_refused() -> None:
    """A refusal at the learned rate says that it is too high, although it is low."""
    pace, now = flooded(20), 103.0
    rates = [1 / pace.interval(now)]
    for _ in range(5):
        now += pace.delay(now)
        sent = saturate(pace, now, now + 1.5)
        now = sent[-1]
        pace.refused(now, 1.0, None)
        rates.append(1 / pace.interval(now))
    assert all(later < earlier or later == 1.0 for earlier, later in pairwise(rates))


def test_what_was_learned_is_forgotten_in_time() -> None:
    """A minute after the pause, whether or not a response came meanwhile: the crowd that comes then goes at once."""
    pace = flooded(20)
    since = 103.0 + pace.delay(103.0) + 61.0
    assert drive(pace, [since] * 100, [0.0]) == [since] * 100


@pytest.mark.parametrize("reset", [0.0, 1.0, 2.0])
def test_a_short_window_tells_the_rate(reset: float) -> None:
    """A refusal of a crowd that tells of a window of a second or two sets the rate to a little under its own."""
    pace = Pace(None)
    for _ in range(30):
        pace.sent(100.0)
    pace.refused(100.0, 1.0, Allowance(20, 0, reset))
    rate = 20 / max(reset, 1.0)
    assert 0.9 * rate * 10 <= len(saturate(pace, 101.25, 111.25)) <= rate * 10


class Server:
    """Counts in windows, each of which begins with its first request, and tells of them."""

    def __init__(self, limit: int, window: float, used: int) -> None:
        self.limit, self.window, self.used = limit, window, used
        self.counts: list[int] = []
        self.ends = 0.0

    def take(self, now: float) -> Allowance:
        if now >= self.ends:
            self.ends = now + self.window
            self.counts.append(self.used)
        self.counts[-1] += 1
        return Allowance(self.limit, max(self.limit - self.counts[-1], 0), self.ends - now)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60), st.sampled_from([5.0, 10.0, 60.0]), st.integers(0, 60), st.lists(st.floats(0, 5), max_size=150)
)
def test_announced_windows_are_never_overrun(limit: int, window: float, used: int, gaps: list[float]) -> None:
    """A client that follows each response sends no more than the window holds, for all arrivals."""
    server, pace = Server(limit, window, min(used, limit - 1)), Pace(None)
    now = 0.0
    for gap in gaps:
        now += gap
        while (delay := pace.delay(now)) > 0:
            now = max(now + delay, math.nextafter(now, math.inf))
        pace.sent(now)
        pace.answered(now, server.take(now))
    assert limit >= max(server.counts, default=0)


def test_a_window_that_runs_out_is_spread() -> None:
    """The second half of a window is spread over what is left of it; the first goes as it comes."""
    server, pace = Server(100, 10.0, 0), Pace(None)
    sent: list[float] = []
    now = 0.0
    while now < 9.99:
        if pace.delay(now) <= 0:
            pace.sent(now)
            pace.answered(now, server.take(now))
            sent.append(now)
        now += 0.001
    assert sum(now < 0.1 for now in sent) == 51
    assert 90 <= len(sent) <= 100
    assert max(later - earlier for earlier, later in pairwise(sent)) <= 0.3


def test_a_used_up_window_stops_all_requests() -> None:
    """After a response says that nothing is left, no request goes before the window ends."""
    pace = Pace(None)
    pace.answered(100.0, Allowance(10, 0, 30.0))
    assert pace.delay(100.0) == 30.0
    assert pace.delay(130.0) <= 0.0


def test_answers_may_come_in_another_order() -> None:
    """The least that any answer of a window leaves is what counts."""
    pace = Pace(None)
    pace.answered(100.0, Allowance(10, 0, 30.0))
    pace.answered(100.1, Allowance(10, 3, 30.1))
    assert pytest.approx(pace.delay(100.1)) == 29.9


def test_a_response_about_an_earlier_window_is_ignored() -> None:
    """A response whose window has ended says nothing of the next window."""
    pace = Pace(None)
    pace.answered(100.0, Allowance(10, 0, 5.0))
    pace.answered(106.0, Allowance(10, 0, 0.0))
    assert pace.delay(106.0) <= 0.0


ALLOWANCES = st.none() | st.builds(
    Allowance, st.integers(1, 10**10), st.integers(0, 10**10), st.floats(0, 86_400, allow_nan=False)
)


@settings(max_examples=200, deadline=None)
@given(
    st.none() | RATES,
    st.lists(st.tuples(st.sampled_from("wra"), st.floats(0, 100), st.none() | st.floats(0, 86_400), ALLOWANCES)),
)
def test_nothing_raises(rate: float | None, steps: list[tuple[str, float, float | None, Allowance | None]]) -> None:
    """Whatever the server says, the delay is a number, and no longer than the longest window."""
    pace = Pace(rate)
    now = 0.0
    for kind, gap, named, said in steps:
        now += gap
        if kind == "w":
            now += max(pace.delay(now), 0.0)
            pace.sent(now)
        elif kind == "r":
            pace.refused(now, named, said)
        else:
            pace.answered(now, said)
        assert pace.delay(now) <= 2 * 86_400


def test_one_refusal_does_not_slow_down_a_quota_that_was_set() -> None:
    """One is a matter of moments, and its pause is enough; a second one soon after says that the quota is less."""
    paces = [Pace(10.0), Pace(10.0)]
    for again, pace in enumerate(paces):
        now = 100.0
        for _ in range(1 + again):
            for _ in range(10):
                now += max(pace.delay(now), 0.0)
                pace.sent(now)
            pace.refused(now, 1.0, None)
            now += max(pace.delay(now), 0.0)
            pace.answered(now, None)
    once, twice = (pace.interval(now) for pace in paces)
    assert pytest.approx(once) == 1 / 9.7
    # Seven tenths of what led to it, which the seconds of a clock divide in one way or another.
    assert 1.1 / 9.7 < twice < 1 / 3


def test_a_pause_teaches_nothing() -> None:
    """After it requests go as before, and a 429 pauses them as the first one does."""
    pace = Pace(None)
    for place in range(300):
        pace.sent(100 + place / 100)
    for _ in range(8):
        pace.pause(103.0, 1.0)
    assert 1.0 <= pace.delay(103.0) <= 1.25
    assert pace.interval(105.0) == 0
    pace.refused(110.0, None, None)
    assert 1.0 <= pace.delay(110.0) <= 1.25
