"""The library's own verifier, asked about every proof that the tenant judges: two hands, one standard.

The tenant decides by its own check, which is written apart from the library. Where the verifier comes to another
result one of the two is wrong, and ``tenant.disagreements`` says about which proof.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from passwordless_async.dpop import DPoPVerifier, MemoryReplayStore, token_hash
from passwordless_async.errors import InvalidDPoPProof

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from multidict import CIMultiDictProxy

    from passwordless_async.testing.settings.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock

T = TypeVar("T")

_NO_OPINION = 503  # the verifier's memory of proofs is full
_KEPT = 100  # disagreements; the first one is already too many


class SecondOpinion:
    """Compares judgements; lives as long as its tenant.

    Args:
        settings: The tenant's settings.
        clock: The tenant's clock.
        base_url: The tenant's URL.

    Attributes:
        disagreements: What the two did not agree about: the tenant's result, the verifier's, the method and the URL.
    """

    def __init__(self, settings: TenantSettings, clock: TenantClock, base_url: str) -> None:
        self.disagreements: deque[str] = deque(maxlen=_KEPT)
        # A nonce that stands in for iat comes from the tenant's own issuer, which the verifier does not know.
        self._asked = not settings.nonce_replaces_iat
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
        """Note it where the verifier does not come to the tenant's result: a thumbprint, or empty for a refusal."""
        if not self._asked:
            return
        opinion = self._opinion(headers, method, url, access_token)
        if opinion is not None and opinion != result:
            self.disagreements.append(
                f"tenant: {result or 'refused'}, verifier: {opinion or 'refused'}, {method} {url}"
            )

    def _opinion(self, headers: CIMultiDictProxy[str], method: str, url: str, access_token: str | None) -> str | None:
        try:
            proof = _at_once(self._verifier.verify(method, url, headers))
        except InvalidDPoPProof as error:
            return None if error.status == _NO_OPINION else ""
        bound = access_token is None or proof.ath == token_hash(access_token)
        return proof.thumbprint if bound else ""


def _at_once(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing, as the verifier does not with a replay store in memory."""
    try:
        call.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("the verifier waited")
