"""The states of new logins."""

from __future__ import annotations

from passwordless_async.gateway.steps.new_logins import new_id


def test_ids_are_random() -> None:
    """128 bits, which are not shown."""
    assert (len({new_id() for _ in range(100)}), len(new_id()), repr(new_id())) == (100, 22, "<redacted>")
