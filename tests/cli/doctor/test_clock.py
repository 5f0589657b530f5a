"""The skew between this machine's clock and the tenant's."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from multidict import CIMultiDict

from passwordless_async._common.http import HttpResponse
from passwordless_async.cli.doctor.clock import Timed, judge_clock
from passwordless_async.cli.doctor.findings import Status


@pytest.mark.parametrize(
    ("headers", "at", "status"),
    [
        ({}, 0.0, Status.NOT_CHECKED),
        ({"Date": "yesterday"}, 0.0, Status.NOT_CHECKED),
        ({"Date": formatdate(1000, usegmt=True)}, 1000.0, Status.OK),
        ({"Date": formatdate(1000)}, 1000.0, Status.OK),
        ({"Date": formatdate(1000, usegmt=True)}, 1010.4, Status.OK),
        ({"Date": formatdate(1000, usegmt=True)}, 1010.6, Status.WARNING),
        ({"Date": formatdate(1000, usegmt=True)}, 1060.4, Status.WARNING),
        ({"Date": formatdate(1000, usegmt=True)}, 1060.6, Status.FAILED),
        ({"Date": formatdate(1000, usegmt=True)}, 939.0, Status.FAILED),
        ({"Date": formatdate(1000, usegmt=True), "Age": "600"}, 1600.0, Status.OK),
        ({"Date": formatdate(1000, usegmt=True), "Age": "9" * 5000}, 1000.0, Status.OK),
    ],
)
def test_skew_is_judged_by_the_date(headers: dict[str, str], at: float, status: Status) -> None:
    """The skew is judged by ``Date``, to the second, plus the ``Age`` in a cache; without a date nothing is judged."""
    answer = Timed(HttpResponse(200, CIMultiDict(headers)), at)
    assert judge_clock(answer).status is status


def test_without_an_answer_the_clock_is_not_checked() -> None:
    """No response, no finding about the clock."""
    assert judge_clock(None).status is Status.NOT_CHECKED
