"""The random part of a pause: callers that were refused together must not retry together."""

from __future__ import annotations

import random

_SHARE = 0.25  # of a pause, added at random
_AT_MOST = 1.0  # seconds


def with_jitter(pause: float) -> float:
    """Return a pause, and by chance a little more."""
    return pause + random.uniform(0, _most_jitter(pause))  # noqa: S311 - no secret


def with_most_jitter(pause: float) -> float:
    """Return the longest that :func:`with_jitter` makes of a pause."""
    return pause + _most_jitter(pause)


def _most_jitter(pause: float) -> float:
    return min(pause * _SHARE, _AT_MOST)
