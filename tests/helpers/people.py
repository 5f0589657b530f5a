"""A person at the keyboard who types the code that a tenant sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async import Email, Phone
    from passwordless_async.testing import LocalTenant


class Person:
    """Standard input, with a person who types the newest code when asked for it.

    Attributes:
        code: The code that was typed; empty before.
    """

    def __init__(self, tenant: LocalTenant, who: Email | Phone, change: Callable[[str], str] = str) -> None:
        self.code = ""
        self._tenant, self._who, self._change = tenant, who, change

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        self.code = self._tenant.outbox.code_for(self._who)
        return self._change(self.code) + "\n"
