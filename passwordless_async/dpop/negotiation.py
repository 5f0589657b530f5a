"""Answering nonce challenges (RFC 9449 §8, §9), for any way to send the proof.

Invariants:

- Every transmission has a new proof.
- The nonce is taken from every response, before the generator returns or raises.
- A challenge is compared with the nonce **in the proof that was sent**, never with the cache: another task may have
  renewed it.
- A challenge is answered with its own nonce, unless a proof of this call had that nonce before. A server that changes
  its nonces between two responses challenges more than once; a repeated nonce is not answered.
- A call answers at most three challenges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from passwordless_async.dpop.challenge import demands_nonce
from passwordless_async.errors import MalformedAnswer, NonceChallengeRepeated

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.dpop.key import DPoPKey
    from passwordless_async.dpop.nonce import NonceCache

Sent = TypeVar("Sent")

_MAX_ANSWERS = 3  # challenges that one call answers; a server that renews its nonces that often accepts none


def negotiate(
    nonces: NonceCache, origin: str, key: DPoPKey, make: Callable[[str | None], Sent]
) -> Generator[Sent, HttpResponse, tuple[Sent, HttpResponse]]:
    """Yield each transmission, receive its response, and return the last pair: the first without a challenge.

    Args:
        nonces: The nonces of all origins.
        origin: The origin of the request.
        key: The key that signs.
        make: Makes a transmission with a new proof for a nonce: a whole request, or the proof alone. Its repr must not
            show the proof.

    Raises:
        MalformedAnswer: The server demands a nonce and gives no valid one; nothing is sent again.
        NonceChallengeRepeated: The server challenges again with a nonce that was used, or a fourth time.
    """
    nonce = nonces.get(origin, key)
    used: list[str | None] = []
    while True:
        used.append(nonce)
        sent = make(nonce)
        ticket = nonces.ticket()
        response = yield sent
        offered = nonces.harvest(origin, response, ticket, key)
        # A proof with the server's own nonce was refused for another reason: that is no challenge.
        fresh = offered is not None and offered not in used and len(used) == 1
        if not demands_nonce(response, fresh=fresh):
            return sent, response
        if offered is None:
            raise MalformedAnswer(
                "a nonce is demanded and none, or none that is valid, is given", status=response.status
            )
        if offered in used or len(used) > _MAX_ANSWERS:
            break
        nonce = offered
    raise NonceChallengeRepeated(
        status=response.status,
        error="use_dpop_nonce",
        error_description="the server challenged again after its own nonce was used",
    )
