"""The pages of problems that no form can correct."""

from __future__ import annotations

import pytest

from passwordless_async.gateway.replies import Page, Problem, Reply
from passwordless_async.gateway.steps.problem_pages import fault, without_form


def test_a_page_of_a_problem_has_its_status_and_a_way_to_try_again() -> None:
    """The link is there only if a page is named."""
    assert [fault("csrf", 403).facts, fault("csrf", 403, retry_to="/login").facts] == [
        {"status": 403},
        {"status": 403, "retry_to": "/login"},
    ]


@pytest.mark.parametrize(
    ("key", "page", "shown"),
    [
        ("misconfigured", Page.IDENTIFIER, Page.FAULT),
        ("misconfigured", Page.RECOVERY_CODES, Page.RECOVERY_CODES),
        ("wrong_code", Page.CODE, Page.CODE),
    ],
)
def test_a_wrong_setting_takes_the_form_away(key: str, page: Page, shown: Page) -> None:
    """Nothing that the user types can help. Recovery codes stay: the service does not send them again."""
    assert without_form(Reply(page=page, problem=Problem(key), status=500)).page is shown
