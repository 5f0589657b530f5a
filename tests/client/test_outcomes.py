"""Results of calls for many users, and what goes into them."""

from __future__ import annotations

import attrs
import pytest

from passwordless_async import (
    ClosingReport,
    Email,
    Login,
    NotSent,
    Orphan,
    Outcome,
    Start,
    StartOutcome,
    TokenSet,
    UsageError,
)
from passwordless_async._common.secret import Secret
from passwordless_async.dpop import DPoPKey

ADA = Email("ada@example.com")


def test_results_print_no_secret() -> None:
    """Neither the code nor the tokens are in the repr of an outcome or an orphan."""
    tokens = TokenSet(Secret("a-token"), "DPoP", None, "", None, None, None, DPoPKey.generate())
    outcome = Outcome(Login(ADA, "a-code"), tokens=tokens)
    printed = f"{outcome!r} {Orphan(ADA, tokens)!r}"
    assert [secret for secret in ("a-code", "a-token") if secret in printed] == []


def test_a_start_is_checked_when_it_is_made() -> None:
    """A wrong argument is named before the start is handed to ``start_many``."""
    with pytest.raises(UsageError, match="who"):
        Start("ada@example.com")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="language"):
        Start(ADA, language="not a tag")


def test_the_tag_is_the_callers_own() -> None:
    """Two starts of one user are equal whatever their tags, and each keeps its tag untouched."""
    tag = object()
    assert Start(ADA, tag=tag) == Start(ADA)
    assert StartOutcome(Start(ADA, tag=tag), error=NotSent("m")).start.tag is tag


def test_an_empty_report_abandoned_nothing() -> None:
    """A client that closes with nothing on the wire reports zeros, and reports are values."""
    report = ClosingReport()
    assert (report.exchanges, report.refreshes, report.factors, report.others) == ((), 0, 0, 0)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        report.others = 1  # type: ignore[misc]
