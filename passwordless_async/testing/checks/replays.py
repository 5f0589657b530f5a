"""The replay memory: which proofs were seen, for as long as they could pass again (RFC 9449 §11.1)."""

from __future__ import annotations

import attrs

_CAPACITY = 200_000  # proofs


@attrs.define
class ReplayMemory:
    """The proofs that passed, by key and ``jti``: two keys may choose the same one.

    A hash of the whole proof would not do: for a signature (r, s) the pair (r, n-s) verifies too.
    """

    _capacity: int = _CAPACITY
    _seen: dict[tuple[str, str], float] = attrs.field(factory=dict, init=False, repr=False)

    def add(self, thumbprint: str, jti: str, *, until: float, now: float) -> bool:
        """Remember a proof until a time; return False where it is known, or where the memory is full.

        A full memory takes nothing more rather than forget: forgetting would let a replay pass.
        """
        if self._seen.get((thumbprint, jti), now) > now:
            return False
        if len(self._seen) >= self._capacity:
            self._seen = {once: end for once, end in self._seen.items() if end > now}
            if len(self._seen) >= self._capacity:
                return False
        self._seen[thumbprint, jti] = until
        return True
