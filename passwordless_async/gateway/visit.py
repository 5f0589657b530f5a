"""One request in a step: the facts about the browser, and the objects that the steps share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.secret import Secret, redacted
from passwordless_async.gateway.audit import AuditEvent
from passwordless_async.gateway.error_log import LogAndSuppress
from passwordless_async.gateway.user_address import public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.gateway.audit import AuditKind
    from passwordless_async.gateway.messages import Request
    from passwordless_async.gateway.services import Services
    from passwordless_async.gateway.state import LoginState


@attrs.frozen(kw_only=True)
class Visit:
    """One request that was let through.

    Attributes:
        request: The request.
        form: The fields of its form or its JSON object; every value is a text.
        login: The browser's pending login.
        session: The identifier of the browser's session; only the store knows whether it still exists.
        address: The address of the user; None if it is not known.
        device: The browser and its system, for people: ``Firefox on Linux``.
        language: The language of the response, a BCP 47 tag.
        services: What the steps share.
    """

    request: Request = attrs.field(repr=False)
    form: Mapping[str, Secret] = attrs.field(repr=False)
    login: LoginState | None = attrs.field(repr=False)
    session: Secret | None = attrs.field(repr=redacted)
    address: IpAddress | None = attrs.field(repr=redacted)
    device: str
    language: str
    services: Services

    @property
    def forwarded_for(self) -> IpAddress | None:
        """The user's address for the service; None: none is sent, for example with a public client."""
        return public(self.address) if self.services.client.forwards_addresses else None

    def audit(
        self,
        kind: AuditKind,
        *,
        login: LoginState | None = None,
        user: str | None = None,
        session: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Write an event to the audit log; ``user`` is the ``sub``, ``session`` a public name.

        Pass ``login`` if the login has changed since the request arrived.
        """
        sinks, keys = self.services.on_audit, self.services.keys
        if not sinks:
            return
        login = login or self.login
        who = None if login is None else login.who
        event = AuditEvent(
            kind=kind,
            at=self.services.clock(),
            user=None if user is None else keys.pseudonym(f"gateway user {user}"),
            who=None if who is None else keys.pseudonym(f"gateway {who.realm} {who.identity}"),
            session=session,
            reason=reason,
            address=None if self.address is None else str(self.address),
            device=self.device,
        )
        for tell in sinks:
            with LogAndSuppress("on_audit"):
                tell(event)

    def session_options(self, *, remember: bool) -> dict[str, Any]:
        """Return how a session is opened now: arguments of ``client.sessions.login`` and ``open``."""
        settings = self.services.settings
        lifetime = settings.remember_for if remember else settings.session_for
        # A step-up of the session asks for the same again.
        kept = {"remember": True} if remember else {}
        return {"data": {**self.session_data, **kept}, "lifetime": lifetime, "by_sid": True}

    @property
    def session_data(self) -> dict[str, Any]:
        """Return the facts about the browser that a new session stores, for the list of sessions."""
        place = {} if self.address is None else {"place": str(self.address)}
        return {"device": self.device, **place}
