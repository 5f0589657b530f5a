"""Links instead of codes: the ticket in a message, and the authorization code that its callback brings."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.testing.endpoints.answers import bad

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.testing.settings.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.users import User

_MAX = 100_000  # tickets and codes in memory; the oldest go first
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes in base64url: code_challenge and dpop_jkt
_TEXTS = ("scope", "state", "audience", "nonce", "response_type", "redirect_uri", "code_challenge", "dpop_jkt")


@attrs.frozen(kw_only=True)
class Authorization:
    """What a link was asked for with.

    Args:
        user: Who is to follow it.
        client_id: The application that asked.
        redirect_uri: Where it leads in the end.
        redirect_uri_given: Whether the application said so; then it must say it again (RFC 6749 §4.1.3).
        parameters: ``authParams``.
        auth_time: When it was followed, on the tenant's wall.
    """

    user: User
    client_id: str
    redirect_uri: str
    redirect_uri_given: bool
    parameters: Mapping[str, Any] = attrs.field(repr=False)
    auth_time: float = 0.0


def authorization(settings: TenantSettings, user: User, client_id: str, given: Mapping[str, Any]) -> Authorization:
    """Read ``authParams``.

    Raises:
        Refused: A member is of the wrong type, or asks for what the tenant does not do.
    """
    for name in _TEXTS:
        if not isinstance(given.get(name, ""), str):
            raise bad("authParams", f"authParams.{name} must be a string")
    if given.get("response_type", "code") != "code":
        raise bad("authParams", "authParams.response_type must be code")
    if given.get("redirect_uri", settings.callback_urls[0]) not in settings.callback_urls:
        raise bad("authParams", "authParams.redirect_uri is no callback URL of the application")
    # RFC 7636 §4.3: without a method it is plain, which shows the verifier to whoever reads the request.
    if "code_challenge" in given and given.get("code_challenge_method") != "S256":
        raise bad("authParams", "authParams.code_challenge_method must be S256")
    for name in ("code_challenge", "dpop_jkt"):
        if name in given and not _DIGEST.fullmatch(given[name]):
            raise bad("authParams", f"authParams.{name} must be a SHA-256 digest in base64url")
    return Authorization(
        user=user,
        client_id=client_id,
        redirect_uri=given.get("redirect_uri", settings.callback_urls[0]),
        redirect_uri_given="redirect_uri" in given,
        parameters=dict(given),
    )


def verifies(code_verifier: str | None, code_challenge: str | None) -> bool:
    """Return whether a verifier is the one of a challenge (RFC 7636 §4.6); one without the other is not."""
    if code_verifier is None or code_challenge is None:
        return code_verifier is code_challenge
    digest = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(digest, code_challenge.encode())


@attrs.define
class _Once:
    authorization: Authorization
    expires_at: float


@attrs.define
class OnceBook:
    """Names that stand for an authorization once, for a time: tickets of links, authorization codes."""

    _clock: TenantClock
    _lifetime: float
    _known: OrderedDict[str, _Once] = attrs.field(factory=OrderedDict, init=False, repr=False)

    def issue(self, asked: Authorization) -> str:
        """Return a new name."""
        name = secrets.token_urlsafe(32)
        self._known[name] = _Once(asked, self._clock.now() + self._lifetime)
        if len(self._known) > _MAX:
            self._known.popitem(last=False)
        return name

    def find(self, name: str) -> tuple[Authorization | None, bool]:
        """Return what a name stands for, and whether it still does; it is not spent."""
        once = self._known.get(name)
        return (None, False) if once is None else (once.authorization, self._clock.now() < once.expires_at)

    def spend(self, name: str) -> None:
        """Let a name stand for nothing from now on."""
        self._known.pop(name, None)

    def revoke(self, user: User) -> None:
        """Spend the names that a user has: the newest message alone is valid."""
        for name in [name for name, once in self._known.items() if once.authorization.user == user]:
            del self._known[name]
