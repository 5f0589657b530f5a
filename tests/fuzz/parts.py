"""What several targets need: keys to sign with, and answers to what a flow asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from joserfc.jwk import RSAKey

from passwordless_async import DPoPKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async.auth0.tenant import Flow

T = TypeVar("T")

# Making an RSA key takes a tenth of a second: one for all.
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})


class Signer:
    """A key of P-256 with a name: its signatures take a hundredth of the time of RSA's."""

    def __init__(self, kid: str) -> None:
        self._key = DPoPKey.generate()
        self.jwk = {**self._key.to_jwk(), "kid": kid, "use": "sig", "alg": "ES256"}

    def sign(self, data: bytes) -> bytes:
        return bytes(self._key.sign(data))


def drive(flow: Flow[T], respond: Callable[[HttpRequest], HttpResponse]) -> T:
    """Run a flow to its end, and return what it returns."""
    try:
        request = next(flow)
        while True:
            request = flow.send(respond(request))
    except StopIteration as stopped:
        result: T = stopped.value
        return result
