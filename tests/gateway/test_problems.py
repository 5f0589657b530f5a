"""What each error of the library is to the user."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from passwordless_async import MfaRequired, PasswordlessError, errors
from passwordless_async.gateway import Refused, Texts
from passwordless_async.gateway.problems import _TABLE, problem_of


def tree(kind: type[PasswordlessError]) -> list[type[PasswordlessError]]:
    ours = [each for each in kind.__subclasses__() if each.__module__.startswith("passwordless_async")]
    return [kind, *(below for each in ours for below in tree(each))]


ERRORS = tree(PasswordlessError)
# Of these no browser is to blame, and a general text is all that there is to say.
GENERAL = {PasswordlessError, errors.UsageError, errors.OAuthError, errors.StoreError, errors.ProtocolError}


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_key_a_status_and_a_text(kind: type[PasswordlessError]) -> None:
    """Its own row, or that of a class above it which says what the user needs to know."""
    error = kind.__new__(kind)
    problem, status = problem_of(error)
    assert isinstance(status, HTTPStatus)
    texts = Texts()
    assert texts.get("en", "problem", problem.key) != problem.key
    assert any(above in _TABLE for above in kind.__mro__)


def test_the_table_has_no_stranger() -> None:
    """Each row is of the tree."""
    assert set(_TABLE) <= set(ERRORS)
    assert MfaRequired in _TABLE


@pytest.mark.parametrize(
    ("error", "key", "status", "facts"),
    [
        (errors.CoolingDown(retry_after=12.2), "cooling_down", 429, {"seconds": 13}),
        (errors.CircuitOpen(retry_after=3.0), "service_unavailable", 503, {"seconds": 3}),
        (errors.StoreUnavailable("x"), "store_unavailable", 503, {}),
        (errors.InvalidInput("code", "must be digits"), "invalid_input", 400, {}),
        (errors.UsageError("scope", "must be"), "fault", 500, {}),
        (Refused(), "refused", 403, {}),
        (Refused("closed", status=503, retry_after=60), "closed", 503, {"seconds": 60}),
    ],
)
def test_facts(error: Any, key: str, status: int, facts: dict[str, int]) -> None:
    """Seconds are whole, and never too few."""
    problem, told = problem_of(error, "code")
    assert (problem.key, told, problem.facts, problem.field) == (key, status, facts, "code")
