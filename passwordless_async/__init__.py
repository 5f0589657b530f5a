"""Passwordless logins for async Python, with tokens bound to a key (DPoP, RFC 9449).

The names here are the public ones; anything imported from deeper down may change. Each is imported when it is first
used (PEP 562): a server that verifies proofs does not load the client.
"""
# ruff: isort: skip_file

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.lazy import lazy, module_of

if TYPE_CHECKING:
    # What type checkers see; "X as X" exports it. A test compares it with the table.
    from passwordless_async._common.secret import (
        Secret as Secret,
        SecretBytes as SecretBytes,
        SecretDict as SecretDict,
        SecretList as SecretList,
    )
    from passwordless_async.auth0.client_auth import (
        ClientAuth as ClientAuth,
        ClientSecretBasic as ClientSecretBasic,
        ClientSecretPost as ClientSecretPost,
        Credentials as Credentials,
        ForwardedFor as ForwardedFor,
        NoClientAuth as NoClientAuth,
        PrivateKeyJwt as PrivateKeyJwt,
        TlsClientAuth as TlsClientAuth,
    )
    from passwordless_async.auth0.id_token import ExpectedIdToken as ExpectedIdToken
    from passwordless_async.auth0.identity import (
        AuthSession as AuthSession,
        Email as Email,
        Login as Login,
        Phone as Phone,
    )
    from passwordless_async.auth0.link import PendingLink as PendingLink
    from passwordless_async.auth0.logout_token import LogoutToken as LogoutToken
    from passwordless_async.auth0.mfa.state import (
        MfaRequired as MfaRequired,
        MfaState as MfaState,
        MfaTokenSet as MfaTokenSet,
        Registered as Registered,
    )
    from passwordless_async.auth0.mfa.values import (
        Association as Association,
        Authenticator as Authenticator,
        MfaChallenge as MfaChallenge,
        MfaRequirements as MfaRequirements,
    )
    from passwordless_async.auth0.tenant import DPoPMode as DPoPMode
    from passwordless_async.auth0.tokens import StartReceipt as StartReceipt, TokenSet as TokenSet
    from passwordless_async.client import events as events
    from passwordless_async.client.api.credentials import TokenSource as TokenSource
    from passwordless_async.client.api.middleware import DPoPMiddleware as DPoPMiddleware
    from passwordless_async.client.api.user_session import UserSession as UserSession
    from passwordless_async.client.client import PasswordlessClient as PasswordlessClient
    from passwordless_async.client.mfa import MfaClient as MfaClient
    from passwordless_async.client.outcomes import (
        ClosingReport as ClosingReport,
        Orphan as Orphan,
        Outcome as Outcome,
        Progress as Progress,
        Start as Start,
        StartOutcome as StartOutcome,
    )
    from passwordless_async.client.profile import (
        BULK as BULK,
        INTERACTIVE as INTERACTIVE,
        TESTING as TESTING,
        Policy as Policy,
        Profile as Profile,
    )
    from passwordless_async.client.sessions.sessions import Sessions as Sessions
    from passwordless_async.client.sessions.values import (
        Lifetimes as Lifetimes,
        SessionInfo as SessionInfo,
        StoredSession as StoredSession,
    )
    from passwordless_async.dpop import (
        CheckedProof as CheckedProof,
        DPoPKey as DPoPKey,
        DPoPVerifier as DPoPVerifier,
        MemoryReplayStore as MemoryReplayStore,
        NonceCache as NonceCache,
        NonceIssuer as NonceIssuer,
        ProofGenerator as ProofGenerator,
        ReplayStore as ReplayStore,
    )
    from passwordless_async.errors import (
        AccessDenied as AccessDenied,
        AuthorizationPending as AuthorizationPending,
        BindingRequired as BindingRequired,
        BrokenSeal as BrokenSeal,
        CircuitOpen as CircuitOpen,
        ClientClosed as ClientClosed,
        CodeExpired as CodeExpired,
        CodeSpent as CodeSpent,
        CoolingDown as CoolingDown,
        DPoPRequired as DPoPRequired,
        InsufficientScope as InsufficientScope,
        InsufficientUserAuthentication as InsufficientUserAuthentication,
        InvalidCallback as InvalidCallback,
        InvalidClient as InvalidClient,
        InvalidDPoPProof as InvalidDPoPProof,
        InvalidIdToken as InvalidIdToken,
        InvalidInput as InvalidInput,
        InvalidLogoutToken as InvalidLogoutToken,
        InvalidMfaState as InvalidMfaState,
        InvalidPhoneNumber as InvalidPhoneNumber,
        InvalidRefreshToken as InvalidRefreshToken,
        InvalidSession as InvalidSession,
        InvalidTarget as InvalidTarget,
        InvalidToken as InvalidToken,
        KeyMismatch as KeyMismatch,
        KeyMissing as KeyMissing,
        MalformedAnswer as MalformedAnswer,
        MfaTokenExpired as MfaTokenExpired,
        NonceChallengeRepeated as NonceChallengeRepeated,
        NotSenderConstrained as NotSenderConstrained,
        NotSent as NotSent,
        OAuthError as OAuthError,
        OutcomeUnknown as OutcomeUnknown,
        PasswordlessError as PasswordlessError,
        ProtocolError as ProtocolError,
        QuotaExceeded as QuotaExceeded,
        RateLimited as RateLimited,
        RegionNotAllowed as RegionNotAllowed,
        SenderConstrained as SenderConstrained,
        SlowDown as SlowDown,
        SmsFailed as SmsFailed,
        SmsGatewayFailed as SmsGatewayFailed,
        StoreError as StoreError,
        StoreUnavailable as StoreUnavailable,
        TemporarilyUnavailable as TemporarilyUnavailable,
        TooManyAttempts as TooManyAttempts,
        TransportError as TransportError,
        UnauthorizedClient as UnauthorizedClient,
        UsageError as UsageError,
        UseDPoPNonce as UseDPoPNonce,
        VerificationRequired as VerificationRequired,
        WrongCode as WrongCode,
    )
    from passwordless_async.resource_server.guard import Authorized as Authorized
    from passwordless_async.resource_server.metadata import ResourceMetadata as ResourceMetadata
    from passwordless_async.resource_server.requirements import Requirements as Requirements
    from passwordless_async.resource_server.server import ResourceServer as ResourceServer
    from passwordless_async.stores import (
        KeyRing as KeyRing,
        MemoryStore as MemoryStore,
        SessionStore as SessionStore,
        Store as Store,
    )

