"""The rows of refusals."""

from __future__ import annotations

import pytest

from passwordless_async.testing import refusals
from passwordless_async.testing.refusals import Refusal, RequestRefused, bad_start, invalid_request


def test_a_reason_follows_the_text() -> None:
    """A reason is appended, and the row itself stays as it is."""
    refused = refusals.INVALID_CLIENT.because("no client certificate")

    assert refused.description == "Client authentication failed: no client certificate"
    assert (refused.status, refused.error) == (401, "invalid_client")
    assert refusals.INVALID_CLIENT.description == "Client authentication failed"


@pytest.mark.parametrize(
    ("raised", "error"),
    [(invalid_request("no code"), "invalid_request"), (bad_start("send", "unknown"), "bad.send")],
)
def test_malformed_requests_have_their_own_codes(raised: RequestRefused, error: str) -> None:
    """Token requests are refused with RFC 6749's code, start requests with ``bad.`` and the member."""
    assert (raised.refusal.status, raised.refusal.error, str(raised)) == (400, error, error)


def test_every_row_is_an_error() -> None:
    """Each row has the status of an error, a code and a text."""
    rows = [row for row in vars(refusals).values() if isinstance(row, Refusal)]

    assert len(rows) > 25
    assert [row for row in rows if row.status < 400 or not row.error or not row.description] == []
