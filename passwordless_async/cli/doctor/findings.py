"""The results of checks: the status, the evidence in plain words, and where to change it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

from passwordless_async import errors
from passwordless_async.cli.terminal.failure import advice_by_options, is_particular

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passwordless_async.errors import PasswordlessError

WHERE_DOMAIN = "Take the domain from Applications > (your application) > Settings > Domain, or your custom domain."
_MAX_TENANT_TEXT = 200  # characters of the tenant's that are repeated


class Status(enum.StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


class Verdict(enum.StrEnum):
    """The result of all checks together."""

    OK = "ok"
    WARNINGS = "warnings"
    FAILED = "failed"

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Verdict:
        """Return the verdict; checks that were not made do not count."""
        found = {finding.status for finding in findings}
        if Status.FAILED in found:
            return cls.FAILED
        return cls.WARNINGS if Status.WARNING in found else cls.OK


@attrs.frozen
class Finding:
    """The result of a check."""

    name: str
    status: Status
    detail: str  # the evidence
    advice: str = ""  # what to do, and where; empty if there is nothing to do
    audience: str | None = attrs.field(default=None, kw_only=True)  # the API that was checked, where it is one of them

    @property
    def title(self) -> str:
        """The check for people, with the API."""
        return titled(self.name, self.audience)

    def to_json(self) -> dict[str, str | None]:
        """Return it as a JSON object. The words of ``check`` and ``status`` are documented, and stay."""
        return {
            "check": self.name.lower().replace(" ", "_"),
            "audience": self.audience,
            "status": self.status.name.lower(),
            "detail": self.detail,
            "advice": self.advice,
        }


def titled(name: str, audience: str | None) -> str:
    """Return a check for people."""
    return name if audience is None else f"{name} of {shortened(audience)}"


def failed(findings: Iterable[Finding]) -> bool:
    """Return whether a check failed."""
    return Verdict.of(findings) is Verdict.FAILED


def not_checked(*names: str, audience: str | None = None) -> tuple[Finding, ...]:
    """Return findings for checks that an earlier failure made pointless."""
    return tuple(Finding(name, Status.NOT_CHECKED, "an earlier check failed", audience=audience) for name in names)


def advice(error: PasswordlessError) -> str:
    """Return the advice about an error for a person at a terminal."""
    if isinstance(error, errors.RateLimited):
        return "Wait a while, then try again."
    if isinstance(error, errors.OutcomeUnknown | errors.NotSent) and not is_particular(error):
        return "Check the network and try again later."
    return advice_by_options(error)


def shortened(value: object) -> str:
    """Return a value of the tenant's as text of at most 200 characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _MAX_TENANT_TEXT else f"{text[:_MAX_TENANT_TEXT]}…"
