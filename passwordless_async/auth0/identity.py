"""Who logs in: an address or a phone number, and the code that proves it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import Secret, always_printable, conceal, hide, redacted
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from passwordless_async.dpop import DPoPKey

# ITU-T E.164: a plus, a country code that does not begin with 0, fifteen digits at most.
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_MAX_ADDRESS = 254  # characters, RFC 5321 §4.5.3.1.3 less the angle brackets


@always_printable
@attrs.frozen(repr=False, cache_hash=True)
class Email:
    """A user known by an e-mail address.

    The address is sent exactly as given: no folding of case, no trimming.

    Args:
        address: The address.

    Raises:
        UsageError: It has no ``@`` or more than one, has spaces or control characters, or is over 254 characters.
    """

    realm: ClassVar[Literal["email"]] = "email"

    address: str = attrs.field(repr=redacted)

    @address.validator
    def _check_address(self, _attribute: object, value: object) -> None:
        address = _check.printable("address", value, at_most=_MAX_ADDRESS)
        local, at, domain = address.partition("@")
        if not (local and at and domain) or "@" in domain:
            raise UsageError("address", "must be of the form name@domain")

    @property
    def username(self) -> str:
        """The ``username`` parameter of the OTP grant."""
        return self.address

    def __repr__(self) -> str:
        # An address is personal data: enough to tell two apart in a log, not enough to write to anyone.
        return f"Email('{self.address[0]}…@…')"


@always_printable
@attrs.frozen(repr=False, cache_hash=True)
class Phone:
    """A user known by a phone number.

    Args:
        number: The number in E.164 form, for example ``+4930901820``.

    Raises:
        UsageError: It is not E.164.
    """

    realm: ClassVar[Literal["sms"]] = "sms"

    number: str = attrs.field(repr=redacted)

    @number.validator
    def _check_number(self, _attribute: object, value: object) -> None:
        if not _E164.fullmatch(_check.bounded("number", value, at_most=16)):
            raise UsageError("number", "must be E.164: a plus, the country code, two to fifteen digits in all")

    @property
    def username(self) -> str:
        """The ``username`` parameter of the OTP grant."""
        return self.number

    def __repr__(self) -> str:
        return f"Phone('{self.number[:3]}…')"


@always_printable
@attrs.frozen(init=False)
class AuthSession:
    """A user of a database connection to whom a code was sent; what ``start_database`` gives and ``exchange`` takes.

    Args:
        auth_session: The service's own handle, which stands for the user in the grant.
        who: The user.
    """

    auth_session: Secret = attrs.field(repr=redacted)
    who: Email | Phone

    def __init__(self, auth_session: str, who: Email | Phone) -> None:
        auth_session = conceal(auth_session)
        self.__attrs_init__(
            auth_session=Secret(_check.text("auth_session", auth_session, at_most=_check.MAX_SECRET)),
            who=user("who", who),
        )


@always_printable
@attrs.frozen(init=False)
class Login:
    """One user and the code that they typed: what an exchange needs.

    Args:
        who: The user, exactly as given to ``start``, or what ``start_database`` gave.
        otp: The one-time code; visible ASCII, at most 40 characters.
        scope: The scope to ask for (RFC 6749 §3.3), for example ``openid offline_access``.
        audience: The identifier of the API that the access token is for.
        resource: The API in place of ``audience``, where the tenant's compatibility profile says so (RFC 8707).
        redirect_uri: A callback URL of the application, for tenants that insist on one.
        max_age: The ID token must say, by ``auth_time``, that the user logged in at most so many seconds ago. The
            grant has no parameter to ask the service for ``auth_time``: this is for a tenant that always gives it.
        key: The key to bind the tokens to; one is made for this login unless given.
        tag: The caller's own, handed back untouched in the :class:`~passwordless_async.Outcome`.

    Raises:
        UsageError: An argument is not of its form.
    """

    who: Email | Phone | AuthSession
    otp: Secret = attrs.field(repr=redacted)
    scope: str | None
    audience: str | None
    resource: str | None
    redirect_uri: str | None
    max_age: int | None
    key: DPoPKey | None
    tag: Any = attrs.field(eq=False)

    def __init__(  # noqa: PLR0913 - the parameters are the grant's
        self,
        who: Email | Phone | AuthSession,
        otp: str,
        *,
        scope: str | None = None,
        audience: str | None = None,
        resource: str | None = None,
        redirect_uri: str | None = None,
        max_age: int | None = None,
        key: DPoPKey | None = None,
        tag: Any = None,  # noqa: ANN401 - the caller's own
    ) -> None:
        otp, key = conceal(otp), hide(key)
        # By what it can do: the class is of a layer above this one.
        if key is not None and not hasattr(type(key), "header_segment"):
            raise UsageError("key", f"must be a DPoPKey, not {type(key).__name__}")
        if audience is not None and resource is not None:
            raise UsageError("resource", "stands in place of audience: give one of them")
        if max_age is not None and "openid" not in (_check.scope(scope) or "").split():
            raise UsageError("max_age", "is checked by the ID token: the scope must have openid")
        self.__attrs_init__(
            who=who if isinstance(who, AuthSession) else user("who", who),
            otp=Secret(_check.text("otp", otp, at_most=_check.MAX_CODE)),
            scope=_check.scope(scope),
            audience=_check.optional("audience", audience),
            resource=_check.optional("resource", resource),
            redirect_uri=_check.optional("redirect_uri", redirect_uri),
            max_age=None if max_age is None else _check.positive("max_age", max_age),
            key=key,
            tag=tag,
        )


def user(argument: str, value: object) -> Email | Phone:
    """Return a user, or say that it is none."""
    if not isinstance(value, Email | Phone):
        raise UsageError(argument, f"must be an Email or a Phone, not {type(value).__name__}")
    return value
