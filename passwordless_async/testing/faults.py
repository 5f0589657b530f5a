"""The faults that are switched on, and which of them a request meets. What each does is in ``fault_table.py``.

Invariant: a fault is counted only if it acts. The faults that alter tokens are looked up once tokens are to be issued,
the others when a request comes, so one request can meet a fault of each sort.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.testing.endpoints.nonce_challenges import TOKEN_PATH
from passwordless_async.testing.fault_names import MAX_NUMBER, AnyFault, FaultOptions, between, fault_named
from passwordless_async.testing.fault_table import FAULTS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence


def _absolute(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, str) and value.startswith("/")):
        raise ValueError(f"{attribute.name} must be a path that begins with a slash")


@attrs.define
class _ActiveFault:
    fault: AnyFault
    path: str | None = attrs.field(validator=_absolute)
    times: int | None = attrs.field(validator=between(0, MAX_NUMBER))
    after: int = attrs.field(validator=between(0, MAX_NUMBER))
    options: FaultOptions


@attrs.frozen
class Faults:
    """The active faults, in order.

    A request meets the first fault that is due. Faults of tokens (``BEARER_TOKEN``, ``TOKEN_OF_OTHER_KEY``,
    ``ACCESS_TOKEN_EXPIRED``, ``ID_TOKEN_…``) are counted apart: a response with tokens meets the first of these that is
    due. A fault is counted only if it can act: a nonce challenge does not use up a fault of tokens, a response without
    an ID token does not use up a fault of the ID token, and a request to another endpoint uses up neither a
    :class:`KeySetFault` nor ``CHALLENGE_SPENDS_CODE``. ``stats.faults_played`` says how often a fault acted.
    """

    _active: list[_ActiveFault] = attrs.field(factory=list, init=False)

    def add(
        self,
        fault: AnyFault | str,
        *,
        path: str | None = None,
        times: int | None = None,
        after: int = 0,
        **options: float | str | Sequence[str] | asyncio.Event | None,
    ) -> None:
        """Switch a fault on.

        Args:
            fault: The fault, or its name.
            path: The path of the requests that it affects; None: every path, with the key set that a client fetches at
                its first login. A path that the tenant does not serve affects none.
            times: How many requests it affects, or, if it is a fault of tokens, responses with tokens; None: all, until
                you clear it.
            after: How many of these pass first. A public client's first request to ``/oauth/token`` is answered with a
                nonce challenge: it counts for a fault of requests, such as ``DROP_AFTER_PROCESSING``, and not for a
                fault of tokens.
            **options: The details, see :class:`FaultOptions`.

        Raises:
            ValueError: There is no such fault or detail, or a detail is malformed.
        """
        self._active.append(_ActiveFault(fault_named(fault), path, times, after, FaultOptions.of(options)))

    def clear(self) -> None:
        """Switch all faults off."""
        self._active.clear()

    def next(self, path: str) -> tuple[AnyFault, FaultOptions] | None:
        """Return the fault that a request to a path meets, unless it is one of tokens; it is counted."""
        return self._first(path, lambda fault: FAULTS[fault].alter is None and FAULTS[fault].only_at in (None, path))

    def next_of_tokens(self, applies: Callable[[AnyFault], bool]) -> AnyFault | None:
        """Return the fault of tokens that a response with tokens meets, of those that apply to it; it is counted."""
        due = self._first(TOKEN_PATH, lambda fault: FAULTS[fault].alter is not None and applies(fault))
        return None if due is None else due[0]

    def _first(self, path: str, can_act: Callable[[AnyFault], bool]) -> tuple[AnyFault, FaultOptions] | None:
        for active in self._active:
            if active.path not in (None, path) or active.times == 0 or not can_act(active.fault):
                continue
            if active.after > 0:
                active.after -= 1
                continue
            if active.times is not None:
                active.times -= 1
            return active.fault, active.options
        return None
