"""Every error that this library raises, in one tree.

.. code-block:: text

    PasswordlessError
    ├── UsageError                 an argument is invalid; nothing was sent (argument, problem)
    │   ├── InvalidInput           the user mistyped an address, a number or a code: show the problem to them
    │   └── ClientClosed           the client is being closed, or was closed
    ├── OAuthError                 the server refused (status, error, error_description)
    │   ├── WrongCode              the code is wrong or was used before
    │   ├── CodeExpired            the code is too old
    │   ├── TooManyAttempts        too many failures: the code or the account is blocked
    │   ├── MfaRequired            a second factor is required (state, mfa_token, mfa_requirements)
    │   ├── AuthorizationPending   the user has not answered on their other device yet
    │   │   └── SlowDown           and the client polls too often
    │   ├── MfaTokenExpired        the second factor was too late
    │   ├── RateLimited            too many requests (retry_after)
    │   ├── AccessDenied           a rule, an Action or attack protection blocked the user
    │   ├── VerificationRequired   bot detection requires a captcha
    │   ├── SmsFailed              no code could be sent to a phone
    │   │   ├── InvalidPhoneNumber the number does not exist, or cannot receive messages
    │   │   ├── RegionNotAllowed   messages to the number's region are not allowed
    │   │   └── SmsGatewayFailed   the gateway failed; nothing is wrong with the number
    │   ├── InvalidClient          the application's own credentials were refused
    │   ├── UnauthorizedClient     the application may not use this grant
    │   ├── InvalidTarget          audience names no API that the application may use
    │   ├── InvalidToken           the access token is missing, expired, revoked or for another API
    │   ├── InsufficientScope      the access token does not allow this request (scope)
    │   ├── InsufficientUserAuthentication  the user must log in again, or in a stronger way (max_age, acr_values)
    │   ├── InvalidRefreshToken    the refresh token is unknown, revoked or reused
    │   ├── TemporarilyUnavailable the server could not serve the request (retry_after)
    │   ├── DPoPRequired           the API takes only bound tokens, and no proof was sent
    │   ├── InvalidDPoPProof       the proof was refused
    │   ├── UseDPoPNonce           the proof needs a nonce from the server
    │   └── NonceChallengeRepeated the server challenged again after its nonce was used
    ├── ProtocolError              a response that must not be trusted
    │   ├── NotSenderConstrained   the token is not bound to the key
    │   ├── SenderConstrained      the token is bound to a key that the client does not have
    │   ├── InvalidIdToken         the ID token failed a check
    │   ├── InvalidLogoutToken     a logout token failed a check (claim)
    │   ├── InvalidCallback        a callback does not belong to the login that was started
    │   └── MalformedAnswer        the response violates the protocol
    ├── TransportError             no response
    │   ├── NotSent                the request was not sent; retrying is safe
    │   │   └── CircuitOpen        the server is failing, so nothing was sent (retry_after)
    │   └── OutcomeUnknown         the request may have been processed; the code may be spent
    ├── QuotaExceeded              the local quota has no room in time; nothing was sent (retry_after)
    │   └── CoolingDown            the user was just sent a code, which a new one would invalidate
    ├── CodeSpent                  the code was sent before, or has no attempts left; nothing was sent
    └── StoreError                 tokens or keys could not be stored or found
        ├── StoreUnavailable       the store cannot be reached
        ├── InvalidSession         the session is unknown, has expired or was closed
        ├── BrokenSeal             a stored value was changed, moved or sealed with an unknown key (failed)
        ├── KeyMissing             the key of the tokens is missing
        ├── KeyMismatch            the given key is not the one that the tokens are bound to
        ├── BindingRequired        the tokens are not bound to a key, and the client accepts only bound ones
        └── InvalidMfaState        a sealed MFA state is changed, expired or for another client (failed)

The type says which side caused the error, and ``advice`` what to do. Each class has a stable ``code``; ``retryable``
says whether the same call may succeed later. Attributes hold the details, and are complete when the error is raised.
Messages and reprs show no secret.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    # It carries a value of a layer above this one and is typed there: ``passwordless_async.MfaRequired``.
    MfaRequired: Any

E = TypeVar("E", bound="PasswordlessError")


class PasswordlessError(Exception):
    """The base class of all errors of this library.

    Attributes:
        code: A stable name for the type of error, for logs and metrics.
        retryable: Whether the same call, unchanged, may succeed later.
        advice: What to do, in plain words.
    """

    code: ClassVar[str] = "passwordless_error"
    retryable: ClassVar[bool] = False
    advice: ClassVar[str] = "See the message."

    def __init_subclass__(
        cls, *, code: str | None = None, advice: str | None = None, retryable: bool | None = None, **more: object
    ) -> None:
        super().__init_subclass__(**more)
        for name, value in (("code", code), ("advice", advice), ("retryable", retryable)):
            if value is not None:  # inherited otherwise
                setattr(cls, name, value)

    def with_facts(self, **facts: object) -> Self:
        """Return a copy with other attributes, for a layer that knows more than the one that raised."""
        return _restore(type(self), self.args, {**self.__dict__, **facts})

    def __reduce__(self) -> tuple[Any, ...]:
        # Facts are keyword-only, which Exception's own pickling cannot carry to another process.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[E], args: tuple[Any, ...], facts: dict[str, Any]) -> E:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    if "__notes__" in facts:
        error.__notes__ = [*facts["__notes__"]]  # a note that is added to the copy is not one of the original
    return error


class UsageError(PasswordlessError, code="usage_error", advice="Correct the argument that the message names."):
    """An argument is invalid; nothing was sent.

    Attributes:
        argument: The argument's name.
        problem: What is wrong with it, in plain words and without its value.
    """

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument
        self.problem = problem


class InvalidInput(
    UsageError, code="invalid_input", advice="Show problem to the user, and let them correct their input."
):
    """The user typed an invalid address, phone number or code; nothing was sent.

    It is the user's mistake, not the programmer's: your page can show ``problem``. The library removes what typing or
    copying adds, such as spaces and dashes in a code, and raises no error for it.
    """


class ClientClosed(
    UsageError, code="client_closed", advice="Send the call to another process, or open the client again."
):
    """The client is being closed, or was closed; nothing was sent.

    A process that ends sees it: answer 503 with ``Retry-After``, as the gateway does. A client that was never opened
    raises :class:`UsageError`.
    """

    def __init__(self) -> None:
        super().__init__("client", "is not open any more: it is being closed, or was closed")


class OAuthError(
    PasswordlessError, code="oauth_error", advice="Read error and error_description: the server says why."
):
    """The server refused (RFC 6749 §5.2).

    Attributes:
        status: The HTTP status of the response.
        error: The server's error code, for example ``invalid_grant``.
        error_description: The server's text, shortened and with secrets redacted; may be empty.
        headers: The header fields of the response to send, if a :class:`~passwordless_async.ResourceServer` refused a
            request; empty otherwise.
        body: The members of that response's JSON body; empty if the response must not give a reason (RFC 6750 §3.1).
    """

    headers: Mapping[str, str] = MappingProxyType({})
    body: Mapping[str, str] = MappingProxyType({})

    def __init__(self, *, status: int, error: str, error_description: str = "") -> None:
        super().__init__(f"{error} ({status}): {error_description}" if error_description else f"{error} ({status})")
        self.status = status
        self.error = error
        self.error_description = error_description


class WrongCode(
    OAuthError, code="wrong_code", advice="Ask the user for the newest code. After three failures, start again."
):
    """The code is wrong, was used before, or a newer one was sent.

    Attributes:
        attempts_left: How many more attempts the code allows at most. This client counts them, because the service does
            not say. None if it was not counted.
        repeated: Whether the same code was refused as wrong before: then nothing was sent, and no attempt was counted.
    """

    repeated: bool = False

    def __init__(
        self,
        *,
        status: int,
        error: str,
        error_description: str = "",
        attempts_left: int | None = None,
        repeated: bool = False,
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.attempts_left = attempts_left
        self.repeated = repeated


class CodeExpired(OAuthError, code="code_expired", advice="Start again to send a new code."):
    """The code is too old (three minutes at Auth0 unless configured otherwise)."""


class TooManyAttempts(
    OAuthError,
    code="too_many_attempts",
    advice="Start again, or unblock the account if the description says that it is blocked.",
):
    """Too many failures: the code no longer works, or brute-force protection has blocked the account."""


class AuthorizationPending(
    OAuthError,
    code="authorization_pending",
    advice="Ask again after five seconds or more; client.mfa.poll_oob does that.",
    retryable=True,
):
    """The user has not answered the message on their other device yet (RFC 8628 §3.5)."""


class SlowDown(
    AuthorizationPending,
    code="slow_down",
    advice="Add five seconds to the time between polls; client.mfa.poll_oob does that.",
):
    """The user has not answered yet, and the client polls too often (RFC 8628 §3.5)."""


class MfaTokenExpired(OAuthError, code="mfa_token_expired", advice="The user must log in again."):
    """The second factor was too late (at Auth0, ten minutes after the first)."""


class RateLimited(OAuthError, code="rate_limited", advice="Wait retry_after seconds, then try again.", retryable=True):
    """Too many requests; the server refused before processing this one.

    Attributes:
        retry_after: Seconds to wait; None if the server did not say.
    """

    def __init__(
        self, *, status: int, error: str, error_description: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.retry_after = retry_after


class AccessDenied(
    OAuthError,
    code="access_denied",
    advice="The tenant does not let this user in: its logs say why.",
):
    """A rule, an Action, a block or attack protection refused this user."""


class VerificationRequired(
    OAuthError, code="verification_required", advice="Show the tenant's captcha, and call start again with captcha=."
):
    """Bot detection requires a captcha before a code is sent."""


class SmsFailed(OAuthError, code="sms_failed", advice="Offer the user another number, or a code by e-mail."):
    """No code could be sent to a phone."""


class InvalidPhoneNumber(SmsFailed, code="invalid_phone_number", advice="Ask the user for another number."):
    """The number does not exist, or cannot receive messages."""


class RegionNotAllowed(
    SmsFailed, code="region_not_allowed", advice="Enable the region at the gateway, or ask the user for another number."
):
    """The tenant's gateway does not send messages to the number's region."""


class SmsGatewayFailed(
    SmsFailed,
    code="sms_gateway_failed",
    advice="Try again later, or offer a code by e-mail; if it lasts, check the tenant's SMS gateway.",
    retryable=True,
):
    """The gateway refused, failed or timed out; nothing is wrong with the number."""


class InvalidClient(OAuthError, code="invalid_client", advice="Check client_id and client_auth."):
    """The application's own credentials were refused.

    Attributes:
        clock_difference: As for :class:`InvalidDPoPProof`, if the application authenticates with an assertion: the
            service refuses one if the clocks differ. None otherwise.
    """

    clock_difference: float | None = None


class UnauthorizedClient(
    OAuthError,
    code="unauthorized_client",
    advice="Enable the Passwordless OTP grant for the application and Identifier First for the tenant.",
):
    """The application may not use this grant, or the tenant's profile is not Identifier First."""


