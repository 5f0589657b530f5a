"""The library's own verifier, asked about every proof that the tenant checks.

The tenant decides by its own check, which is written independently of the library. Where the two differ, one of them
has a defect, and ``tenant.disagreements`` names the proof.
"""

from __future__ import annotations

from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async.dpop import DPoPVerifier, MemoryReplayStore
from passwordless_async.errors import InvalidDPoPProof

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from multidict import CIMultiDictProxy

    from passwordless_async.testing.settings import TenantSettings

T = TypeVar("T")

_MAX_DISAGREEMENTS = 100  # the first one is already too many
_MAX_NAMES = 16  # of the tenant, each with a verifier
_BOUND_TO_ANOTHER_KEY = "the verifier read another key"


@attrs.frozen
class ProofTarget:
    """What a proof must be for: the method, the tenant's own URL, and the access token beside it, if any."""

    method: str
    base_url: str
    path: str
    nonce_required: bool
    access_token: str | None = attrs.field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The URL of the request."""
        return f"{self.base_url}{self.path}"


class SecondOpinion:
    """Compares the two checks; kept for the tenant's lifetime."""

    def __init__(self, settings: TenantSettings) -> None:
        # Each names the tenant's result, the verifier's, the method and the URL.
        self.disagreements: deque[str] = deque(maxlen=_MAX_DISAGREEMENTS)
        # A nonce that replaces iat is the tenant's own, which the verifier does not know.
        self._enabled = not settings.nonce_replaces_iat
        self._settings = settings
        # The time of the tenant's check: by a clock of its own, the verifier would differ at the end of a window.
        self._now = 0.0
        self._replay = MemoryReplayStore(clock=lambda: self._now)
        self._verifiers: Bounded[str, DPoPVerifier] = Bounded(_MAX_NAMES)

    def compare(self, result: str, key: str, headers: CIMultiDictProxy[str], target: ProofTarget, now: float) -> None:
        """Record a disagreement with the tenant's result: a thumbprint, or empty for a refusal.

        ``key`` is the thumbprint of the proof's key, whatever the result; empty if its signature is wrong.
        """
        if not self._enabled:
            return
        self._now = now
        opinion = self._opinion(key, headers, target)
        if opinion is not None and opinion != result:
            self.disagreements.append(
                f"tenant: {result or 'refused'}, verifier: {opinion or 'refused'}, {target.method} {target.url}"
            )

    def _opinion(self, key: str, headers: CIMultiDictProxy[str], target: ProofTarget) -> str | None:
        # The binding is checked with the proof: the verifier must not remember one that has the wrong ath.
        token = target.access_token
        confirmation = None if token is None else {"jkt": key}
        verifier = self._verifier(target.base_url)
        try:
            verified = verifier.verify(
                target.method, target.url, headers, confirmation=confirmation, access_token=token
            )
            return _run_synchronously(verified).thumbprint
        except InvalidDPoPProof as error:
            if error.status == HTTPStatus.SERVICE_UNAVAILABLE:  # the replay store: no opinion
                return None
            # The tenant checks the binding itself: what gets as far as this passed all else.
            return _BOUND_TO_ANOTHER_KEY if error.error == "invalid_token" else ""

    def _verifier(self, base_url: str) -> DPoPVerifier:
        verifier = self._verifiers.get(base_url)
        if verifier is None:
            verifier = self._verifiers[base_url] = DPoPVerifier(
                replay=self._replay,
                base_url=base_url,
                max_age=self._settings.proof_max_age,
                skew=self._settings.proof_skew,
                clock=lambda: self._now,
            )
        return verifier


def _run_synchronously(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits: the verifier with a replay store in memory is one."""
    try:
        call.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("the verifier waited")