__version__ = "0.1.0"  # the one place: pyproject.toml reads it

# The public names, by the module that each is imported from.
_NAMES = {
    "_common.secret": "Secret SecretBytes SecretDict SecretList",
    "auth0.client_auth": "ClientAuth ClientSecretBasic ClientSecretPost Credentials ForwardedFor NoClientAuth "
    "PrivateKeyJwt TlsClientAuth",
    "auth0.id_token": "ExpectedIdToken",
    "auth0.identity": "AuthSession Email Login Phone",
    "auth0.link": "PendingLink",
    "auth0.logout_token": "LogoutToken",
    "auth0.mfa.state": "MfaRequired MfaState MfaTokenSet Registered",
    "auth0.mfa.values": "Association Authenticator MfaChallenge MfaRequirements",
    "auth0.tenant": "DPoPMode",
    "auth0.tokens": "StartReceipt TokenSet",
    "client": "events",
    "client.api.credentials": "TokenSource",
    "client.api.middleware": "DPoPMiddleware",
    "client.api.user_session": "UserSession",
    "client.client": "PasswordlessClient",
    "client.mfa": "MfaClient",
    "client.outcomes": "ClosingReport Orphan Outcome Progress Start StartOutcome",
    "client.profile": "BULK INTERACTIVE Policy Profile TESTING",
    "client.sessions.sessions": "Sessions",
    "client.sessions.values": "Lifetimes SessionInfo StoredSession",
    "dpop": "CheckedProof DPoPKey DPoPVerifier MemoryReplayStore NonceCache NonceIssuer ProofGenerator ReplayStore",
    "errors": (
        "AccessDenied AuthorizationPending BindingRequired BrokenSeal CircuitOpen ClientClosed CodeExpired CodeSpent "
        "CoolingDown DPoPRequired InsufficientScope InsufficientUserAuthentication InvalidCallback InvalidClient "
        "InvalidDPoPProof InvalidIdToken InvalidInput InvalidLogoutToken InvalidMfaState "
        "InvalidPhoneNumber InvalidRefreshToken InvalidSession InvalidTarget InvalidToken KeyMismatch KeyMissing "
        "MalformedAnswer MfaTokenExpired NonceChallengeRepeated "
        "NotSenderConstrained NotSent OAuthError OutcomeUnknown PasswordlessError ProtocolError QuotaExceeded "
        "RateLimited RegionNotAllowed SenderConstrained SlowDown SmsFailed SmsGatewayFailed StoreError "
        "StoreUnavailable TemporarilyUnavailable TooManyAttempts TransportError UnauthorizedClient UsageError "
        "UseDPoPNonce VerificationRequired WrongCode"
    ),
    "resource_server.guard": "Authorized",
    "resource_server.metadata": "ResourceMetadata",
    "resource_server.requirements": "Requirements",
    "resource_server.server": "ResourceServer",
    "stores": "KeyRing MemoryStore SessionStore Store",
}
_MODULE_OF = module_of(__name__, _NAMES)

# A type checker reads no computed __all__, and if it saw __getattr__, it would accept any name.
if not TYPE_CHECKING:
    __all__ = list(_MODULE_OF)
    __getattr__, __dir__ = lazy(__name__, _MODULE_OF)
