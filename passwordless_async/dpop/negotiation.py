"""Answering a server's demand for another nonce (RFC 9449 §8, §9), for whatever carries the proof.

The rules: one new proof for every transmission; the nonce is harvested from every answer, before anything is returned
or raised; a challenge is compared with the nonce **in the proof that was sent**, never with the cache, which a sibling
may have renewed; it is answered once, with the nonce that came with it.
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


def negotiate(
    nonces: NonceCache, origin: str, key: DPoPKey, make: Callable[[str | None], Sent]
) -> Generator[Sent, HttpResponse, tuple[Sent, HttpResponse]]:
    """Yield each transmission and be sent its answer; return the last of both, when the answer is not a challenge.

    Args:
        nonces: The nonces of all origins.
        origin: The origin that is asked.
        key: The key that signs.
        make: Makes a transmission, with a new proof for a nonce: a whole request, or the proof alone. What it
            makes must not show the proof in its repr.

    Raises:
        MalformedAnswer: A nonce is demanded and none that is valid is given; nothing is sent again.
        NonceChallengeRepeated: The server's own nonce was used and it challenges again; after two transmissions.
    """
    nonce = nonces.get(origin, key)
    for last in (False, True):
        sent = make(nonce)
        ticket = nonces.ticket()
        response = yield sent
        offered = nonces.harvest(origin, response, ticket, key)
        # A proof refused with the server's own nonce in it is refused for another reason.
        fresh = offered is not None and offered != nonce and not last
        if not demands_nonce(response, fresh=fresh):
            return sent, response
        if offered is None:
            raise MalformedAnswer(
                "a nonce is demanded and none, or none that is valid, is given", status=response.status
            )
        if last or offered == nonce:
            break
        nonce = offered
    raise NonceChallengeRepeated(
        status=response.status,
        error="use_dpop_nonce",
        error_description="the server challenged again after its own nonce was used",
    )
