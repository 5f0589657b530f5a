"""The laws of stateless nonces."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async.dpop.server.nonce_issuer import NonceIssuer
from passwordless_async.errors import UsageError, UseDPoPNonce

SECRET = b"0123456789abcdef0123456789abcdef"
instants = st.floats(0, 4e9)
steps = st.integers(1, 3600)


def at(now: float, step: int = 60, secret: bytes = SECRET) -> NonceIssuer:
    """Return an issuer with a stopped clock."""
    return NonceIssuer(secret, step=step, clock=lambda: now)


def accepts(issuer: NonceIssuer, nonce: str) -> bool:
    """Tell whether an issuer accepts a nonce."""
    try:
        issuer.check(nonce, status=401)
    except UseDPoPNonce:
        return False
    return True


@given(instants, steps, st.integers(-3, 3))
def test_neighbours_are_accepted(now: float, step: int, offset: int) -> None:
    """Rule 29: a nonce is accepted in its own time step, the one before and the one after, and in no other."""
    middle = (now // step + 0.5) * step
    nonce = at(middle, step).issue()
    assert accepts(at(middle + offset * step, step), nonce) == (abs(offset) <= 1)


@given(instants, steps)
def test_validity_ends_where_it_says(now: float, step: int) -> None:
    """Rule 29: the seconds left are those until the end of the step after the nonce's own."""
    nonce = at(now, step).issue()
    until = now + at(now, step).check(nonce, status=401).seconds_left
    assert now + step <= until <= now + 2 * step + 1
    assert accepts(at(until - step / 2, step), nonce)
    assert not accepts(at(until + step / 2, step), nonce)


@given(instants, steps)
def test_successor_only_when_it_changes(now: float, step: int) -> None:
    """Rule 29: a newer nonce is offered to the client of the step before, to no other."""
    middle = (now // step + 0.5) * step
    issuer, nonce = at(middle, step), at(middle, step).issue()
    assert issuer.check(nonce, status=401).successor is None
    after = at(middle + step, step)
    assert after.check(nonce, status=401).successor == after.issue() != nonce
    assert at(middle - step, step).check(nonce, status=401).successor is None


@given(instants)
def test_is_stateless(now: float) -> None:
    """Rule 29: two processes with one secret accept each other's nonces; another secret or step does not."""
    nonce = at(now).issue()
    assert at(now).issue() == nonce
    assert accepts(at(now), nonce)
    assert not accepts(at(now, secret=b"x" * 32), nonce)
    assert not accepts(at(now, step=61), nonce)


@given(st.lists(st.integers(0, 10**7), unique=True, min_size=2, max_size=20))
def test_is_unpredictable(numbers: list[int]) -> None:
    """Rule 29: each step has a nonce of its own, 192 bits of it, of the characters that RFC 9449 §8.1 allows."""
    nonces = [at(number * 60).issue() for number in numbers]
    assert len(set(nonces)) == len(nonces)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", nonce) for nonce in nonces)


@given(st.text() | st.none())
def test_refuses_anything_else(nonce: str | None) -> None:
    """Rule 29: whatever else comes is answered by a challenge with the newest nonce and the caller's status."""
    issuer = at(1e9)
    for status in (400, 401):
        with pytest.raises(UseDPoPNonce) as caught:
            issuer.check(nonce, status=status)
        assert (caught.value.status, caught.value.nonce) == (status, issuer.issue())


def test_lone_surrogate_is_refused() -> None:
    """Rule 29: a nonce that cannot be encoded is refused like any other."""
    assert not accepts(at(1e9), "\ud800")


def test_clock_may_go_back() -> None:
    """Rule 29: a clock that is set back finds its old nonces again."""
    now = 1e9
    issuer = NonceIssuer(SECRET, clock=lambda: now)
    first = issuer.issue()
    now += 1000
    assert issuer.issue() != first
    now -= 1000
    assert issuer.issue() == first


def test_comparison_is_of_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 29: all three nonces are compared by compare_digest, even after a match."""
    counted: list[None] = []

    def compare(left: bytes, right: bytes) -> bool:
        counted.append(None)
        return left == right

    issuer = at(1e9)
    nonces = [at(1e9 + offset).issue() for offset in (-60, 0, 60)]
    monkeypatch.setattr("passwordless_async.dpop.server.nonce_issuer.hmac.compare_digest", compare)
    for nonce in nonces:
        counted.clear()
        issuer.check(nonce, status=401)
        assert len(counted) == 3


def test_random_secret_is_hidden() -> None:
    """Without a secret each issuer has its own, and none shows in a repr."""
    first, second = NonceIssuer(), NonceIssuer()
    assert accepts(first, first.issue())
    assert first.issue() != second.issue()
    assert repr(first) == "<NonceIssuer, a new nonce every 60 seconds>"
    assert repr(first._secret) == "<redacted>"


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"secret": b"short"}, "secret"),
        ({"secret": "x" * 32}, "secret"),
        ({"step": 0}, "step"),
        ({"step": 0.5}, "step"),
    ],
)
def test_wrong_settings(arguments: dict[str, Any], argument: str) -> None:
    """The application's own mistakes are UsageError."""
    with pytest.raises(UsageError) as caught:
        NonceIssuer(**arguments)
    assert caught.value.argument == argument
