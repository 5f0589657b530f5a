"""Secrets that are presented again."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from passwordless_async.testing import TenantStats
from passwordless_async.testing.checks.presentations import Presentations

ADA = {"grant_type": "otp", "username": "ada@example.com", "otp": "123456"}


def present_twice(first: dict[str, str], second: dict[str, str], *, status: int, challenged: bool = False) -> int:
    """Present two requests, the first with a response, and return how many were presented again."""
    stats = TenantStats()
    presentations = Presentations(stats)
    grant = presentations.note_request(urlencode(first).encode())
    presentations.note_response(grant, status, challenged=challenged)
    presentations.note_request(urlencode(second).encode())
    return stats.presented_again


@pytest.mark.parametrize(
    ("status", "challenged", "again"),
    [(200, False, 1), (403, False, 1), (503, False, 1), (400, True, 0), (429, False, 0)],
)
def test_a_secret_may_come_again_after_a_challenge_and_a_429(status: int, *, challenged: bool, again: int) -> None:
    """After every other response, a second presentation counts."""
    assert present_twice(ADA, ADA, status=status, challenged=challenged) == again


def test_a_lost_response_counts() -> None:
    """A secret without a response may be spent."""
    stats = TenantStats()
    presentations = Presentations(stats)
    for _ in range(3):
        presentations.note_request(urlencode(ADA).encode())

    assert stats.presented_again == 2


@pytest.mark.parametrize("change", [{"otp": "654321"}, {"username": "bob@example.com"}, {"grant_type": "mfa"}])
def test_another_grant_is_another_secret(change: dict[str, str]) -> None:
    """Another code, user or grant type is not presented again."""
    assert present_twice(ADA, {**ADA, **change}, status=403) == 0


def test_a_request_without_a_secret_is_not_noted() -> None:
    """A poll presents no secret, however often it comes."""
    assert present_twice({"oob_code": "1"}, {"oob_code": "1"}, status=400) == 0
