"""One request on its way through a step: what is known of the browser, and what the steps share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.secret import Secret, redacted
from passwordless_async.gateway.audit import AuditEvent
from passwordless_async.gateway.defects import Defects
from passwordless_async.gateway.proxies import public

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
        login: The browser's login under way.
        session: The identifier of the browser's session; whether it still is one is known by the store.
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
        """The user's address as the service is told it; None: it is told none, as that of a public client."""
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
        """Tell the audit log what happened; ``user`` is the ``sub``, ``session`` a public name.

        ``login`` is the login by now, unless it is as it came.
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
            with Defects("on_audit"):
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
        """What a session that is opened now remembers of the browser, for the list of sessions."""
        place = {} if self.address is None else {"place": str(self.address)}
        return {"device": self.device, **place}
