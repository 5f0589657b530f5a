"""What each error of the library is to the user."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from passwordless_async import MfaRequired, PasswordlessError, errors
from passwordless_async.auth0 import refusals
from passwordless_async.auth0.id_token import UncheckedIdToken
from passwordless_async.gateway import Refused, Texts
from passwordless_async.gateway.problems import _TABLE, problem_of


def tree(kind: type[PasswordlessError]) -> list[type[PasswordlessError]]:
    ours = [each for each in kind.__subclasses__() if each.__module__.startswith("passwordless_async")]
    return [kind, *(below for each in ours for below in tree(each))]


ERRORS = tree(PasswordlessError)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_key_a_status_and_a_text(kind: type[PasswordlessError]) -> None:
    """Its own row, or that of a class above it which says what the user needs to know."""
    error = kind.__new__(kind)
    problem, status = problem_of(error)
    assert isinstance(status, HTTPStatus)
    texts = Texts()
    assert texts.get("en", "problem", problem.key) != problem.key
    assert any(above in _TABLE for above in kind.__mro__)


# Each error of the library, as it is to the user: the text's key, and the gateway's status.
TOLD: dict[str, tuple[str, int]] = {
    "PasswordlessError": ("fault", 500),
    "UsageError": ("fault", 500),
    "InvalidInput": ("invalid_input", 400),
    "ClientClosed": ("service_unavailable", 503),
    "OAuthError": ("not_possible", 403),
    "WrongCode": ("wrong_code", 403),
    "CodeExpired": ("code_expired", 403),
    "TooManyAttempts": ("too_many_attempts", 403),
    "AuthorizationPending": ("approval_pending", 202),
    "SlowDown": ("approval_pending", 202),
    "MfaTokenExpired": ("login_expired", 403),
    "RateLimited": ("too_many_requests", 429),
    "AccessDenied": ("access_denied", 403),
    "VerificationRequired": ("captcha_needed", 403),
    "SmsFailed": ("sms_failed", 502),
    "InvalidPhoneNumber": ("phone_not_reachable", 400),
    "RegionNotAllowed": ("region_not_allowed", 403),
    "SmsGatewayFailed": ("sms_failed", 502),
    "InvalidClient": ("misconfigured", 500),
    "UnauthorizedClient": ("misconfigured", 500),
    "InvalidTarget": ("misconfigured", 500),
    "InvalidToken": ("session_ended", 401),
    "InsufficientScope": ("scope_missing", 403),
    "InsufficientUserAuthentication": ("step_up_needed", 403),
    "InvalidRefreshToken": ("session_ended", 401),
    "TemporarilyUnavailable": ("service_unavailable", 503),
    "DPoPRequired": ("misconfigured", 500),
    "InvalidDPoPProof": ("misconfigured", 500),
    "UseDPoPNonce": ("send_again", 503),
    "NonceChallengeRepeated": ("service_unavailable", 503),
    "MfaRequired": ("second_factor", 403),
    "ProtocolError": ("untrusted_answer", 502),
    "NotSenderConstrained": ("untrusted_answer", 502),
    "SenderConstrained": ("untrusted_answer", 502),
    "InvalidIdToken": ("untrusted_answer", 502),
    "InvalidLogoutToken": ("malformed_request", 400),
    "InvalidCallback": ("link_not_valid", 400),
    "MalformedAnswer": ("untrusted_answer", 502),
    "TransportError": ("service_unavailable", 503),
    "NotSent": ("service_unavailable", 503),
    "CircuitOpen": ("service_unavailable", 503),
    "OutcomeUnknown": ("outcome_unknown", 502),
    "QuotaExceeded": ("too_many_requests", 429),
    "CoolingDown": ("cooling_down", 429),
    "CodeSpent": ("code_spent", 403),
    "StoreError": ("store_unavailable", 503),
    "StoreUnavailable": ("store_unavailable", 503),
    "InvalidSession": ("session_ended", 401),
    "BrokenSeal": ("session_ended", 401),
    "KeyMissing": ("session_ended", 401),
    "KeyMismatch": ("session_ended", 401),
    "BindingRequired": ("session_ended", 401),
    "InvalidMfaState": ("login_expired", 403),
}


def test_what_each_error_is() -> None:
    """All of them, so that a new error is given a text of its own or that of its class on purpose."""
    told = {kind.__name__: problem_of(kind.__new__(kind)) for kind in ERRORS if kind is not UncheckedIdToken}
    assert {name: (problem.key, int(status)) for name, (problem, status) in told.items()} == TOLD


def test_the_table_has_no_stranger() -> None:
    """Each row is of the tree."""
    assert set(_TABLE) <= set(ERRORS)
    assert MfaRequired in _TABLE


@pytest.mark.parametrize(
    ("error", "key", "status", "facts"),
    [
        (errors.CoolingDown(retry_after=12.2), "cooling_down", 429, {"seconds": 13}),
        (
            errors.RateLimited(status=429, error="too_many_requests", retry_after=2.0),
            "too_many_requests",
            429,
            {"seconds": 3},
        ),
        (
            errors.RateLimited(status=429, error="too_many_requests", retry_after=30.0),
            "too_many_requests",
            429,
            {"seconds": 31},
        ),
        (errors.RateLimited(status=429, error="too_many_requests"), "too_many_requests", 429, {}),
        (errors.CircuitOpen(retry_after=3.0), "service_unavailable", 503, {"seconds": 3}),
        (errors.StoreUnavailable("x"), "store_unavailable", 503, {}),
        (errors.InvalidInput("code", "must be digits"), "invalid_input", 400, {}),
        (errors.UsageError("scope", "must be"), "fault", 500, {}),
        (errors.ClientClosed(), "service_unavailable", 503, {"seconds": 1}),
        (Refused(), "refused", 403, {}),
        (Refused("closed", status=503, retry_after=60), "closed", 503, {"seconds": 60}),
    ],
)
def test_facts(error: Any, key: str, status: int, facts: dict[str, int]) -> None:
    """Seconds are whole, and never too few."""
    problem, told = problem_of(error, "code")
    assert (problem.key, told, problem.facts, problem.field) == (key, status, facts, "code")


@pytest.mark.parametrize(
    ("code", "description", "told"),
    [
        ("bad.authParams", "", ("misconfigured", 500)),
        ("bad.connection", "Connection does not exist", ("misconfigured", 500)),
        ("bad.connection", "Public signup is disabled", ("access_denied", 403)),
        ("bad.request", "", ("misconfigured", 500)),
        ("bad.send", "", ("misconfigured", 500)),
        ("bad.tenant", "", ("misconfigured", 500)),
        ("endpoint_disabled", "", ("misconfigured", 500)),
        ("invalid_scope", "", ("misconfigured", 500)),
        ("unsupported_grant_type", "", ("misconfigured", 500)),
        ("bad.email", "", ("invalid_identifier", 400)),
        ("bad.phone_number", "", ("phone_not_reachable", 400)),
    ],
)
def test_what_no_user_causes_is_a_setting(code: str, description: str, told: tuple[str, int]) -> None:
    """Those the log names; what the user typed is theirs."""
    problem, status = problem_of(refusals.meant(400, code, description, ()))
    assert (problem.key, int(status)) == told


@pytest.mark.parametrize(
    ("error", "is_named"),
    [
        (errors.UsageError("client", "is not open"), True),
        (errors.InvalidClient(status=401, error="invalid_client"), True),
        (errors.OAuthError(status=403, error="access_denied"), True),
        (errors.NotSenderConstrained("the token is not bound"), True),
        (errors.AccessDenied(status=403, error="access_denied"), True),
        (errors.WrongCode(status=403, error="invalid_grant"), False),
        (errors.InvalidInput("otp", "must not be empty"), False),
        (errors.NotSent("nothing was sent"), False),
        (errors.ClientClosed(), False),
        (Refused("fault"), False),
    ],
)
def test_what_only_the_operator_can_mend_is_named_to_the_log(error: Any, *, is_named: bool) -> None:
    """What users do themselves, and what the client's events tell of, is not."""
    assert problem_of(error)[0].cause is (error if is_named else None)
