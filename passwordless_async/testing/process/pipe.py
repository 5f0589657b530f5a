"""How a tenant process is spoken to: one JSON object a line, requests on its standard input, answers on its output.

The pipe belongs to the two processes, so no port is open for control, no secret guards one, and nothing that goes
through it counts in the tenant's statistics. Its end is the end of the child: a parent that dies takes it along.

.. code-block:: text

    parent                                        child
    {"settings": {…}, "host": …, "port": …}   ─▶
                                              ◀─  {"id": 0, "value": {"url": …}}
    {"id": 1, "call": "codes", "with": {…}}   ─▶
                                              ◀─  {"id": 1, "value": …}  or  {"id": 1, "error": …, "kind": …}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passwordless_async.testing.tenant import LocalTenant

MAX_LINE = 16 * 1024 * 1024  # bytes: the codes of a hundred thousand users
READY = 0  # the id of the first answer
ERRORS: Mapping[str, type[Exception]] = {  # what a call may raise, raised again in the parent
    "LookupError": LookupError,
    "TypeError": TypeError,
    "ValueError": ValueError,
}


def line(message: Mapping[str, Any]) -> bytes:
    """Return a message as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def failure(number: int, error: Exception) -> bytes:
    """Return a call's failure as a line."""
    kind = next((kind.__name__ for kind in ERRORS.values() if isinstance(error, kind)), "")
    return line({"id": number, "error": str(error), "kind": kind})


@attrs.frozen
class Servant:
    """The child's side: what may be asked of a tenant."""

    _tenant: LocalTenant

    def answer(self, request: bytes) -> bytes:
        """Return the answer to a line; a call that fails is answered with its error."""
        message = json.loads(request)
        try:
            value = self._calls[message["call"]](**message.get("with", {}))
        except tuple(ERRORS.values()) as error:
            return failure(message["id"], error)
        return line({"id": message["id"], "value": value})

    @property
    def _calls(self) -> Mapping[str, Callable[..., Any]]:
        tenant = self._tenant
        return {
            "codes": self._codes,
            "stats": tenant.stats.to_json,
            "add_fault": tenant.faults.add,
            "clear_faults": tenant.faults.clear,
            "advance": tenant.clock.advance,
            "client_for": self._client_for,
            "add_user": self._add_user,
            "mfa": self._mfa,
        }

    def _add_user(self, realm: str, username: str, options: dict[str, Any]) -> None:
        self._tenant.users.add(User(realm, username), **options)

    def _mfa(self, what: str, realm: str, username: str) -> str | None:
        mfa = self._tenant.mfa
        calls: dict[str, Callable[[User], str | None]] = {
            "otp": mfa.otp_for,
            "code": mfa.code_for,
            "recovery_code": mfa.recovery_code_for,
            "approve": mfa.approve,
            "deny": mfa.deny,
        }
        return calls[what](User(realm, username))

    def _client_for(self, method: str, alg: str) -> dict[str, Any]:
        return self._tenant.client_for(method, alg).to_json()

    def _codes(self, users: list[tuple[str, str]]) -> list[str]:
        return [self._tenant.outbox.code_for(User(realm, username)) for realm, username in users]
