"""Clocks and randomness: units, and how much is random."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from passwordless_async._common import clock

if TYPE_CHECKING:
    import pytest


def test_the_wall_clock_is_in_seconds_since_the_epoch() -> None:
    """It is the clock of the system."""
    before = time.time()
    assert before <= clock.now() <= time.time()


def test_the_monotonic_clock_never_goes_back() -> None:
    """Durations are measured with it."""
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


def test_a_steady_clock_is_not_set_with_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins as the wall clock and goes on by the monotonic one."""
    wall, monotonic = 1_700_000_000.0, 5.0
    monkeypatch.setattr(clock, "now", lambda: wall)
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic)
    steady = clock.steady()
    assert steady() == 1_700_000_000.0
    wall, monotonic = 3.0, 7.5
    assert steady() == 1_700_000_002.5


def test_cpu_time_grows_with_work_and_not_with_waiting() -> None:
    """It counts all threads of this process, in seconds."""
    before = clock.cpu()
    sum(range(200_000))
    assert 0 < clock.cpu() - before < 5


def test_an_identifier_has_128_random_bits() -> None:
    """22 characters of base64url, none seen twice (RFC 9449 §4.2 requires 96 bits)."""
    made = {clock.unique_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", one) for one in made)


def test_random_bytes_have_the_length_asked_for() -> None:
    """Two draws differ."""
    assert len(clock.random_bytes(32)) == 32
    assert clock.random_bytes(32) != clock.random_bytes(32)
