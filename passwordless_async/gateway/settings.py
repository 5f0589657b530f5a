"""How a gateway behaves: every number with its unit and its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from attrs.validators import optional
from yarl import URL

from passwordless_async._common import arguments as _check
from passwordless_async._common.origin import parse_origin
from passwordless_async._common.secret import always_printable, type_name
from passwordless_async._common.validators import checked_by, of_kind, seconds, seconds_or_none, whole_or_none
from passwordless_async.errors import UsageError
from passwordless_async.gateway.budgets import Budgets, Sms
from passwordless_async.gateway.captcha import Captcha
from passwordless_async.gateway.return_paths import checked_home, checked_prefixes

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = ("email", "phone")


def _kinds(given: Iterable[str]) -> tuple[str, ...]:
    kinds = _check.texts("identifiers", given)
    if not kinds or not set(kinds) <= set(KINDS):
        raise UsageError("identifiers", f"must be some of {', '.join(KINDS)}")
    return kinds


def _check_none_or_more(argument: str, value: object) -> None:
    if value != 0:
        _check.positive(argument, value)


def _origin(given: str | URL) -> URL:
    if not isinstance(given, str | URL):
        raise UsageError("base_url", f"must be a str or a URL, not {type_name(given)}")
    return parse_origin("base_url", str(given))


@always_printable
@attrs.frozen(kw_only=True)
class Settings:
    """How a gateway behaves.

    Args:
        base_url: The site's origin, as browsers see it.
        scope: The scope of logins; it has ``openid``, because a session needs a user.
        audience: The API that the access tokens are for.
        identifiers: What users log in with: ``email``, ``phone`` or both.
        magic_link: Whether users may choose to be sent a link by e-mail instead of a code.
        captcha: The widget to show if the tenant demands a captcha; None: the page says that there is none.
        return_to: The prefixes of paths that a login may return to.
        home: The path of the application's home, for logins without ``return_to``; None: the gateway's own.
        trusted_proxies: The number of your proxies that a request passes: the user's address is the one that the
            outermost of them saw. 0: the peer is the user.
        login_seconds: How long a login may take, from its first page to its last. Ten minutes: a code lasts for three
            at Auth0, and a user may need a second one and a second factor.
        resend_seconds: Seconds until the page offers another code; the cool-down applies too.
        remember_for: Seconds that the session and its cookie last if the user asks to stay logged in. None: the page
            does not offer it, and the cookie ends with the browser.
        session_for: Seconds that a session lasts if the user does not ask to stay logged in; None: as long as the
            client's sessions last.
        max_sessions: The maximum number of sessions per user: a further login ends the oldest. None: any number.
        budgets: How many codes one address and one user may request and guess per hour.
        sms: Which phones may get codes, and how many.
    """

    base_url: URL = attrs.field(converter=_origin)
    scope: str = attrs.field(default="openid profile email offline_access")
    audience: str | None = attrs.field(default=None, validator=checked_by(_check.optional))
    identifiers: tuple[str, ...] = attrs.field(default=KINDS, converter=_kinds)
    magic_link: bool = attrs.field(default=False, validator=of_kind(bool))
    captcha: Captcha | None = attrs.field(default=None, validator=optional(of_kind(Captcha)))
    return_to: tuple[str, ...] = attrs.field(default=("/",), converter=checked_prefixes)
    home: str | None = attrs.field(default=None, converter=checked_home)
    trusted_proxies: int = attrs.field(default=0, validator=checked_by(_check_none_or_more))
    login_seconds: float = attrs.field(default=600.0, validator=seconds)
    resend_seconds: float = attrs.field(default=30.0, validator=seconds)
    remember_for: float | None = attrs.field(default=None, validator=seconds_or_none)
    session_for: float | None = attrs.field(default=None, validator=seconds_or_none)
    max_sessions: int | None = attrs.field(default=None, validator=whole_or_none)
    budgets: Budgets = attrs.field(factory=Budgets, validator=of_kind(Budgets))
    sms: Sms = attrs.field(factory=Sms, validator=of_kind(Sms))

    @scope.validator
    def _check_scope(self, _attribute: object, value: object) -> None:
        if "openid" not in (_check.scope(value) or "").split():
            raise UsageError("scope", "must contain openid: the session needs the ID token")

    @property
    def secure(self) -> bool:
        """Whether the site is https."""
        return self.base_url.scheme == "https"
