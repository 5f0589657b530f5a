"""People at the keyboard: one types the code that a tenant sent, one gives answers in turn."""

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
        return True

    def readline(self) -> str:
        self.code = self._tenant.outbox.code_for(self._who)
        return self._change(self.code) + "\n"


class Typist:
    """Standard input, with a person who gives answers in turn; those that are functions are asked when it is time."""

    def __init__(self, *answers: str | Callable[[], str]) -> None:
        self._answers = list(answers)

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        answer = self._answers.pop(0)
        return (answer if isinstance(answer, str) else answer()) + "\n"

    @property
    def left(self) -> int:
        """The number of answers that were not asked for."""
        return len(self._answers)
