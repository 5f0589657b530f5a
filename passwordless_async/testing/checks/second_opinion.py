"""The library's own verifier, asked about every proof that the tenant checks.

The tenant decides by its own check, which is written independently of the library. Where the two differ, one of them
has a defect, and ``tenant.disagreements`` names the proof.
"""

from __future__ import annotations

from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from passwordless_async.dpop import DPoPVerifier, MemoryReplayStore, token_hash
from passwordless_async.errors import InvalidDPoPProof

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from multidict import CIMultiDictProxy

    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock

T = TypeVar("T")

_MAX_DISAGREEMENTS = 100  # the first one is already too many


class SecondOpinion:
    """Compares the two checks; lives as long as its tenant."""

    def __init__(self, settings: TenantSettings, clock: TenantClock, base_url: str) -> None:
        # Each names the tenant's result, the verifier's, the method and the URL.
        self.disagreements: deque[str] = deque(maxlen=_MAX_DISAGREEMENTS)
        # A nonce that replaces iat is the tenant's own, which the verifier does not know.
        self._enabled = not settings.nonce_replaces_iat
        self._verifier = DPoPVerifier(
            replay=MemoryReplayStore(clock=clock.wall),
            base_url=base_url,
            max_age=settings.proof_max_age,
            skew=settings.proof_skew,
            clock=clock.wall,
        )

    def compare(
        self, result: str, headers: CIMultiDictProxy[str], method: str, url: str, access_token: str | None
    ) -> None:
        """Record a disagreement with the tenant's result: a thumbprint, or empty for a refusal."""
        if not self._enabled:
            return
        opinion = self._opinion(headers, method, url, access_token)
        if opinion is not None and opinion != result:
            self.disagreements.append(
                f"tenant: {result or 'refused'}, verifier: {opinion or 'refused'}, {method} {url}"
            )

    def _opinion(self, headers: CIMultiDictProxy[str], method: str, url: str, access_token: str | None) -> str | None:
        try:
            proof = _run_synchronously(self._verifier.verify(method, url, headers))
        except InvalidDPoPProof as error:
            full = error.status == HTTPStatus.SERVICE_UNAVAILABLE  # the replay store: no opinion
            return None if full else ""
        bound = access_token is None or proof.ath == token_hash(access_token)
        return proof.thumbprint if bound else ""


def _run_synchronously(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, as the verifier with a replay store in memory."""
    try:
        call.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("the verifier waited")
