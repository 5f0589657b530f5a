"""What a check found: its status, the evidence in plain words, and where to change it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

from passwordless_async import errors

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


@attrs.frozen
class Finding:
    """What a check found."""

    name: str
    status: Status
    detail: str  # the evidence
    advice: str = ""  # what to do, and where; empty if there is nothing to do

    def to_json(self) -> dict[str, str]:
        """Return it as a JSON object."""
        return {"name": self.name, "status": self.status.value, "detail": self.detail, "advice": self.advice}


def failed(findings: Iterable[Finding]) -> bool:
    """Return whether a check failed."""
    return any(finding.status is Status.FAILED for finding in findings)


def not_checked(*names: str) -> tuple[Finding, ...]:
    """Return findings for checks that an earlier failure made pointless."""
    return tuple(Finding(name, Status.NOT_CHECKED, "an earlier check failed") for name in names)


def advice(error: PasswordlessError) -> str:
    """Return what a person at a terminal can do about an error."""
    if isinstance(error, errors.RateLimited):
        return "Wait a while, then try again."
    if isinstance(error, errors.OutcomeUnknown | errors.NotSent):
        return "Check the network and try again later."
    return error.advice


def shortened(value: object) -> str:
    """Return a value of the tenant's as text of at most 200 characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _MAX_TENANT_TEXT else f"{text[:_MAX_TENANT_TEXT]}…"
