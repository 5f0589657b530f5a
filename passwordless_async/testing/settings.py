"""What a tenant can be told: every knob, its unit and the precedent of its default.

Where Auth0's behaviour is undocumented the knob exists so that a test can play both answers.
"""

from __future__ import annotations

import enum
import secrets
import types
from typing import TYPE_CHECKING, Any, Literal

import attrs

from passwordless_async._secret import Secret, redacted
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

BOUND_API = "https://api.example"
PLAIN_API = "https://plain.example"
STRICT_API = "https://strict.example"


class ApiPolicy(enum.StrEnum):
    """An API's sender-constraining policy."""

    NONE = "none"
    """Plain Bearer tokens, even for a request with a proof."""
    ALLOWED = "allowed"
    """Bound tokens for requests with a proof, Bearer tokens for the others."""
    REQUIRED = "required"
    """Requests without a proof are refused."""


class RateLimitStyle(enum.StrEnum):
    """The headers in which a 429 says when to come back."""

    X_RATELIMIT = "x-ratelimit"
    """``x-ratelimit-limit``, ``-remaining``, ``-reset`` (UNIX seconds); on successes too."""
    AUTH0 = "auth0-ratelimit"
    """``Auth0-RateLimit: client;q=10;t=1;r=9``."""
    RETRY_AFTER = "retry-after"
    """``Retry-After`` in seconds."""
    SILENT = "silent"
    """No header at all."""


def _apis(given: Mapping[str, ApiPolicy | str]) -> Mapping[str, ApiPolicy]:
    return types.MappingProxyType({audience: ApiPolicy(policy) for audience, policy in given.items()})


_READY_APIS = {BOUND_API: ApiPolicy.ALLOWED, PLAIN_API: ApiPolicy.NONE, STRICT_API: ApiPolicy.REQUIRED}


@attrs.frozen(kw_only=True)
class TenantSettings:
    """How a :class:`~passwordless_async.testing.LocalTenant` behaves; every argument is keyword-only.

    Args:
        public_client_id: The ``client_id`` of the application without a secret.
        confidential_client_id: The ``client_id`` of the application with a secret.
        confidential_client_secret: Its secret; a random one unless given.
        grant_enabled: Whether the applications may use the passwordless OTP grant (else 403 ``unauthorized_client``).
        basic_auth_at_start: Whether ``/passwordless/start`` takes HTTP Basic (undocumented).
        redirect_uri_required: Whether the OTP grant insists on ``redirect_uri`` (documented, not observed).
        resource_parameter: Whether ``resource`` stands for ``audience`` (the compatibility profile).
        allow_signup: Whether a code is sent to a user whom the tenant does not know.
        start_error_shape: The members of start's error bodies: ``error`` + ``error_description``, ``code`` +
            ``description`` or ``errorCode`` + ``message``.
        start_answer: What start says on success: the ``full`` 200 body, 200 ``{}`` (``empty``), 201 (``created``) or
            204 (``no_content``); all occur.

        code_length: Digits of a code (Auth0: 6).
        code_lifetime: Seconds that a code lives (Auth0: 3 minutes).
        max_attempts: Failures that kill a code (Auth0: 3).

        public_nonce_required: Whether a public client's proof needs a nonce (Auth0: yes).
        confidential_nonce_required: Whether a confidential client's proof needs one (Auth0: no).
        userinfo_nonce_required: Whether a proof at ``/userinfo`` needs one.
        nonce_rotation: Token requests after which the nonce changes; None: it changes with the time.
        nonce_lifetime: Seconds after which the nonce changes when ``nonce_rotation`` is None.
        accepted_previous_nonces: How many nonces before the present one still pass.
        single_use_nonces: Every answer brings another nonce, and each passes once.
        nonce_in_answers: Whether an answer to a request with a proof brings the nonce: ``always``, only when it
            ``changed`` from the one in the proof (RFC 9449 §8.2), or ``never`` but in a challenge.
        stale_nonce_error: What ``/userinfo`` calls a nonce that is not valid (both occur).

        proof_max_age: Seconds that a proof may be old.
        proof_skew: Seconds that a proof may be ahead of the tenant's clock.
        nonce_replaces_iat: With a valid nonce the ``iat`` of the proof is not looked at (RFC 9449 §11.1).

        access_token_lifetime: Seconds (Auth0: a day).
        id_token_lifetime: Seconds (Auth0: ten hours).
        token_type: How the answer spells the type of a bound token.
        scope_in_answer: Whether the answer repeats the scope (no scope means the requested one).
        apis: Audience to policy, case-sensitive; the ready ones are ``https://api.example`` (allowed),
            ``https://plain.example`` (none) and ``https://strict.example`` (required).

        requests_per_second: Limit of the whole tenant; None: off.
        starts_per_hour: Limit of ``/passwordless/start`` per IP address (Auth0: 50); None: off.
        trust_forwarded_for: Whether ``auth0-forwarded-for`` counts for a confidential client.
        rate_limit_style: The headers in which a limit speaks.

        max_body: Bytes that a request's body may have.
        requests_kept: How many of the newest requests ``tenant.requests`` holds.
        messages_kept: How many of the newest messages ``tenant.outbox`` holds.

    Raises:
        UsageError: A number is out of its range, or a policy or style is none that exists.
    """

    public_client_id: str = "public-client"
    confidential_client_id: str = "confidential-client"
    confidential_client_secret: str = attrs.field(
        factory=lambda: secrets.token_urlsafe(32), converter=Secret, repr=redacted
    )
    grant_enabled: bool = True
    basic_auth_at_start: bool = False
    redirect_uri_required: bool = False
    resource_parameter: bool = False
    allow_signup: bool = True
    start_error_shape: Literal["error", "code", "errorCode"] = "error"
    start_answer: Literal["full", "empty", "created", "no_content"] = "full"

    code_length: int = 6
    code_lifetime: float = 180.0
    max_attempts: int = 3

    public_nonce_required: bool = True
    confidential_nonce_required: bool = False
    userinfo_nonce_required: bool = False
    nonce_rotation: int | None = None
    nonce_lifetime: float = 300.0
    accepted_previous_nonces: int = 1
    single_use_nonces: bool = False
    nonce_in_answers: Literal["always", "changed", "never"] = "always"
    stale_nonce_error: Literal["use_dpop_nonce", "invalid_dpop_nonce"] = "use_dpop_nonce"

    proof_max_age: float = 60.0
    proof_skew: float = 10.0
    nonce_replaces_iat: bool = False

    access_token_lifetime: int = 86_400
    id_token_lifetime: int = 36_000
    token_type: str = "DPoP"  # noqa: S105 - the name of a type
    scope_in_answer: bool = True
    apis: Mapping[str, ApiPolicy] = attrs.field(default=_READY_APIS, converter=_apis)

    requests_per_second: int | None = None
    starts_per_hour: int | None = None
    trust_forwarded_for: bool = True
    rate_limit_style: RateLimitStyle = attrs.field(default=RateLimitStyle.X_RATELIMIT, converter=RateLimitStyle)

    max_body: int = 65_536
    requests_kept: int = 10_000
    messages_kept: int = 10_000

    def __attrs_post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(name, f"must be 1 or more, not {value}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON object, the secret included: what goes down a tenant process's pipe."""
        return {**attrs.asdict(self, recurse=False), "apis": dict(self.apis)}


_AT_LEAST_ONE = (
    "code_length",
    "code_lifetime",
    "max_attempts",
    "nonce_rotation",
    "nonce_lifetime",
    "requests_per_second",
    "starts_per_hour",
    "max_body",
    "requests_kept",
    "messages_kept",
)
