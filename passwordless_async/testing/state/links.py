"""Links instead of codes: the ticket in the message, and the authorization code in the callback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async.testing.refusals import bad_start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.testing.refusals import RequestRefused
    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.users import User

_MAX_CODES = 100_000
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes in base64url: code_challenge and dpop_jkt
_TEXTS = ("scope", "state", "audience", "nonce", "response_type", "redirect_uri", "code_challenge", "dpop_jkt")
_DIGESTS = ("code_challenge", "dpop_jkt")


@attrs.frozen(kw_only=True)
class Authorization:
    """What a link was requested with."""

    user: User  # who may follow it
    client_id: str
    redirect_uri: str
    redirect_uri_given: bool  # by the request; then the token request must repeat it (RFC 6749 §4.1.3)
    parameters: Mapping[str, Any] = attrs.field(repr=False)  # authParams
    auth_time: float = 0.0  # when the link was followed, in seconds since the UNIX epoch


def read_authorization(settings: TenantSettings, user: User, client_id: str, given: Mapping[str, Any]) -> Authorization:
    """Read ``authParams``; refuse a wrong type, and what the tenant does not support."""
    _check_forms(given)
    redirect_uri = given.get("redirect_uri", settings.callback_urls[0])
    if given.get("response_type", "code") != "code":
        raise _bad("response_type must be code")
    if redirect_uri not in settings.callback_urls:
        raise _bad("redirect_uri is not a callback URL of the application")
    # RFC 7636 §4.3: without a method it is plain, which shows the verifier to any reader of the request.
    if "code_challenge" in given and given.get("code_challenge_method") != "S256":
        raise _bad("code_challenge_method must be S256")
    return Authorization(
        user=user,
        client_id=client_id,
        redirect_uri=redirect_uri,
        redirect_uri_given="redirect_uri" in given,
        parameters=dict(given),
    )


def _check_forms(given: Mapping[str, Any]) -> None:
    for name in _TEXTS:
        if not isinstance(given.get(name, ""), str):
            raise _bad(f"{name} must be a string")
    for name in _DIGESTS:
        if name in given and not _DIGEST.fullmatch(given[name]):
            raise _bad(f"{name} must be a SHA-256 digest in base64url")


def _bad(description: str) -> RequestRefused:
    return bad_start("authParams", f"authParams.{description}")


def verifies(code_verifier: str | None, code_challenge: str | None) -> bool:
    """Return whether a verifier matches a ``code_challenge`` (RFC 7636 §4.6); one without the other does not."""
    if code_verifier is None or code_challenge is None:
        return code_verifier is code_challenge
    digest = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(digest, code_challenge.encode())


@attrs.define
class _SingleUseCode:
    authorization: Authorization
    expires_at: float


@attrs.define
class SingleUseCodes:
    """Codes that redeem an authorization once, for a time: the tickets of links, and authorization codes."""

    _clock: TenantClock
    _lifetime: float
    _codes: Bounded[str, _SingleUseCode] = attrs.field(factory=lambda: Bounded(_MAX_CODES), init=False, repr=False)

    def issue(self, authorization: Authorization) -> str:
        """Return a new code."""
        code = secrets.token_urlsafe(32)
        self._codes[code] = _SingleUseCode(authorization, self._clock.now() + self._lifetime)
        return code

    def find(self, code: str) -> tuple[Authorization | None, bool]:
        """Return a code's authorization and whether the code is still valid; it is not spent."""
        found = self._codes.get(code)
        return (None, False) if found is None else (found.authorization, self._clock.now() < found.expires_at)

    def spend(self, code: str) -> None:
        """Make a code invalid."""
        self._codes.pop(code, None)

    def revoke(self, user: User) -> None:
        """Make a user's codes invalid: only the newest message counts."""
        for code in [code for code, found in self._codes.items() if found.authorization.user == user]:
            del self._codes[code]
