"""Every error that this library raises, in one tree.

.. code-block:: text

    PasswordlessError
    ├── UsageError                 you called it wrongly; nothing was sent
    ├── OAuthError                 the server said no (status, error, error_description)
    │   ├── WrongCode              the code is wrong or was used before
    │   ├── CodeExpired            the code is too old
    │   ├── TooManyAttempts        too many failures: the code or the account is blocked
    │   ├── MfaRequired            a second factor is asked for (state, mfa_token, mfa_requirements)
    │   ├── AuthorizationPending   the user has not answered on their other device yet
    │   │   └── SlowDown           and they are asked about too often
    │   ├── MfaTokenExpired        the second factor came too late
    │   ├── RateLimited            too many requests (retry_after)
    │   ├── AccessDenied           a rule, an Action or attack protection blocked the user
    │   ├── VerificationRequired   bot detection wants a captcha
    │   ├── InvalidClient          the application's own credentials were refused
    │   ├── UnauthorizedClient     the application may not use this grant
    │   ├── InvalidToken           the access token is expired, revoked or not for this
    │   ├── InvalidRefreshToken    the refresh token is unknown, revoked or reused
    │   ├── TemporarilyUnavailable the server could not serve the request
    │   ├── InvalidDPoPProof       the proof was refused
    │   ├── UseDPoPNonce           the proof needs a nonce from the server
    │   └── NonceChallengeRepeated a nonce challenge was answered and came again
    ├── ProtocolError              an answer that must not be trusted
    │   ├── NotSenderConstrained   the token is not bound to the key
    │   ├── InvalidIdToken         the ID token failed a check
    │   ├── InvalidCallback        a callback does not belong to the login that was started
    │   └── MalformedAnswer        the answer is not what the protocol allows
    ├── TransportError             no answer
    │   ├── NotSent                the request never left; safe to try again
    │   │   └── CircuitOpen        the server is failing, so it was not asked (retry_after)
    │   └── OutcomeUnknown         it may have been processed; the code may be spent
    ├── QuotaExceeded              the local quota has no room in time; nothing was sent (retry_after)
    │   └── CoolingDown            the user was sent a code just now; another would kill it
    ├── CodeSpent                  the code was presented before, or has no attempts left; nothing was sent
    └── StoreError                 tokens or keys could not be kept or found
        ├── StoreUnavailable       the store cannot be reached
        ├── InvalidSession         the session is unknown, has ended or was closed
        ├── BrokenSeal             a stored value was changed, moved or sealed with an unknown key (failed)
        ├── KeyMissing             the tokens have lost their key
        ├── KeyMismatch            the key at hand is not the one the tokens are bound to
        └── InvalidMfaState        a sealed MFA state is changed, expired or for another client (failed)

Blame is the type, advice is a field: each class has a stable ``code``, says by ``retryable`` whether the
same call, unchanged, may succeed later, and by ``advice`` what to do. Facts are attributes. No error holds a
secret, in its message, its attributes or its context.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    # It carries a value of a layer above this one, and is typed there: ``passwordless_async.MfaRequired``.
    MfaRequired: Any


class PasswordlessError(Exception):
    """The root of the tree.

    Attributes:
        code: A stable name of the kind of error, for logs and metrics.
        retryable: Whether the same call, unchanged, may succeed later.
        advice: What to do about it, in one plain sentence.
        recovery_code: The user's new recovery code, where a second factor's answer that is refused held one: the
            code before it is spent, so show it to the user. None everywhere else.
    """

    code: ClassVar[str] = "passwordless_error"
    retryable: ClassVar[bool] = False
    advice: ClassVar[str] = "See the message."
    recovery_code: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Facts are keyword-only, which Exception's own pickling cannot carry to another process.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[PasswordlessError], args: tuple[Any, ...], facts: dict[str, Any]) -> PasswordlessError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class UsageError(PasswordlessError):
    """You called it wrongly; nothing was sent.

    Attributes:
        argument: The name of the argument that is wrong.
    """

    code = "usage_error"
    advice = "Correct the argument that the message names."

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument


class OAuthError(PasswordlessError):
    """The server said no (RFC 6749 §5.2).

    Attributes:
        status: The HTTP status of the answer.
        error: The server's error code, for example ``invalid_grant``.
        error_description: The server's own text, bounded and freed of secrets; may be empty.
    """

    code = "oauth_error"
    advice = "Read error and error_description: the server says why."

    def __init__(self, *, status: int, error: str, error_description: str = "") -> None:
        super().__init__(f"{error} ({status}): {error_description}" if error_description else f"{error} ({status})")
        self.status = status
        self.error = error
        self.error_description = error_description


class WrongCode(OAuthError):
    """The code is wrong, was used before, or a newer one was sent.

    Attributes:
        attempts_left: How many more failures the code survives at the most, as far as this client has counted; the
            service does not say. None where it was not counted.
    """

    code = "wrong_code"
    advice = "Ask the user for the newest code; after three failures start again."

    def __init__(
        self, *, status: int, error: str, error_description: str = "", attempts_left: int | None = None
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.attempts_left = attempts_left


class CodeExpired(OAuthError):
    """The code is too old (three minutes at Auth0 unless configured otherwise)."""

    code = "code_expired"
    advice = "Start again: a new code is needed."


class TooManyAttempts(OAuthError):
    """Too many failures: this code is dead, or brute-force protection has blocked the account."""

    code = "too_many_attempts"
    advice = "Start again, or have the account unblocked if the description says that it is blocked."


class AuthorizationPending(OAuthError):
    """The user has not answered the message on their other device yet (RFC 8628 §3.5)."""

    code = "authorization_pending"
    retryable = True
    advice = "Ask again in five seconds or more; client.mfa.poll_oob does."


class SlowDown(AuthorizationPending):
    """The user has not answered yet, and the server is asked too often (RFC 8628 §3.5)."""

    code = "slow_down"
    advice = "Add five seconds to the time between polls; client.mfa.poll_oob does."


class MfaTokenExpired(OAuthError):
    """The second factor came too late (ten minutes after the first at Auth0)."""

    code = "mfa_token_expired"
    advice = "The user logs in again."


class RateLimited(OAuthError):
    """Too many requests; the server refused before processing this one.

    Attributes:
        retry_after: Seconds to wait, from now; None when the server did not say.
    """

    code = "rate_limited"
    retryable = True
    advice = "Wait retry_after seconds, then try again."

    def __init__(
        self, *, status: int, error: str, error_description: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.retry_after = retry_after


class AccessDenied(OAuthError):
    """A rule, an Action, a block or attack protection refused this user."""

    code = "access_denied"
    advice = "The user is not allowed in; see the tenant's logs."


class VerificationRequired(OAuthError):
    """Bot detection wants a captcha before it sends a code."""

    code = "verification_required"
    advice = "Show the tenant's captcha and start again with captcha=."


class InvalidClient(OAuthError):
    """The application's own credentials were refused."""

    code = "invalid_client"
    advice = "Check client_id and client_auth."


