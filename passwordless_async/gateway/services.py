"""What all steps share; lives as long as the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.sealing import Ring
    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.gateway.budgets import Ledger
    from passwordless_async.gateway.settings import Settings


@attrs.frozen(kw_only=True)
class Services:
    """What all steps share.

    Attributes:
        client: Logs users in, and keeps their sessions.
        settings: How the gateway behaves.
        keys: Seals what a browser carries.
        ledger: Counts what the budgets allow.
        clock: The wall clock: seconds since the UNIX epoch.
    """

    client: PasswordlessClient
    settings: Settings
    keys: Ring = attrs.field(repr=False)
    ledger: Ledger
    clock: Callable[[], float] = _clock.now
