"""Key sets of the tenant or of an issuer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from joserfc.jwk import ECKey
from multidict import CIMultiDict

from fuzz.engine import Target
from fuzz.parts import RSA, Signer
from passwordless_async import MalformedAnswer
from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.jwks import read_jwks
from passwordless_async.auth0.jws import is_signed

if TYPE_CHECKING:
    from fuzz.mutator import Mutator

ALGORITHMS = ("RS256", "RS384", "PS256", "ES256", "ES384")
SECRETS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
EC_384 = {**ECKey.generate_key("P-384").as_dict(private=False), "kid": "p384"}
RIGHT: list[dict[str, Any]] = [{**RSA.as_dict(private=False), "use": "sig", "alg": "RS256"}, Signer("ec").jwk, EC_384]
NEAR = [
    *("RSA", "EC", "oct", "OKP", "P-256", "P-384", "P-521", "secp256k1", "enc", "sig", "rsa", "ec", "ES256", "RS256"),
    *("AQAB", "AQ", "Aw", "AA", "A" * 342, "A" * 1366, "A" * 2800, "_" * 43, ["verify"], ["sign"], RIGHT[1]["x"]),
]
TYPES = ("application/json", "application/jwk-set+json", "text/html", "")


@attrs.frozen
class Given:
    """A response of the JWKS endpoint."""

    status: int
    content_type: str
    body: bytes


def draw(mutator: Mutator) -> Given:
    keys: list[Any] = [mutator.choice(RIGHT) for _ in range(mutator.choice((1, 1, 2, 3, 5)))]
    if mutator.often(0.1):
        place = mutator.random.randrange(len(keys))
        keys[place] = {**keys[place], mutator.choice(tuple(SECRETS)): mutator.other("A")}
    if mutator.often(0.02):
        keys *= 100
    document = mutator.value({"keys": keys}, NEAR)
    status = 200 if mutator.often(0.97) else mutator.choice((201, 204, 304, 404, 429, 500))
    content_type = TYPES[0] if mutator.often(0.9) else mutator.choice(TYPES)
    return Given(status, content_type, mutator.encoded(document))


def check(given: Given) -> str:
    try:
        keys = read_jwks(
            HttpResponse(given.status, CIMultiDict({"Content-Type": given.content_type}), given.body), ALGORITHMS
        )
    except MalformedAnswer as error:
        return str(error)
    for kid, alike in keys.items():
        assert isinstance(kid, str)
        assert kid
        for signing in alike:
            assert set(signing.algorithms) <= set(ALGORITHMS)
            assert SECRETS.isdisjoint(signing.key.as_dict())
            # A key that is taken is one that can be used.
            assert not any(is_signed(Secret("e30.e30.AAAA"), alg, signing.key) for alg in ALGORITHMS)
    return f"{min(sum(map(len, keys.values())), 3)} keys or more"


def make() -> Target:
    """Return the target."""
    return Target(draw, check)
