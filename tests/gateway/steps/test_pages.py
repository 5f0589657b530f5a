"""The pages of a login, as replies."""

from __future__ import annotations

import pytest

from passwordless_async import Email, Phone
from passwordless_async.gateway.steps.pages import masked


@pytest.mark.parametrize(
    ("who", "shown"),
    [
        (Email("ada@example.com"), "a•a@example.com"),
        (Email("ab@example.com"), "a•b@example.com"),
        (Email("a@example.com"), "a•@example.com"),
        (Email("lovelace@example.com"), "l••••••e@example.com"),
        (Phone("+4930901820"), "+49••••••20"),
        (Phone("+4912345"), "••••••••"),
        (None, ""),
    ],
)
def test_masked(who: Email | Phone | None, shown: str) -> None:
    """Enough for its owner to see a mistake, and not enough for anyone else."""
    assert masked(who) == shown
