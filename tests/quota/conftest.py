"""A clock that stands still until a test moves it."""

from __future__ import annotations

import pytest

from passwordless_async import _clock


class Clock:
    """A clock that the test sets."""

    time = 1000.0

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the clock."""
    stopped = Clock()
    monkeypatch.setattr(_clock, "monotonic", stopped.monotonic)
    return stopped
