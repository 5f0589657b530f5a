"""Limits on starts and guesses, for one address, one user, and in total; ``ledger.py`` counts."""

from __future__ import annotations

import re
from http import HTTPStatus

import attrs

from passwordless_async import errors
from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import always_printable
from passwordless_async._common.validators import whole_or_none

_CALLING_CODE = re.compile("[1-9][0-9]{0,6}")  # +1 with an area code and an exchange is the longest that is of use


@attrs.frozen(kw_only=True)
class Budgets:
    """Limits per hour, from the first counted event. None: any number.

    An address is the user's IP address; for IPv6 its /64, because one user has all of it. A request from the machine
    itself has none. Behind ``trusted_proxies``, requests without a usable address share one budget.

    Args:
        starts_per_address: Codes that one address may request. 100: an office or a campus has one address.
        starts_per_user: Codes that may be sent to one user. 10: more would flood their mailbox.
        starts_per_user_and_address: The same from one address. 5: an attacker at one address leaves the user room at
            another.
        wrong_codes_per_address: Wrong codes from one address, including second factors and recovery codes. 50: with six
            digits, a chance of 1 in 20,000.
        wrong_codes_per_user: Wrong codes of one user. 30: three for each code, as the service allows.
        wrong_codes_per_user_and_address: The same from one address. 15: an attacker who guesses leaves the user room.
        factor_messages_per_address: Messages to second factors (texts, calls, e-mails, pushes) that one address may
            request. 100: as ``starts_per_address``.
        factor_messages_per_user: The same for one user. 10: more could wear a user down until they approve one.
        polls_per_address: Polls from one address for the approval of a push. 3600: five users who wait for the whole
            hour.
        polls_per_user: The same for one user. 720: a page polls every five seconds.
    """

    starts_per_address: int | None = attrs.field(default=100, validator=whole_or_none)
    starts_per_user: int | None = attrs.field(default=10, validator=whole_or_none)
    starts_per_user_and_address: int | None = attrs.field(default=5, validator=whole_or_none)
    wrong_codes_per_address: int | None = attrs.field(default=50, validator=whole_or_none)
    wrong_codes_per_user: int | None = attrs.field(default=30, validator=whole_or_none)
    wrong_codes_per_user_and_address: int | None = attrs.field(default=15, validator=whole_or_none)
    factor_messages_per_address: int | None = attrs.field(default=100, validator=whole_or_none)
    factor_messages_per_user: int | None = attrs.field(default=10, validator=whole_or_none)
    polls_per_address: int | None = attrs.field(default=3600, validator=whole_or_none)
    polls_per_user: int | None = attrs.field(default=720, validator=whole_or_none)


def _calling_codes(given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    codes = tuple(code.removeprefix("+") for code in _check.texts("calling_codes", given))
    if not all(map(_CALLING_CODE.fullmatch, codes)):
        raise errors.UsageError("calling_codes", "must be country codes such as 49")
    return codes


@always_printable
@attrs.frozen(kw_only=True)
class Sms:
    """Which phones may get codes, and how many: messages cost money, and attackers earn money from some numbers.

    Args:
        calling_codes: The country codes of numbers that may get codes: ``("49", "43")``. Longer ones name a region:
            ``"1212"``. None: all; list those of your users.
        per_address: Messages per hour for one address; None: any number. 20: enough for an office, too few for fraud.
        per_hour: Messages per hour in total; None: any number. 500: limits the cost of fraud to about EUR 40.
        per_day: Messages per day in total; None: any number.
    """

    calling_codes: tuple[str, ...] | None = attrs.field(default=None, converter=_calling_codes)
    per_address: int | None = attrs.field(default=20, validator=whole_or_none)
    per_hour: int | None = attrs.field(default=500, validator=whole_or_none)
    per_day: int | None = attrs.field(default=5000, validator=whole_or_none)

    def require_allowed(self, number: str) -> None:
        """Raise ``RegionNotAllowed`` for a number of another country."""
        if self.calling_codes is not None and not number.removeprefix("+").startswith(self.calling_codes):
            raise errors.RegionNotAllowed(status=HTTPStatus.FORBIDDEN, error="region_not_allowed")