class InvalidTarget(
    OAuthError,
    code="invalid_target",
    advice="Check audience: it must be the identifier of an API of the tenant, which the application may use.",
):
    """``audience`` names no API of the tenant (RFC 8707 §2), or one that the application may not use.

    Auth0's error code is ``access_denied``, as for a user who is refused: the description tells them apart.
    """


class InvalidToken(OAuthError, code="invalid_token", advice="Refresh the tokens, or have the user log in again."):
    """The access token is missing, malformed, expired, revoked or for another API (RFC 6750 §3.1).

    A resource server raises it with ``status`` 401, or 400 if a request has several tokens or a malformed one.
    """


class InsufficientScope(
    OAuthError, code="insufficient_scope", advice="Have the user log in with the scope, or give them the permission."
):
    """The access token is valid but does not allow this request (RFC 6750 §3.1).

    Attributes:
        scope: The scopes that the request needs, separated by spaces; empty if it needs a permission.
    """

    def __init__(
        self, *, status: int = 403, error: str = "insufficient_scope", error_description: str = "", scope: str = ""
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.scope = scope


class InsufficientUserAuthentication(
    OAuthError,
    code="insufficient_user_authentication",
    advice="Have the user log in again with a new code, and with a second factor if acr_values asks for one.",
):
    """The user's login is too old or not strong enough for this request (RFC 9470 §3).

    A login by a new code is new enough. Only the tenant decides whether it needs a second factor: no parameter of the
    login requests one. If ``error_description`` says that the access token has no such claim, no login helps: the
    tenant must add the claim.

    Attributes:
        max_age: The maximum age of the login, in seconds; None if the request has no such limit.
        acr_values: The accepted authentication context classes, separated by spaces; empty if all are accepted.
    """

    def __init__(
        self,
        *,
        status: int = 401,
        error: str = "insufficient_user_authentication",
        error_description: str = "",
        max_age: int | None = None,
        acr_values: str = "",
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.max_age = max_age
        self.acr_values = acr_values


class InvalidRefreshToken(
    OAuthError, code="invalid_refresh_token", advice="The session has ended: the user must log in again."
):
    """The refresh token is unknown, expired, revoked or was used before."""


class TemporarilyUnavailable(OAuthError, code="temporarily_unavailable", advice="Try again later.", retryable=True):
    """The server could not serve the request (5xx); nothing was spent.

    Attributes:
        retry_after: Seconds to wait (RFC 9110 §10.2.3); None if the server did not say.
    """

    def __init__(
        self, *, status: int, error: str, error_description: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.retry_after = retry_after


class DPoPRequired(
    OAuthError,
    code="dpop_required",
    advice="Set the client's dpop to 'preferred' or 'required': the API's policy requires a proof.",
):
    """The API requires tokens that are bound to a key, and no proof was sent; nothing is spent."""


class InvalidDPoPProof(
    OAuthError, code="invalid_dpop_proof", advice="Check the clock of this machine, the URL and the key."
):
    """The proof was refused (RFC 9449 §5, §7.1).

    Attributes:
        clock_difference: Seconds that this machine's clock was ahead of the server's, by the ``Date`` of the response;
            negative: behind; None if it is unknown.
    """

    clock_difference: float | None = None


class UseDPoPNonce(OAuthError, code="use_dpop_nonce", advice="Sign a new proof with the nonce.", retryable=True):
    """The proof needs a nonce from the server (RFC 9449 §8).

    Attributes:
        nonce: The nonce to use in the next proof.
    """

    def __init__(
        self, *, status: int, error: str = "use_dpop_nonce", error_description: str = "", nonce: str | None = None
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.nonce = nonce


class NonceChallengeRepeated(
    OAuthError,
    code="nonce_challenge_repeated",
    advice="The server refuses its own nonces: check its clock, its load balancing and any proxy between.",
):
    """The server challenged again after its own nonce was used (RFC 9449 §8)."""


class ProtocolError(
    PasswordlessError, code="protocol_error", advice="The response was discarded; have the server checked."
):
    """A response that must not be trusted.

    Attributes:
        keeps_refresh_token: Whether the refresh token is still valid after a refresh: the response had no new one.
        recovery_code: The user's new recovery code, if the response to a second factor had one. The old code is spent,
            so show the new one to the user. None otherwise.
    """

    keeps_refresh_token: bool = False
    recovery_code: str | None = None


class NotSenderConstrained(
    ProtocolError,
    code="not_sender_constrained",
    advice="Set the API's policy to DPoP, or the client's dpop to 'preferred'; the tokens were discarded.",
):
    """A proof was sent and the returned token is not bound to its key (RFC 9449 §5)."""


class SenderConstrained(
    ProtocolError,
    code="sender_constrained",
    advice="Set the client's dpop to 'preferred' or 'required': the API's tokens are bound; these were discarded.",
):
    """No proof was sent and the returned token is bound to a key, which this client does not have (RFC 9449 §5)."""


class InvalidIdToken(
    ProtocolError, code="invalid_id_token", advice="Check domain and client_id; the tokens were discarded."
):
    """The ID token failed a check (OpenID Connect Core §3.1.3.7).

    Attributes:
        claim: The claim or header parameter that failed.
        problem: What is wrong with it.
        clock_difference: If the claim is a time: seconds that this machine's clock was ahead of the server's, by the
            ``Date`` of the response; negative: behind. None if it is unknown.
    """

    clock_difference: float | None = None

    def __init__(self, claim: str, problem: str) -> None:
        super().__init__(f"ID token, {claim}: {problem}")
        self.claim = claim
        self.problem = problem


class InvalidLogoutToken(
    ProtocolError, code="invalid_logout_token", advice="Answer 400 and end no session: the token may be forged."
):
    """A logout token failed a check (OpenID Connect Back-Channel Logout 1.0 §2.6), or was presented before.

    Attributes:
        claim: The claim or header parameter that failed.
        problem: What is wrong with it.
    """

    def __init__(self, claim: str, problem: str) -> None:
        super().__init__(f"logout token, {claim}: {problem}")
        self.claim = claim
        self.problem = problem


class InvalidCallback(
    ProtocolError,
    code="invalid_callback",
    advice="Send a new link: this callback was forged, or belongs to another login.",
):
    """The callback belongs to another login, or has no code (RFC 6749 §10.12); nothing was sent."""


class MalformedAnswer(ProtocolError, code="malformed_answer"):
    """The response violates the protocol: it is not JSON, lacks a member, is too large, or redirects.

    Attributes:
        status: The HTTP status of the response.
    """

    def __init__(self, problem: str, *, status: int) -> None:
        super().__init__(f"{problem} (status {status})")
        self.status: int = int(status)


class TransportError(PasswordlessError, code="transport_error", advice="Check the network and the domain."):
    """There was no response."""


class NotSent(TransportError, code="not_sent", advice="Try again: nothing was sent.", retryable=True):
    """The request was not sent: nothing is spent, and a retry is safe."""


class CircuitOpen(NotSent, code="circuit_open", advice="Try again after retry_after seconds: the service is failing."):
    """Most calls to this endpoint have failed, so nothing was sent: nothing is spent.

    Attributes:
        retry_after: Seconds until the next request is allowed.
    """

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("nothing was sent: most calls to this endpoint have failed")
        self.retry_after = retry_after


class OutcomeUnknown(
    TransportError, code="outcome_unknown", advice="Do not send the same code again: start again to get a new one."
):
    """The request was sent, but there was no usable response: it may have been processed, and a code may be spent.

    Attributes:
        status: The HTTP status of a server error (5xx); None if the connection broke or timed out.
        recovery_code: The user's new recovery code, as for :class:`ProtocolError`.
    """

    recovery_code: str | None = None

    def __init__(self, problem: str, *, status: int | None = None) -> None:
        super().__init__(problem)
        self.status = status


class QuotaExceeded(
    PasswordlessError,
    code="quota_exceeded",
    advice="Try again after retry_after seconds, or raise the quota.",
    retryable=True,
):
    """The quota has no room within the time that the call may wait; nothing was sent.

    Attributes:
        retry_after: Seconds until there may be room; None if unknown.
    """

    def __init__(self, problem: str, *, retry_after: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class CoolingDown(
    QuotaExceeded,
    code="cooling_down",
    advice="Let the user type the code that was sent; offer another after retry_after seconds.",
):
    """The user was just sent a code, which a new one would invalidate; nothing was sent.

    Attributes:
        retry_after: Seconds until another code may be requested.
    """

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("a code was requested just now, and a new one would invalidate it", retry_after=retry_after)


class CodeSpent(PasswordlessError, code="code_spent", advice="Ask for a new code."):
    """The code was sent before, by this or another process, or has no attempts left; nothing was sent.

    Attributes:
        attempts_left: 0 if the code that the user was sent has no attempts left; None if this code was sent before. A
            code that was refused as wrong before raises :class:`WrongCode` again.
    """

    attempts_left: int | None = None

    def __init__(self, problem: str, *, attempts_left: int | None = None) -> None:
        super().__init__(problem)
        self.attempts_left = attempts_left


class StoreError(PasswordlessError, code="store_error", advice="Check the store."):
    """Tokens or keys could not be stored or found."""


class StoreUnavailable(
    StoreError,
    code="store_unavailable",
    advice="Try again; if it lasts, check the store, its address, its replicas and the permissions of its user.",
    retryable=True,
):
    """The store is unreachable, refuses the request, or does not answer in time."""


class InvalidSession(StoreError, code="invalid_session", advice="The user must log in again."):
    """The session is unknown, has expired or was closed."""


_BROKEN = {
    "form": "it is not a sealed value",
    "key": "its key is not on the ring",
    "place": "it was sealed for another place",
    "seal": "it was changed",
}


class BrokenSeal(
    StoreError,
    code="broken_seal",
    advice="Check the key ring, and what else writes to the store. The user must log in again.",
):
    """A stored value cannot be unsealed.

    Attributes:
        failed: What failed: ``form`` (it is not a sealed value), ``key`` (its key is not on the ring), ``place`` (it
            was sealed for another place, tenant, application or user), ``seal`` (it was changed).
    """

    def __init__(self, failed: str) -> None:
        super().__init__(f"a stored value cannot be unsealed: {_BROKEN.get(failed, failed)}")
        self.failed = failed


class KeyMissing(StoreError, code="key_missing", advice="Store tokens and key together. The user must log in again."):
    """The tokens are bound to a key that is missing; nothing was sent."""


class KeyMismatch(StoreError, code="key_mismatch", advice="Use the key that the login was made with."):
    """The given key is not the one that the tokens are bound to; nothing was sent."""


class BindingRequired(
    StoreError,
    code="binding_required",
    advice="The user must log in again. Or set the client's dpop to 'preferred', which accepts unbound tokens.",
):
    """The tokens, or the login, are not bound to a key, and the client has ``dpop="required"``; nothing was sent."""


class InvalidMfaState(
    StoreError,
    code="invalid_mfa_state",
    advice="Unseal it with the same key and client, within ten minutes. Otherwise the user must log in again.",
):
    """A login cannot continue with an MFA state; nothing was sent.

    Attributes:
        failed: What failed: ``form`` (not a sealed state), ``key`` (sealed with another key), ``seal`` (changed after
            sealing), ``issuer``, ``client_id`` (of another tenant or application), ``jkt`` (it is bound to another key)
            or ``expires_at``.
    """

    def __init__(self, failed: str, problem: str) -> None:
        super().__init__(f"MFA state, {failed}: {problem}")
        self.failed = failed


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name != "MfaRequired":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        return import_module("passwordless_async.auth0.mfa.state").MfaRequired

    def __dir__() -> list[str]:
        return sorted({*globals(), "MfaRequired"})
