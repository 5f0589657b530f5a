"""The memory of ``jti`` values."""

from __future__ import annotations

from passwordless_async.testing.checks.replays import SeenJtis


def test_a_full_memory_refuses() -> None:
    """A full memory forgets expired entries only, and otherwise refuses new ones."""
    memory = SeenJtis(2)
    assert memory.add("key", "1", until=10, now=0)
    assert memory.add("key", "2", until=20, now=0)
    assert not memory.add("key", "3", until=30, now=0)
    assert not memory.add("key", "1", until=10, now=0)
    assert memory.add("key", "3", until=30, now=10)
