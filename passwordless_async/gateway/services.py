"""The objects that all steps share; kept for the gateway's lifetime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.validators import checked_by
from passwordless_async.gateway.hooks import Hooks
from passwordless_async.gateway.submissions import Submissions

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.gateway.audit import OnAudit
    from passwordless_async.gateway.ledger import Ledger
    from passwordless_async.gateway.settings import Settings
    from passwordless_async.stores.keyring import KeyRing


@attrs.frozen(kw_only=True)
class Services:
    """What all steps share.

    Attributes:
        client: Logs users in, and keeps their sessions.
        settings: How the gateway behaves.
        keys: Seals the login's cookie, and makes pseudonyms.
        ledger: Counts against the budgets.
        hooks: The application's hooks.
        submissions: Finishes each login once.
        on_audit: Get the events of the audit log, in order.
        clock: The wall clock: seconds since the UNIX epoch.
    """

    client: PasswordlessClient
    settings: Settings
    keys: KeyRing = attrs.field(repr=False)
    ledger: Ledger
    hooks: Hooks = attrs.field(factory=Hooks)
    on_audit: tuple[OnAudit, ...] = ()
    submissions: Submissions = attrs.field(factory=Submissions, init=False)
    clock: Callable[[], float] = attrs.field(default=_clock.now, validator=checked_by(_check.plain_function))
