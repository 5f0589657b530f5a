"""The refusals that the service documents, for every test that goes through them row by row."""

from __future__ import annotations

from typing import Any

import attrs

from passwordless_async import (
    AccessDenied,
    AuthorizationPending,
    CodeExpired,
    DPoPRequired,
    InvalidClient,
    InvalidDPoPProof,
    InvalidPhoneNumber,
    InvalidRefreshToken,
    InvalidTarget,
    InvalidToken,
    MfaRequired,
    MfaTokenExpired,
    OAuthError,
    RateLimited,
    RegionNotAllowed,
    SlowDown,
    SmsGatewayFailed,
    TemporarilyUnavailable,
    TooManyAttempts,
    UnauthorizedClient,
    UseDPoPNonce,
    VerificationRequired,
    WrongCode,
)

MEMBERS = [
    ("error", "error_description"),
    ("code", "description"),
    ("code", "message"),
    ("errorCode", "description"),
    ("errorCode", "message"),
]
BLOCKED = "Your account has been blocked after multiple consecutive login attempts. We've sent you an email."
ATTEMPTS = "You've reached the maximum number of attempts. Please try to login again."
EXPIRED = "The verification code has expired. Please try to login again."
DPOP = "Resource server requires the use of DPoP to issue sender-constrained access tokens"


@attrs.frozen
class Row:
    """What the service says, and the error that it becomes."""

    status: int
    error: str
    description: str
    meaning: type[OAuthError]

    @property
    def words(self) -> dict[str, Any]:
        """Return the row for a tenant that is to say it."""
        return {"status": self.status, "error": self.error, "description": self.description}

    def check(self, error: BaseException) -> None:
        """Compare an error with the row: its class exactly, and the service's own words."""
        assert type(error) is self.meaning
        expected = (self.status, self.error or "unknown_error", self.description)
        assert expected == (error.status, error.error, error.error_description)

    def __str__(self) -> str:
        return f"{self.status} {self.error} {self.description[:40]}".strip()


# As the service's documentation and recorded traffic have it.
START = [
    Row(400, "bad.tenant", "error in tenant - tenant validation failed", OAuthError),
    Row(400, "bad.client_id", "Missing required property: client_id", InvalidClient),
    Row(400, "bad.connection", "Connection does not exist", OAuthError),
    Row(400, "bad.authParams", "error in authParams", OAuthError),
    Row(400, "bad.request", "the following properties are not allowed", OAuthError),
    Row(400, "bad.email", "error in email - email format validation failed", OAuthError),
    Row(400, "bad.phone_number", "String does not match pattern: ^\\+[0-9]{1,15}$", InvalidPhoneNumber),
    Row(400, "bad.send", "error in send", OAuthError),
    Row(400, "sms_provider_error", "The 'To' number is not a valid phone number. (Code: 21211)", InvalidPhoneNumber),
    Row(400, "sms_provider_error", "Permission to send an SMS has not been enabled. (Code: 21408)", RegionNotAllowed),
    Row(400, "sms_provider_error", "Timeout while calling the SMS gateway: ETIMEDOUT", SmsGatewayFailed),
    Row(400, "bad.connection", "Public signup is disabled", AccessDenied),
    Row(400, "", "Public signup is disabled", AccessDenied),
    Row(401, "requires_verification", "Suspicious request requires verification", VerificationRequired),
    Row(401, "invalid_client", "Unauthorized", InvalidClient),
    Row(403, "unauthorized_client", "Grant type not allowed for the client.", UnauthorizedClient),
    Row(429, "too_many_requests", "Global limit has been reached", RateLimited),
]
TOKEN = [
    Row(403, "invalid_grant", "Wrong email or verification code.", WrongCode),
    Row(403, "invalid_grant", "Wrong phone number or verification code.", WrongCode),
    Row(403, "invalid_grant", ATTEMPTS, TooManyAttempts),
    Row(403, "invalid_grant", EXPIRED, CodeExpired),
    Row(403, "invalid_grant", "Unknown or invalid refresh token.", InvalidRefreshToken),
    Row(403, "invalid_grant", "DPoP proof thumbprints don't match", OAuthError),
    Row(403, "invalid_grant", "", OAuthError),
    Row(403, "mfa_required", "Multifactor authentication required", MfaRequired),
    Row(401, "mfa_required", "Multifactor authentication required", MfaRequired),
    Row(403, "unauthorized_client", "", UnauthorizedClient),
    Row(403, "access_denied", "Blocked by a rule.", AccessDenied),
    Row(403, "access_denied", "", AccessDenied),
    Row(403, "access_denied", "Service not found: https://api.example", InvalidTarget),
    Row(403, "access_denied", "Service not enabled within domain: https://api.example", InvalidTarget),
    Row(401, "access_denied", "Unauthorized", InvalidClient),
    Row(403, "access_denied", "Unauthorized", AccessDenied),  # an Action's own words
    Row(401, "unauthorized", "user is blocked", AccessDenied),
    Row(401, "unauthorized", "", OAuthError),
    Row(401, "invalid_client", "", InvalidClient),
    Row(429, "too_many_attempts", BLOCKED, TooManyAttempts),
    Row(429, "too_many_logins", "", RateLimited),
    Row(429, "too_many_requests", "", RateLimited),
    Row(400, "invalid_request", "Missing required parameter: otp", OAuthError),
    Row(400, "invalid_request", DPOP, DPoPRequired),
    Row(400, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof", UseDPoPNonce),
    Row(400, "invalid_dpop_proof", "", InvalidDPoPProof),
    Row(401, "invalid_dpop_proof", "iat is too old", InvalidDPoPProof),
    Row(503, "temporarily_unavailable", "", TemporarilyUnavailable),
    Row(403, "invalid_grant", "Invalid otp_code.", WrongCode),
    Row(403, "invalid_grant", "Invalid binding_code.", WrongCode),
    Row(403, "invalid_grant", "Invalid recovery_code.", WrongCode),
    Row(403, "invalid_grant", "MFA Authorization rejected.", AccessDenied),
    Row(403, "access_denied", "MFA Authorization rejected.", AccessDenied),
    Row(403, "invalid_grant", "Malformed mfa_token", OAuthError),
    Row(400, "authorization_pending", "Authorization pending: please repeat the request.", AuthorizationPending),
    Row(400, "slow_down", "You are polling faster than allowed.", SlowDown),
    Row(401, "invalid_token", "The token is invalid", InvalidToken),
    Row(401, "expired_token", "mfa_token is expired", MfaTokenExpired),
    Row(401, "expired_token", "oob_code is expired", CodeExpired),
    Row(403, "association_required", "User is not enrolled.", OAuthError),
    Row(401, "unsupported_challenge_type", "", OAuthError),
    Row(404, "endpoint_disabled", "", OAuthError),
    Row(405, "method_not_allowed", "", OAuthError),
    Row(501, "unsupported_grant_type", "", OAuthError),
]
