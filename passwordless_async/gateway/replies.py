"""The reply of a step, before it becomes HTML or JSON.

Invariants:

- A step decides what happens; one renderer for pages and one for JSON, chosen by ``Accept``, decide how it looks.
- A reply names its page and the facts that the page shows; no fact is a token, a code or an identifier of a session.
- After a successful POST, a page redirects (303) to the next step; JSON has the next step's facts at once.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.secret import Secret
    from passwordless_async.gateway.state import LoginState


class Page(enum.StrEnum):
    """The pages; each value names a template, and ``step`` in JSON."""

    IDENTIFIER = "identifier"
    """Facts: ``kinds`` (of ``email``, ``phone``), ``identifier`` (what was typed), ``captcha`` (the widget that is
    needed: ``script``, ``site_key``, ``css_class``, ``field``; or None), ``return_to``, ``may_remember`` (bool),
    ``may_link`` (bool: whether ``send=link`` sends a link)."""
    CODE = "code"
    """Facts: ``sent_to`` (masked), ``kind``, ``resend_in`` (seconds), ``attempts_left`` (or None), ``expires_in``."""
    LINK_SENT = "link-sent"
    """Facts: ``sent_to`` (masked), ``resend_in``, ``can_reload`` (bool: the link may be opened once more)."""
    LINK_ELSEWHERE = "link-elsewhere"
    """A link was opened in another browser than the one that asked for it. No facts."""
    FACTOR = "factor"
    """Facts: ``kind`` (``otp``, ``sms``, ``voice``, ``email``, ``push``, ``recovery``), ``name`` (masked, or empty),
    ``poll_every`` (seconds between two questions, for ``push``)."""
    FACTORS = "factors"
    """Facts: ``choices``: a list of ``{"id", "kind", "name"}``."""
    ENROLMENT_CHOICE = "enrolment-choice"
    """Facts: ``choices``: a list of kinds."""
    ENROLMENT_PHONE = "enrolment-phone"
    """Facts: ``kind`` (``sms`` or ``voice``), ``phone`` (what was typed)."""
    ENROLMENT = "enrolment"
    """Facts: ``kind``, ``name``, ``barcode_uri`` (for a QR code, or None), ``setup_key`` (in groups of four, or None),
    ``prompts`` (whether a code is typed)."""
    RECOVERY_CODES = "recovery-codes"
    """Facts: ``codes``: shown until the user confirms them, with the problem if the login failed after its factor."""
    SESSIONS = "sessions"
    """Facts: ``sessions``: a list of ``{"name", "device", "place", "opened_at", "last_seen_at", "is_current"}``."""
    HOME = "home"
    """Where a login without ``return_to`` ends. Facts: ``user`` (name to show), ``device``."""
    STEP_UP = "step-up"
    """A user who is logged in is asked to confirm it. Facts: ``sent_to`` (masked): where the code will go."""
    LOGGED_OUT = "logged-out"
    """No facts."""
    FAULT = "fault"
    """A problem that no form can correct. Facts: ``status``, and ``retry_to`` (a path below the mount) if the next page
    is none of the usual ones: the requested address, the login, or the home of a user who has a session."""


@attrs.frozen
class Problem:
    """What went wrong, as a text's key: a page shows the text, JSON has both.

    Attributes:
        key: The key in the catalogs: ``wrong_code``, ``cooling_down``, ``csrf``.
        facts: The values in the text: ``{"seconds": 30}``, ``{"count": 2}``.
        field: The form field that it belongs to; None for the page.
        cause: The error to log, because the user did not cause it; None if there is none.
    """

    key: str
    facts: Mapping[str, Any] = attrs.field(factory=dict)
    field: str | None = None
    cause: Exception | None = attrs.field(default=None, eq=False, repr=False)


class Keep(enum.Enum):
    """A cookie that a reply leaves alone."""

    KEEP = enum.auto()


KEEP = Keep.KEEP


@attrs.frozen(kw_only=True)
class Reply:
    """The reply of a step.

    Attributes:
        page: The page to show, and the step in JSON.
        facts: The values that it shows; see :class:`Page`.
        status: The HTTP status.
        problem: What went wrong; None if nothing did.
        login: The new state of the login: its cookie is set. None: the cookie is removed.
        session: The session's identifier: its cookie is set. None: the cookie is removed.
        session_seconds: How long a browser keeps the session's cookie; None: until it is closed.
        is_json: Whether it is always JSON, whatever the browser accepts: for scripts only.
        location: The path below the mount that a page redirects to, with 303. None: the page itself is shown.
        leaves: Whether ``location`` is a path of the site instead, because the login has ended and returns there.
        headers: Further header fields.
    """

    page: Page
    facts: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    status: int = 200
    problem: Problem | None = None
    login: LoginState | Keep | None = attrs.field(default=KEEP, repr=False)
    session: Secret | Keep | None = attrs.field(default=KEEP, repr=False)
    session_seconds: float | None = None
    is_json: bool = False
    location: str | None = None
    leaves: bool = False
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
