"""The error tree: its shape, its words and its facts."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import TYPE_CHECKING, Any

import pytest

import passwordless_async
from passwordless_async import errors
from passwordless_async._common.secret import Secret
from passwordless_async.errors import (
    AccessDenied,
    AuthorizationPending,
    BindingRequired,
    BrokenSeal,
    CircuitOpen,
    ClientClosed,
    CodeExpired,
    CodeSpent,
    CoolingDown,
    DPoPRequired,
    InsufficientScope,
    InsufficientUserAuthentication,
    InvalidCallback,
    InvalidClient,
    InvalidDPoPProof,
    InvalidIdToken,
    InvalidInput,
    InvalidLogoutToken,
    InvalidMfaState,
    InvalidPhoneNumber,
    InvalidRefreshToken,
    InvalidSession,
    InvalidTarget,
    InvalidToken,
    KeyMismatch,
    KeyMissing,
    MalformedAnswer,
    MfaRequired,
    MfaTokenExpired,
    NonceChallengeRepeated,
    NotSenderConstrained,
    NotSent,
    OAuthError,
    OutcomeUnknown,
    PasswordlessError,
    ProtocolError,
    QuotaExceeded,
    RateLimited,
    RegionNotAllowed,
    SenderConstrained,
    SlowDown,
    SmsFailed,
    SmsGatewayFailed,
    StoreError,
    StoreUnavailable,
    TemporarilyUnavailable,
    TooManyAttempts,
    TransportError,
    UnauthorizedClient,
    UsageError,
    UseDPoPNonce,
    VerificationRequired,
    WrongCode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

STORE_ADVICE = "Try again; if it lasts, check the store, its address, its replicas and the permissions of its user."
SEAL_ADVICE = "Check the key ring, and what else writes to the store. The user must log in again."
SAID_NO: dict[str, Any] = {"status": 403, "error": "e", "error_description": "d"}

# Error, message, code, whether trying again can help, advice.
TABLE = [
    (PasswordlessError("m"), "m", "passwordless_error", False, "See the message."),
    (
        UsageError("otp", "must not be empty"),
        "otp: must not be empty",
        "usage_error",
        False,
        "Correct the argument that the message names.",
    ),
    (
        InvalidInput("otp", "must not be empty"),
        "otp: must not be empty",
        "invalid_input",
        False,
        "Show problem to the user, and let them correct their input.",
    ),
    (
        ClientClosed(),
        "client: is not open any more: it is being closed, or was closed",
        "client_closed",
        False,
        "Send the call to another process, or open the client again.",
    ),
    (
        OAuthError(**SAID_NO),
        "e (403): d",
        "oauth_error",
        False,
        "Read error and error_description: the server says why.",
    ),
    (OAuthError(status=400, error="e"), "e (400)", "oauth_error", False, OAuthError.advice),
    (
        WrongCode(**SAID_NO),
        "e (403): d",
        "wrong_code",
        False,
        "Ask the user for the newest code. After three failures, start again.",
    ),
    (CodeExpired(**SAID_NO), "e (403): d", "code_expired", False, "Start again to send a new code."),
    (
        TooManyAttempts(**SAID_NO),
        "e (403): d",
        "too_many_attempts",
        False,
        "Start again, or unblock the account if the description says that it is blocked.",
    ),
    (
        MfaRequired(**SAID_NO, mfa_token="t", mfa_requirements={"challenge": []}),
        "e (403): d",
        "mfa_required",
        False,
        "Continue with client.mfa and the error's state.",
    ),
    (
        AuthorizationPending(**SAID_NO),
        "e (403): d",
        "authorization_pending",
        True,
        "Ask again after five seconds or more; client.mfa.poll_oob does that.",
    ),
    (
        SlowDown(**SAID_NO),
        "e (403): d",
        "slow_down",
        True,
        "Add five seconds to the time between polls; client.mfa.poll_oob does that.",
    ),
    (MfaTokenExpired(**SAID_NO), "e (403): d", "mfa_token_expired", False, "The user must log in again."),
    (
        RateLimited(**SAID_NO, retry_after=1.5),
        "e (403): d",
        "rate_limited",
        True,
        "Wait retry_after seconds, then try again.",
    ),
    (
        AccessDenied(**SAID_NO),
        "e (403): d",
        "access_denied",
        False,
        "The tenant does not let this user in: its logs say why.",
    ),
    (
        VerificationRequired(**SAID_NO),
        "e (403): d",
        "verification_required",
        False,
        "Show the tenant's captcha, and call start again with captcha=.",
    ),
    (
        SmsFailed(**SAID_NO),
        "e (403): d",
        "sms_failed",
        False,
        "Offer the user another number, or a code by e-mail.",
    ),
    (
        InvalidPhoneNumber(**SAID_NO),
        "e (403): d",
        "invalid_phone_number",
        False,
        "Ask the user for another number.",
    ),
    (
        RegionNotAllowed(**SAID_NO),
        "e (403): d",
        "region_not_allowed",
        False,
        "Enable the region at the gateway, or ask the user for another number.",
    ),
    (
        SmsGatewayFailed(**SAID_NO),
        "e (403): d",
        "sms_gateway_failed",
        True,
        "Try again later, or offer a code by e-mail; if it lasts, check the tenant's SMS gateway.",
    ),
    (InvalidClient(**SAID_NO), "e (403): d", "invalid_client", False, "Check client_id and client_auth."),
    (
        InvalidTarget(**SAID_NO),
        "e (403): d",
        "invalid_target",
        False,
        "Check audience: it must be the identifier of an API of the tenant, which the application may use.",
    ),
    (
        UnauthorizedClient(**SAID_NO),
        "e (403): d",
        "unauthorized_client",
        False,
        "Enable the Passwordless OTP grant for the application and Identifier First for the tenant.",
    ),
    (
        InvalidToken(**SAID_NO),
        "e (403): d",
        "invalid_token",
        False,
        "Refresh the tokens, or have the user log in again.",
    ),
    (
        InsufficientScope(**SAID_NO),
        "e (403): d",
        "insufficient_scope",
        False,
        "Have the user log in with the scope, or give them the permission.",
    ),
    (
        InsufficientUserAuthentication(**SAID_NO),
        "e (403): d",
        "insufficient_user_authentication",
        False,
        "Have the user log in again with a new code, and with a second factor if acr_values asks for one.",
    ),
    (
        InvalidRefreshToken(**SAID_NO),
        "e (403): d",
        "invalid_refresh_token",
        False,
        "The session has ended: the user must log in again.",
    ),
    (TemporarilyUnavailable(**SAID_NO), "e (403): d", "temporarily_unavailable", True, "Try again later."),
    (
        DPoPRequired(**SAID_NO),
        "e (403): d",
        "dpop_required",
        False,
        "Set the client's dpop to 'preferred' or 'required': the API's policy requires a proof.",
    ),
    (
        InvalidDPoPProof(**SAID_NO),
        "e (403): d",
        "invalid_dpop_proof",
        False,
        "Check the clock of this machine, the URL and the key.",
    ),
    (
        UseDPoPNonce(status=401, nonce="n"),
        "use_dpop_nonce (401)",
        "use_dpop_nonce",
        True,
        "Sign a new proof with the nonce.",
    ),
    (
        NonceChallengeRepeated(**SAID_NO),
        "e (403): d",
        "nonce_challenge_repeated",
        False,
        "The server refuses its own nonces: check its clock, its load balancing and any proxy between.",
    ),
    (ProtocolError("m"), "m", "protocol_error", False, "The response was discarded; have the server checked."),
    (
        NotSenderConstrained("m"),
        "m",
        "not_sender_constrained",
        False,
        "Set the API's policy to DPoP, or the client's dpop to 'preferred'; the tokens were discarded.",
    ),
    (
        SenderConstrained("m"),
        "m",
        "sender_constrained",
        False,
        "Set the client's dpop to 'preferred' or 'required': the API's tokens are bound; these were discarded.",
    ),
    (
        InvalidIdToken("iss", "is another"),
        "ID token, iss: is another",
        "invalid_id_token",
        False,
        "Check domain and client_id; the tokens were discarded.",
    ),
    (
        InvalidLogoutToken("iss", "is another"),
        "logout token, iss: is another",
        "invalid_logout_token",
        False,
        "Answer 400 and end no session: the token may be forged.",
    ),
    (
        InvalidCallback("no state"),
        "no state",
        "invalid_callback",
        False,
        "Send a new link: this callback was forged, or belongs to another login.",
    ),
    (
        MalformedAnswer("no JSON", status=200),
        "no JSON (status 200)",
        "malformed_answer",
        False,
        "The response was discarded; have the server checked.",
    ),
    (TransportError("m"), "m", "transport_error", False, "Check the network and the domain."),
    (NotSent("m"), "m", "not_sent", True, "Try again: nothing was sent."),
    (
        OutcomeUnknown("m", status=503),
        "m",
        "outcome_unknown",
        False,
        "Do not send the same code again: start again to get a new one.",
    ),
    (QuotaExceeded("m"), "m", "quota_exceeded", True, "Try again after retry_after seconds, or raise the quota."),
    (
        CoolingDown(retry_after=12.5),
        "a code was requested just now, and a new one would invalidate it",
        "cooling_down",
        True,
        "Let the user type the code that was sent; offer another after retry_after seconds.",
    ),
    (CodeSpent("m"), "m", "code_spent", False, "Ask for a new code."),
    (
        CircuitOpen(retry_after=0.5),
        "nothing was sent: most calls to this endpoint have failed",
        "circuit_open",
        True,
        "Try again after retry_after seconds: the service is failing.",
    ),
    (StoreError("m"), "m", "store_error", False, "Check the store."),
    (StoreUnavailable("m"), "m", "store_unavailable", True, STORE_ADVICE),
    (InvalidSession("m"), "m", "invalid_session", False, "The user must log in again."),
    *(
        (BrokenSeal(failed), f"a stored value cannot be unsealed: {reason}", "broken_seal", False, SEAL_ADVICE)
        for failed, reason in (
            ("form", "it is not a sealed value"),
            ("key", "its key is not on the ring"),
            ("place", "it was sealed for another place"),
            ("seal", "it was changed"),
        )
    ),
    (
        KeyMissing("m"),
        "m",
        "key_missing",
        False,
        "Store tokens and key together. The user must log in again.",
    ),
    (
        BindingRequired("m"),
        "m",
        "binding_required",
        False,
        "The user must log in again. Or set the client's dpop to 'preferred', which accepts unbound tokens.",
    ),
    (KeyMismatch("m"), "m", "key_mismatch", False, "Use the key that the login was made with."),
    (
        InvalidMfaState("seal", "was changed"),
        "MFA state, seal: was changed",
        "invalid_mfa_state",
        False,
        "Unseal it with the same key and client, within ten minutes. Otherwise the user must log in again.",
    ),
]
CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PasswordlessError)]


def documented_tree() -> dict[str, str]:
    """Return each class that the docstring draws, with the class above it."""
    above: dict[int, str] = {}
    parents: dict[str, str] = {}
    for line in errors.__doc__.splitlines():
        if drawn := re.match(r"    ([│├└─ ]*)([A-Z]\w+)", line):
            depth = len(drawn[1])
            above[depth] = drawn[2]
            parents[drawn[2]] = above[depth - 4] if depth else "Exception"
    return parents


@pytest.mark.parametrize(("error", "message", "code", "retryable", "advice"), TABLE)
def test_words(error: PasswordlessError, message: str, code: str, advice: str, *, retryable: bool) -> None:
    """Message, stable code, whether trying again can help, and advice: to the letter."""
    assert (str(error), error.code, error.retryable, error.advice) == (message, code, retryable, advice)


def test_the_table_has_every_class() -> None:
    """No error is left out of the table of words."""
    assert {type(error) for error, *_ in TABLE} == set(CLASSES)


def test_the_codes_are_distinct() -> None:
    """A code names one class."""
    codes = [kind.code for kind in CLASSES]
    assert sorted(set(codes)) == sorted(codes)


def test_the_tree_is_the_one_that_is_drawn() -> None:
    """The docstring draws the tree as it is, each class with its one base."""
    assert documented_tree() == {kind.__name__: kind.__mro__[1].__name__ for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES)
def test_one_base(kind: type[PasswordlessError]) -> None:
    """Each class has one base, so that blame is one type."""
    assert kind.__bases__ == (kind.__base__,)


@pytest.mark.parametrize("kind", CLASSES)
def test_exported(kind: type[PasswordlessError]) -> None:
    """Each class can be imported from the package."""
    assert kind is getattr(passwordless_async, kind.__name__)
    assert kind.__name__ in vars(passwordless_async)["__all__"]


@pytest.mark.parametrize("error", [row[0] for row in TABLE])
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_carried_elsewhere(again: object, error: PasswordlessError) -> None:
    """An error crosses to another process, or is copied, with its type, message and facts."""
    other = again(error)  # type: ignore[operator]
    assert (type(error), error.args, vars(error)) == (type(other), other.args, vars(other))


@pytest.mark.parametrize("again", [copy.copy, lambda error: error.with_facts(advice="Do this.")])
def test_a_note_of_a_copy_is_its_own(again: Callable[[PasswordlessError], PasswordlessError]) -> None:
    """A copy has the notes that were there; what is added to one later does not show on the other."""
    error = NotSent("nothing was sent")
    error.add_note("first")
    other = again(error)
    other.add_note("of the copy")
    error.add_note("of the original")
    assert (error.__notes__, other.__notes__) == (["first", "of the original"], ["first", "of the copy"])


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (UsageError("otp", "x"), {"argument": "otp", "problem": "x"}),
        (OAuthError(status=400, error="e"), {"status": 400, "error": "e", "error_description": ""}),
        (
            MfaRequired(status=403, error="mfa_required"),
            {
                "status": 403,
                "error": "mfa_required",
                "error_description": "",
                "mfa_token": None,
                "mfa_requirements": {},
                "state": None,
            },
        ),
        (
            RateLimited(**SAID_NO),
            {"status": 403, "error": "e", "error_description": "d", "retry_after": None},
        ),
        (
            UseDPoPNonce(status=400),
            {"status": 400, "error": "use_dpop_nonce", "error_description": "", "nonce": None},
        ),
        (
            InsufficientScope(scope="a b"),
            {"status": 403, "error": "insufficient_scope", "error_description": "", "scope": "a b"},
        ),
        (
            InsufficientUserAuthentication(max_age=5, acr_values="gold"),
            {
                "status": 401,
                "error": "insufficient_user_authentication",
                "error_description": "",
                "max_age": 5,
                "acr_values": "gold",
            },
        ),
        (InvalidIdToken("exp", "x"), {"claim": "exp", "problem": "x"}),
        (InvalidLogoutToken("exp", "x"), {"claim": "exp", "problem": "x"}),
        (InvalidMfaState("seal", "x"), {"failed": "seal"}),
        (MalformedAnswer("x", status=302), {"status": 302}),
        (OutcomeUnknown("x"), {"status": None}),
    ],
)
def test_facts_are_attributes(error: PasswordlessError, facts: dict[str, object]) -> None:
    """What an error knows is in attributes, and nothing else is."""
    assert facts == vars(error)


def test_a_secret_fact_stays_a_secret() -> None:
    """The token of MFA prints redacted after a journey to another process too."""
    error = pickle.loads(pickle.dumps(MfaRequired(status=403, error="mfa_required", mfa_token=Secret("t"))))  # noqa: S301
    assert error.mfa_token == "t"
    assert repr(error.mfa_token) == "<redacted>"
