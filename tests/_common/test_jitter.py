"""The random part of a pause."""

from __future__ import annotations

import random

import pytest

from passwordless_async._common.jitter import with_jitter, with_most_jitter


@pytest.mark.parametrize(
    ("pause", "at_most"), [(0.0, 0.0), (1.0, 1.25), (4.0, 5.0), (4.1, 5.1), (60.0, 61.0), (3600.0, 3601.0)]
)
def test_a_pause_gets_longer_by_chance(pause: float, at_most: float) -> None:
    """By up to a quarter, and up to a second; never shorter."""
    random.seed(1)
    longer = [with_jitter(pause) for _ in range(1000)]
    assert with_most_jitter(pause) == pytest.approx(at_most)
    assert pause <= min(longer) <= max(longer) <= at_most
    assert max(longer) - min(longer) == pytest.approx(at_most - pause, abs=0.02)
