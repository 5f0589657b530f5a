"""The audit log: an event for each login and each change of a session.

Invariants:

- Users are pseudonyms, made with the key ring: a user has the same one in every process, and a reader of the log cannot
  identify the user. No event has a code, a token or an identifier of a session.
- If a sink fails, the login continues, and the failure is logged.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from typing import TextIO


class AuditKind(enum.StrEnum):
    """What happened."""

    STARTED = "started"
    """A user was sent a code."""
    LOGGED_IN = "logged_in"
    """A session was opened."""
    REFUSED = "refused"
    """A request that changes something was refused: ``reason`` is the key of the text that the user saw. For a
    back-channel logout, and for a user to whom the service sends no code, it is the code of the error, which the page
    does not show."""
    STEPPED_UP = "stepped_up"
    """A user confirmed who they are: a new session replaces the old one."""
    ENDED = "ended"
    """A session was ended: ``reason`` is ``logout``, ``by_user`` (from the list), ``replaced``, ``limit`` (the user has
    too many) or ``provider`` (back-channel logout)."""
    NOT_REVOKED = "not_revoked"
    """The tokens of an ended session could not be revoked at the service, and stay valid until they expire:
    ``reason`` is the code of the error."""


@attrs.frozen(kw_only=True)
class AuditEvent:
    """One line of an audit log.

    Attributes:
        kind: What happened.
        at: When: seconds since the UNIX epoch.
        user: The pseudonym of the account (its ``sub``); None while it is unknown.
        who: The pseudonym of the e-mail address or phone number that the user typed; None if they typed none.
        session: The public name of the session, which does not open it; None if the event is about no session.
        reason: The reason; None if there is none.
        address: The user's IP address; None if unknown.
        device: The browser and operating system, as readable text.
    """

    kind: AuditKind
    at: float
    user: str | None = None
    who: str | None = None
    session: str | None = None
    reason: str | None = None
    address: str | None = None
    device: str = ""


OnAudit: TypeAlias = Callable[[AuditEvent], None]


@attrs.frozen
class JsonLines:
    """A sink that writes one JSON object per line, for example ``on_audit=JsonLines(sys.stdout)``.

    Args:
        stream: A text stream. Each line is written and flushed at once.
    """

    stream: TextIO = attrs.field(repr=False)

    def __call__(self, event: AuditEvent) -> None:
        """Write an event, without the members that are None."""
        members = {name: value for name, value in attrs.asdict(event).items() if value not in {None, ""}}
        self.stream.write(json.dumps(members) + "\n")
        self.stream.flush()
