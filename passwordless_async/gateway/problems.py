"""Maps the library's errors to responses for users: a text's key, a status, and the values in the text.

Invariants:

- Every error of the library has a row, its own or that of a class above it. A test walks the whole tree.
- A text never says whether an account exists, and never quotes a server.
- An error that only the operator can correct is the problem's cause, which is logged.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

from passwordless_async import errors
from passwordless_async._common.jitter import with_most_jitter
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.gateway.replies import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.errors import PasswordlessError


class Refused(Exception):
    """Raise it in a hook to refuse the user's request.

    Args:
        key: The key of the text for the user; one of your own catalog, or ``refused``.
        status: The HTTP status.
        retry_after: Seconds after which the same may be allowed; None if it will not be.
    """

    def __init__(
        self, key: str = "refused", *, status: int = HTTPStatus.FORBIDDEN, retry_after: float | None = None
    ) -> None:
        super().__init__(key)
        self.key = key
        self.status = status
        self.retry_after = retry_after


_TABLE: Mapping[type[PasswordlessError], tuple[str, HTTPStatus]] = {
    errors.PasswordlessError: ("fault", HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.UsageError: ("fault", HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.InvalidInput: ("invalid_input", HTTPStatus.BAD_REQUEST),
    errors.ClientClosed: ("service_unavailable", HTTPStatus.SERVICE_UNAVAILABLE),
    errors.OAuthError: ("not_possible", HTTPStatus.FORBIDDEN),
    errors.WrongCode: ("wrong_code", HTTPStatus.FORBIDDEN),
    errors.CodeExpired: ("code_expired", HTTPStatus.FORBIDDEN),
    errors.CodeSpent: ("code_spent", HTTPStatus.FORBIDDEN),
    errors.TooManyAttempts: ("too_many_attempts", HTTPStatus.FORBIDDEN),
    MfaRequired: ("second_factor", HTTPStatus.FORBIDDEN),
    errors.AuthorizationPending: ("approval_pending", HTTPStatus.ACCEPTED),
    errors.MfaTokenExpired: ("login_expired", HTTPStatus.FORBIDDEN),
    errors.InvalidMfaState: ("login_expired", HTTPStatus.FORBIDDEN),
    errors.RateLimited: ("too_many_requests", HTTPStatus.TOO_MANY_REQUESTS),
    errors.QuotaExceeded: ("too_many_requests", HTTPStatus.TOO_MANY_REQUESTS),
    errors.CoolingDown: ("cooling_down", HTTPStatus.TOO_MANY_REQUESTS),
    errors.AccessDenied: ("access_denied", HTTPStatus.FORBIDDEN),
    errors.VerificationRequired: ("captcha_needed", HTTPStatus.FORBIDDEN),
    errors.SmsFailed: ("sms_failed", HTTPStatus.BAD_GATEWAY),
    errors.InvalidPhoneNumber: ("phone_not_reachable", HTTPStatus.BAD_REQUEST),
    errors.RegionNotAllowed: ("region_not_allowed", HTTPStatus.FORBIDDEN),
    errors.InvalidClient: ("misconfigured", HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.UnauthorizedClient: ("misconfigured", HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.InvalidTarget: ("misconfigured", HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.TemporarilyUnavailable: ("service_unavailable", HTTPStatus.SERVICE_UNAVAILABLE),
    # The session is valid, and the user must confirm it: not 401, which removes the session's cookie.
    errors.InsufficientUserAuthentication: ("step_up_needed", HTTPStatus.FORBIDDEN),
    errors.InsufficientScope: ("scope_missing", HTTPStatus.FORBIDDEN),
    errors.DPoPRequired: ("misconfigured", HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.InvalidDPoPProof: ("misconfigured", HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.UseDPoPNonce: ("send_again", HTTPStatus.SERVICE_UNAVAILABLE),
    errors.NonceChallengeRepeated: ("service_unavailable", HTTPStatus.SERVICE_UNAVAILABLE),
    errors.ProtocolError: ("untrusted_answer", HTTPStatus.BAD_GATEWAY),
    errors.InvalidLogoutToken: ("malformed_request", HTTPStatus.BAD_REQUEST),
    errors.InvalidCallback: ("link_not_valid", HTTPStatus.BAD_REQUEST),
    errors.TransportError: ("service_unavailable", HTTPStatus.SERVICE_UNAVAILABLE),
    errors.OutcomeUnknown: ("outcome_unknown", HTTPStatus.BAD_GATEWAY),
    errors.StoreError: ("store_unavailable", HTTPStatus.SERVICE_UNAVAILABLE),
    errors.InvalidSession: ("session_ended", HTTPStatus.UNAUTHORIZED),
    errors.InvalidRefreshToken: ("session_ended", HTTPStatus.UNAUTHORIZED),
    errors.InvalidToken: ("session_ended", HTTPStatus.UNAUTHORIZED),
    errors.KeyMissing: ("session_ended", HTTPStatus.UNAUTHORIZED),
    errors.KeyMismatch: ("session_ended", HTTPStatus.UNAUTHORIZED),
    errors.BindingRequired: ("session_ended", HTTPStatus.UNAUTHORIZED),
    errors.BrokenSeal: ("session_ended", HTTPStatus.UNAUTHORIZED),
}


# Codes of a plain OAuthError that only settings cause, never the user's input, and what the log says to check; treated
# as UnauthorizedClient.
OF_SETTINGS: Mapping[str, str] = {
    "bad.authParams": "Check the application's Allowed Callback URLs, audience and scope: a magic link has them.",
    "bad.connection": "Check Authentication > Passwordless: it must be on, and enabled for the application.",
    "bad.request": "Check the tenant's logs: it does not accept a field of the request.",
    "bad.send": "Check magic_link and the connection in Authentication > Passwordless: it must send what is asked for.",
    "bad.tenant": "Check domain: it must be the tenant's, or its custom domain.",
    "endpoint_disabled": "Check domain, and the tenant's settings: the tenant has disabled this endpoint.",
    "invalid_scope": "Check scope: each name must be a permission of the API, or one of OpenID Connect.",
    "unsupported_grant_type": "Check Grant Types in the application's Advanced Settings: enable Passwordless OTP.",
}
_REFUSED_ADDRESS = "bad.email"  # the tenant refuses the form of an address that this library accepts
# Errors that the user cannot correct: a wrong setting here or at the tenant, or a defect of the library.
_FOR_OPERATORS = frozenset({"fault", "misconfigured", "not_possible", "untrusted_answer"})
# The user's own, or a mistake in the tenant's Actions.
_FOR_BOTH = frozenset({"access_denied"})
_CLOSING_SECONDS = 1  # until the call can be sent again: another process takes it


def problem_of(error: PasswordlessError | Refused, field: str | None = None) -> tuple[Problem, HTTPStatus]:
    """Return the problem to show for an error, and the status of the response."""
    if isinstance(error, Refused):
        key, status = error.key, HTTPStatus(error.status)
    elif getattr(error, "error", None) == _REFUSED_ADDRESS:
        return Problem("invalid_identifier", field="identifier"), HTTPStatus.BAD_REQUEST
    else:
        key, status = next(_TABLE[kind] for kind in _kind_of(error).__mro__ if kind in _TABLE)
    is_for_operators = key in _FOR_OPERATORS | _FOR_BOTH and not isinstance(error, Refused)
    return Problem(key, _facts(error), field, error if is_for_operators else None), status


def _kind_of(error: PasswordlessError) -> type[PasswordlessError]:
    code = getattr(error, "error", None)
    return errors.UnauthorizedClient if type(error) is errors.OAuthError and code in OF_SETTINGS else type(error)


def _facts(error: Exception) -> Mapping[str, int]:
    seconds = getattr(error, "retry_after", None)
    if isinstance(error, errors.RateLimited) and seconds is not None:
        # So long the client may send nothing: who asks again meanwhile is told of no later time.
        seconds = with_most_jitter(seconds)
    if isinstance(error, errors.ClientClosed):
        seconds = _CLOSING_SECONDS
    facts = {"seconds": seconds, "count": getattr(error, "attempts_left", None)}
    return {name: math.ceil(value) for name, value in facts.items() if value is not None}
