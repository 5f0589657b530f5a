"""The ``jti`` values that were seen, for as long as their JWTs could pass again (RFC 9449 §11.1)."""

from __future__ import annotations

import attrs

_MAX_JTIS = 200_000


@attrs.define
class SeenJtis:
    """The JWTs that passed, by issuer and ``jti``: two issuers may choose the same one.

    The issuer of a proof is its key's thumbprint, that of an assertion its ``sub``. A hash of the whole JWT would not
    do: for a signature (r, s) the pair (r, n-s) verifies too.
    """

    _capacity: int = _MAX_JTIS
    _seen: dict[tuple[str, str], float] = attrs.field(factory=dict, init=False, repr=False)

    def add(self, issuer: str, jti: str, *, until: float, now: float) -> bool:
        """Remember a JWT until a time; return False where it is known, or where the memory is full.

        A full memory refuses a new JWT rather than forget an old one: forgetting would let a replay pass.
        """
        if self._seen.get((issuer, jti), now) > now:
            return False
        if len(self._seen) >= self._capacity:
            self._seen = {key: end for key, end in self._seen.items() if end > now}
            if len(self._seen) >= self._capacity:
                return False
        self._seen[issuer, jti] = until
        return True
