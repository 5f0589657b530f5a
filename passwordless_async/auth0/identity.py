"""Who logs in: a user by e-mail address or phone number, and the code that they typed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import typed as _typed
from passwordless_async._common.secret import (
    Secret,
    SecretDict,
    always_printable,
    conceal,
    conceal_mapping,
    hide,
    redacted,
    type_name,
)
from passwordless_async.dpop import DPoPKey
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_EXTRA = 32  # parameters
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Parameters that define a token request or its sender: callers must not pass or repeat them (RFC 6749 §3.2).
_OWN_PARAMETERS = frozenset(
    [
        "grant_type",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "username",
        "password",
        "realm",
        "otp",
        "auth_session",
        "audience",
        "resource",
        "redirect_uri",
        "scope",
        "refresh_token",
        "code",
        "code_verifier",
        "mfa_token",
        "oob_code",
        "binding_code",
        "recovery_code",
        "dpop_jkt",
        "assertion",
    ]
)


@always_printable
@attrs.frozen(repr=False, cache_hash=True)
class Email:
    """A user known by an e-mail address.

    The address is sent exactly as given: no case folding, no trimming. The service ignores case, so two addresses that
    differ only in case are equal: they are one user.

    Args:
        address: The address.

    Raises:
        InvalidInput: The address does not have exactly one ``@``, has spaces or control characters, or is over 254
            characters.
        UsageError: It is not a string.
    """

    @property
    def realm(self) -> Literal["email"]:
        """The connection, as the service names it."""
        return "email"

    address: str = attrs.field(repr=redacted, eq=str.lower)

    @address.validator
    def _check_address(self, _attribute: object, value: object) -> None:
        _typed.email_address("address", value)

    @property
    def username(self) -> str:
        """The ``username`` parameter of the OTP grant."""
        return self.address

    @property
    def identity(self) -> str:
        """The identity of the user at the service: the address in lower case."""
        return self.address.lower()

    def __repr__(self) -> str:
        # An address is personal data: the first letter tells two users apart in a log.
        return f"Email('{self.address[0]}…@…')"


def _number(value: str) -> str:
    return _typed.phone_number("number", value)


@always_printable
@attrs.frozen(repr=False, cache_hash=True)
class Phone:
    """A user known by a phone number.

    Args:
        number: The number with a plus and the country code, for example ``+49 (30) 90 18 20``. Spaces, dashes, dots,
            slashes and parentheses are removed.

    Attributes:
        number: The number in E.164 form, for example ``+4930901820``.

    Raises:
        InvalidInput: The number is not E.164.
        UsageError: It is not a string.
    """

    @property
    def realm(self) -> Literal["sms"]:
        """The connection, as the service names it."""
        return "sms"

    number: str = attrs.field(repr=redacted, converter=_number)

    @property
    def username(self) -> str:
        """The ``username`` parameter of the OTP grant."""
        return self.number

    @property
    def identity(self) -> str:
        """The identity of the user at the service."""
        return self.number

    def __repr__(self) -> str:
        return f"Phone('{self.number[:3]}…')"


User: TypeAlias = Email | Phone


@always_printable
@attrs.frozen(init=False)
class AuthSession:
    """A user of a database connection after a code was sent: the result of ``start_database``, for ``exchange``.

    Args:
        auth_session: The service's handle, which the grant sends instead of a username.
        who: The user.
    """

    auth_session: Secret = attrs.field(repr=redacted)
    who: User

    def __init__(self, auth_session: str, who: User) -> None:
        auth_session = conceal(auth_session)
        handle = _check.secret("auth_session", auth_session, at_most=_check.MAX_SECRET)
        self.__attrs_init__(auth_session=handle, who=user("who", who))


# The user to whom the code was sent: an exchange names the same one.
Recipient: TypeAlias = User | AuthSession


def user_of(who: Recipient) -> User:
    """Return the user to whom a code was sent."""
    return who.who if isinstance(who, AuthSession) else who


def recipient(who: object) -> Recipient:
    """Return whom a code was sent to; anything else raises :class:`UsageError`."""
    return who if isinstance(who, AuthSession) else user("who", who)


@always_printable
@attrs.frozen(init=False)
class Login:
    """One user and the code that they typed: the input of an exchange.

    Args:
        who: The user, exactly as given to ``start``, or the result of ``start_database``.
        otp: The one-time code: visible ASCII, at most 40 characters. Spaces, and dashes between digits, are removed,
            and digits of another width or script are converted to ASCII.
        scope: As for ``exchange``.
        audience: As for ``exchange``.
        resource: As for ``exchange``.
        redirect_uri: As for ``exchange``.
        max_age: As for ``exchange``.
        key: As for ``exchange``.
        extra_parameters: As for ``exchange``.
        tag: Any value of your own, returned in the :class:`~passwordless_async.Outcome`.

    Raises:
        InvalidInput: ``otp`` cannot be a code.
        UsageError: Another argument is invalid.
    """

    who: Recipient
    otp: Secret = attrs.field(repr=redacted)
    scope: str | None
    audience: str | None
    resource: str | None
    redirect_uri: str | None
    max_age: int | None
    key: DPoPKey | None
    extra_parameters: Mapping[str, str] | None = attrs.field(repr=redacted, hash=False)
    tag: Any = attrs.field(eq=False)

    def __init__(  # noqa: PLR0913 - the parameters are the grant's
        self,
        who: Recipient,
        otp: str,
        *,
        scope: str | None = None,
        audience: str | None = None,
        resource: str | None = None,
        redirect_uri: str | None = None,
        max_age: int | None = None,
        key: DPoPKey | None = None,
        extra_parameters: Mapping[str, str] | None = None,
        tag: Any = None,  # noqa: ANN401 - the caller's own
    ) -> None:
        who, otp, key, extra_parameters = hide(who), conceal(otp), hide(key), conceal_mapping(extra_parameters)
        who = recipient(who)
        otp = _typed.code("otp", otp, at_most=_check.MAX_CODE)
        scope = _check.scope(scope)
        if audience is not None and resource is not None:
            raise UsageError("resource", "replaces audience: give one of them")
        self.__attrs_init__(
            who=who,
            otp=otp,
            scope=scope,
            audience=_check.optional("audience", audience),
            resource=_check.optional("resource", resource),
            redirect_uri=_check.optional("redirect_uri", redirect_uri),
            max_age=_max_age(max_age, scope),
            key=None if key is None else _check.instance("key", key, DPoPKey, named="a DPoPKey"),
            extra_parameters=_extra_parameters(extra_parameters),
            tag=tag,
        )


def _extra_parameters(value: object) -> SecretDict | None:
    """Return the parameters; refuse a name that one of our grants uses, and a value that is not a text."""
    if value is None:
        return None
    if not isinstance(value, SecretDict) or len(value) > _MAX_EXTRA:
        raise UsageError("extra_parameters", f"must be a mapping of at most {_MAX_EXTRA} names to strings")
    for name, text in value.items():
        _check_extra(name, text)
    return value


def _check_extra(name: object, text: object) -> None:
    if not isinstance(name, str) or not _PARAMETER_NAME.fullmatch(name):
        raise UsageError("extra_parameters", "may have names of letters, digits, '-', '.' and '_' (RFC 6749 §8.2)")
    if name in _OWN_PARAMETERS:
        raise UsageError("extra_parameters", f"must not hold {name}, which the grant itself sets")
    if not isinstance(text, Secret) or not 0 < len(text) <= _check.MAX_SECRET or not text.isprintable():
        raise UsageError("extra_parameters", f"{name} must be a printable str of 1 to {_check.MAX_SECRET} characters")


def _max_age(value: object, scope: str | None) -> int | None:
    if value is None:
        return None
    if "openid" not in (scope or "").split():
        raise UsageError("max_age", "is checked with the ID token: the scope must have openid")
    return _check.positive("max_age", value)


def user(argument: str, value: object) -> User:
    """Return a user; anything else raises :class:`UsageError`."""
    if not isinstance(value, User):
        raise UsageError(argument, f"must be an Email or a Phone, not {type_name(value)}")
    return value
