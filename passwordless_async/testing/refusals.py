"""The tenant's refusals: one row for each that Auth0 documents.

Endpoints raise :class:`RequestRefused` with a row; the application turns the row into a response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping


@attrs.frozen
class Refusal:
    """A row: what a refusal looks like."""

    status: int
    error: str
    description: str
    more: Mapping[str, Any] = attrs.field(factory=dict)  # further members of the body
    headers: Mapping[str, str] = attrs.field(factory=dict)
    members: tuple[str, str] | None = None  # the names of the members for code and text; None: the endpoint's own

    def because(self, reason: str) -> Refusal:
        """Return the row with a reason behind its text."""
        return attrs.evolve(self, description=f"{self.description}: {reason}")


class RequestRefused(Exception):
    """The request is refused by a row."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


def invalid_request(description: str) -> RequestRefused:
    """Refuse a token request that is malformed (RFC 6749 §5.2)."""
    return RequestRefused(Refusal(400, "invalid_request", description))


def bad_start(member: str, description: str) -> RequestRefused:
    """Refuse a start request: ``bad.request``, ``bad.connection`` and so on."""
    return RequestRefused(Refusal(400, f"bad.{member}", description))


WRONG_CODE = {
    "email": Refusal(403, "invalid_grant", "Wrong email or verification code."),
    "sms": Refusal(403, "invalid_grant", "Wrong phone number or verification code."),
}
TOO_MANY_ATTEMPTS = Refusal(
    403, "invalid_grant", "You've reached the maximum number of attempts. Please try to login again."
)
CODE_EXPIRED = Refusal(403, "invalid_grant", "The verification code has expired. Please try to login again.")

DATABASE_CODE = Refusal(400, "invalid_request", "Wrong or expired verification code.")
INVALID_CODE = Refusal(403, "invalid_grant", "Invalid authorization code")
INVALID_REFRESH_TOKEN = Refusal(403, "invalid_grant", "Unknown or invalid refresh token.")
OTHER_KEY = {
    "invalid_dpop_proof": Refusal(400, "invalid_dpop_proof", "DPoP proof thumbprints don't match"),
    "invalid_grant": Refusal(403, "invalid_grant", "DPoP proof thumbprints don't match"),
}

UNAUTHORIZED_CLIENT = Refusal(
    403,
    "unauthorized_client",
    "Grant type 'http://auth0.com/oauth/grant-type/passwordless/otp' not allowed for the client.",
)
INVALID_CLIENT = Refusal(401, "invalid_client", "Client authentication failed")
UNSUPPORTED_GRANT = Refusal(501, "unsupported_grant_type", "Unsupported grant type")
METHOD_NOT_ALLOWED = Refusal(405, "method_not_allowed", "Method not allowed")
ENDPOINT_DISABLED = Refusal(404, "endpoint_disabled", "There is no such endpoint")
UNREADABLE = Refusal(400, "invalid_request", "The body cannot be read")
TOO_LARGE = Refusal(413, "invalid_request", "Payload too large")
SIGNUP_DISABLED = Refusal(400, "bad.connection", "Public signup is disabled")

DPOP_REQUIRED = Refusal(
    400, "invalid_request", "Resource server requires the use of DPoP to issue sender-constrained access tokens"
)
NONCE_NEEDED = "Authorization server requires nonce in DPoP proof"

MFA_REQUIRED = Refusal(403, "mfa_required", "Multifactor authentication required")  # and the login's own mfa_token
MFA_MALFORMED = Refusal(403, "invalid_grant", "Malformed mfa_token")
MFA_EXPIRED = Refusal(401, "expired_token", "mfa_token is expired")
OOB_EXPIRED = Refusal(401, "expired_token", "oob_code is expired")
MFA_DENIED = {
    "invalid_grant": Refusal(403, "invalid_grant", "MFA Authorization rejected."),
    "access_denied": Refusal(403, "access_denied", "MFA Authorization rejected."),
}
AUTHORIZATION_PENDING = Refusal(
    400, "authorization_pending", "Authorization pending: please repeat the request in a few seconds."
)
SLOW_DOWN = Refusal(
    400, "slow_down", "You are polling faster than allowed. Please slow down and repeat the request in some time."
)
UNSUPPORTED_FACTOR = Refusal(
    401, "unsupported_challenge_type", "The user does not support any of the requested challenge types"
)
ASSOCIATION_REQUIRED = Refusal(
    403,
    "association_required",
    "User is not enrolled. You can use /mfa/associate endpoint to enroll the first authenticator.",
)
ALREADY_ENROLLED = Refusal(403, "access_denied", "User is already enrolled.")
ACCESS_DENIED = Refusal(403, "access_denied", "Access denied.")
USER_BLOCKED = Refusal(401, "unauthorized", "user is blocked")
ACCOUNT_BLOCKED = Refusal(
    429,
    "too_many_attempts",
    "Your account has been blocked after multiple consecutive login attempts. "
    "We've sent you a notification via your preferred contact method with instructions on how to unblock it.",
)
TOO_MANY_REQUESTS = Refusal(429, "too_many_requests", "Too many requests. Check the headers for the limit.")
VERIFICATION_REQUIRED = Refusal(401, "requires_verification", "Suspicious request requires verification")
SMS_PROVIDER_ERROR = Refusal(400, "sms_provider_error", "The 'To' number is not a valid phone number. (Code: 21211)")
UNAVAILABLE = Refusal(503, "temporarily_unavailable", "The service is temporarily unavailable")
