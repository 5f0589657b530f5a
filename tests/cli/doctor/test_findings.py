"""The values that checks return."""

from __future__ import annotations

from passwordless_async.cli.doctor.findings import Finding, Status, Verdict, advice, failed, not_checked, shortened
from passwordless_async.errors import InvalidTarget, NotSent, RateLimited, WrongCode


def test_only_a_failed_check_fails() -> None:
    """A warning and a check that was not made are no failure."""
    found = [Finding("a", Status.WARNING, "seen"), *not_checked("b", "c"), Finding("d", Status.OK, "seen")]
    assert not failed(found)
    assert failed([*found, Finding("e", Status.FAILED, "seen")])


def test_the_verdict() -> None:
    """The worst counts; a check that was not made changes nothing."""
    fine, unseen = Finding("a", Status.OK, "seen"), not_checked("b")[0]
    warning, wrong = Finding("c", Status.WARNING, "seen"), Finding("d", Status.FAILED, "seen")
    assert [Verdict.of(found) for found in ([], [fine, unseen], [fine, warning], [warning, wrong, fine])] == [
        *("ok", "ok", "warnings", "failed")
    ]


def test_a_finding_as_json() -> None:
    """Programs get stable words; a check that was not made has no advice."""
    found = not_checked("API policy", audience="https://api.example")[0]
    assert found.title == "API policy of https://api.example"
    assert found.to_json() == {
        "check": "api_policy",
        "audience": "https://api.example",
        "status": "not_checked",
        "detail": "an earlier check failed",
        "advice": "",
    }


def test_advice_is_for_a_person_at_a_terminal() -> None:
    """What is written for a program that retries is said in other words; the rest is the error's own."""
    wrong = WrongCode(status=403, error="invalid_grant")
    assert advice(RateLimited(status=429, error="too_many_requests")) == "Wait a while, then try again."
    assert advice(NotSent("no route")) == "Check the network and try again later."
    assert advice(wrong) == wrong.advice
    assert advice(InvalidTarget(status=400, error="invalid_target")).startswith("Check --audience: ")


def test_long_values_are_shortened() -> None:
    """A tenant cannot fill the screen."""
    assert shortened("x" * 200) == "x" * 200
    assert shortened("x" * 201) == f"{'x' * 200}…"
    assert shortened(None) == "None"