class UnauthorizedClient(OAuthError):
    """The application may not use this grant, or the tenant's profile is not Identifier First."""

    code = "unauthorized_client"
    advice = "Enable the Passwordless OTP grant for the application and Identifier First for the tenant."


class InvalidToken(OAuthError):
    """The access token is expired, revoked or not for this (RFC 6750 §3.1)."""

    code = "invalid_token"
    advice = "Refresh the tokens, or have the user log in again."


class InvalidRefreshToken(OAuthError):
    """The refresh token is unknown, expired, revoked or was used before."""

    code = "invalid_refresh_token"
    advice = "The session is over: the user logs in again."


class TemporarilyUnavailable(OAuthError):
    """The server could not serve the request (5xx) and nothing was at stake."""

    code = "temporarily_unavailable"
    retryable = True
    advice = "Try again later."


class InvalidDPoPProof(OAuthError):
    """The proof was refused (RFC 9449 §5, §7.1)."""

    code = "invalid_dpop_proof"
    advice = "Check the clock of this machine, the URL and the key."


class UseDPoPNonce(OAuthError):
    """The proof needs a nonce that the server provides (RFC 9449 §8).

    Attributes:
        nonce: The nonce to use next.
    """

    code = "use_dpop_nonce"
    retryable = True
    advice = "Sign a new proof with the nonce."

    def __init__(
        self, *, status: int, error: str = "use_dpop_nonce", error_description: str = "", nonce: str | None = None
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.nonce = nonce


class NonceChallengeRepeated(OAuthError):
    """A nonce challenge was answered once and the server challenged again (RFC 9449 §8)."""

    code = "nonce_challenge_repeated"
    advice = "The server refuses nonces of its own: look at its clock, its load balancing or a proxy between."


class ProtocolError(PasswordlessError):
    """An answer that must not be trusted."""

    code = "protocol_error"
    advice = "The answer was thrown away; have the server checked."


class NotSenderConstrained(ProtocolError):
    """A proof was sent and the token that came back is not bound to its key (RFC 9449 §5)."""

    code = "not_sender_constrained"
    advice = "Set the API's sender-constraining policy to DPoP; the tokens were thrown away."


class InvalidIdToken(ProtocolError):
    """The ID token failed a check (OpenID Connect Core §3.1.3.7).

    Attributes:
        claim: The claim or header parameter that failed.
    """

    code = "invalid_id_token"
    advice = "Check domain and client_id; the tokens were thrown away."

    def __init__(self, claim: str, problem: str) -> None:
        super().__init__(f"ID token, {claim}: {problem}")
        self.claim = claim


class InvalidCallback(ProtocolError):
    """A callback does not belong to the login that was started, or has no code (RFC 6749 §10.12); nothing was sent."""

    code = "invalid_callback"
    advice = "Send a new link: this callback was made up, or is another login's."


class MalformedAnswer(ProtocolError):
    """The answer is not what the protocol allows: no JSON, a missing member, too large, a redirect.

    Attributes:
        status: The HTTP status of the answer.
    """

    code = "malformed_answer"

    def __init__(self, problem: str, *, status: int) -> None:
        super().__init__(f"{problem} (status {status})")
        self.status = status


class TransportError(PasswordlessError):
    """No answer could be had."""

    code = "transport_error"
    advice = "Check the network and the domain."


class NotSent(TransportError):
    """The request never left this machine: nothing is spent, trying again is safe."""

    code = "not_sent"
    retryable = True
    advice = "Try again: nothing was sent."


class CircuitOpen(NotSent):
    """The server has failed several times in a row, so it was not asked: nothing is spent.

    Attributes:
        retry_after: Seconds until it is asked again.
    """

    code = "circuit_open"
    advice = "Try again after retry_after seconds: the service is failing."

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("nothing was sent: the server has failed several times in a row")
        self.retry_after = retry_after


class OutcomeUnknown(TransportError):
    """The request left and no usable answer came: it may have been processed, and a code may be spent.

    Attributes:
        status: The HTTP status, where there was one (5xx); None when the connection broke or timed out.
    """

    code = "outcome_unknown"
    advice = "Do not send the same code again: start again for a new one."

    def __init__(self, problem: str, *, status: int | None = None) -> None:
        super().__init__(problem)
        self.status = status


class QuotaExceeded(PasswordlessError):
    """The quota has no room within the time that the call may wait; nothing was sent.

    Attributes:
        retry_after: Seconds until there may be room; None: not known.
    """

    code = "quota_exceeded"
    retryable = True
    advice = "Try again after retry_after seconds, or raise the quota."

    def __init__(self, problem: str, *, retry_after: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class CoolingDown(QuotaExceeded):
    """The user was sent a code just now, and another one would kill it; nothing was sent.

    Attributes:
        retry_after: Seconds until another code may be asked for.
    """

    code = "cooling_down"
    advice = "Let the user type the code that was sent; offer another after retry_after seconds."

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("a code was asked for just now, and a new one would kill it", retry_after=retry_after)


class CodeSpent(PasswordlessError):
    """The code was presented before, by whatever machine, or has no attempts left; nothing was sent."""

    code = "code_spent"
    advice = "Ask for a new code."


class StoreError(PasswordlessError):
    """Tokens or keys could not be kept or found."""

    code = "store_error"
    advice = "Check the store."


class StoreUnavailable(StoreError):
    """The store cannot be reached, refuses, or does not answer in time."""

    code = "store_unavailable"
    retryable = True
    advice = "Try again; if it lasts, look at the store, at its address and at the rights that it is used with."


class InvalidSession(StoreError):
    """The session is unknown, has ended or was closed."""

    code = "invalid_session"
    advice = "The user logs in again."


_BROKEN = {
    "form": "it is no sealed value",
    "key": "its key is not on the ring",
    "place": "it was sealed for another place",
    "seal": "it was changed",
}


class BrokenSeal(StoreError):
    """A stored value does not open.

    Attributes:
        failed: What failed: ``form`` (it is no sealed value), ``key`` (its key is not on the ring), ``place`` (it was
            sealed for another place, tenant, application or user), ``seal`` (it was changed).
    """

    code = "broken_seal"
    advice = "Look at the key ring, and at who writes to the store; the user logs in again."

    def __init__(self, failed: str) -> None:
        super().__init__(f"a stored value does not open: {_BROKEN.get(failed, failed)}")
        self.failed = failed


class KeyMissing(StoreError):
    """The tokens have lost the key that they are bound to; nothing was sent."""

    code = "key_missing"
    advice = "Keep tokens and key together; the user logs in again."


class KeyMismatch(StoreError):
    """The key at hand is not the one that the tokens are bound to; nothing was sent."""

    code = "key_mismatch"
    advice = "Use the key that the login was made with."


class InvalidMfaState(StoreError):
    """An MFA state cannot be gone on with; nothing was sent.

    Attributes:
        failed: What failed: ``form`` (it is no sealed state), ``key`` (sealed with another key), ``seal`` (changed
            after it was sealed), ``issuer``, ``client_id`` (another tenant's or application's), ``jkt`` (the key in
            it is not the one it is bound to) or ``expires_at``.
    """

    code = "invalid_mfa_state"
    advice = "Unseal it with the key and the client that it was made with, within ten minutes; else log in again."

    def __init__(self, failed: str, problem: str) -> None:
        super().__init__(f"MFA state, {failed}: {problem}")
        self.failed = failed


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name != "MfaRequired":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        return import_module("passwordless_async.auth0.mfa.required").MfaRequired

    def __dir__() -> list[str]:
        return sorted({*globals(), "MfaRequired"})
