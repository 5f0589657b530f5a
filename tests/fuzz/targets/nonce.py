"""Header fields of responses: nonces, challenges, dates, and the negotiation that they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from multidict import CIMultiDict

from fuzz.engine import Target
from passwordless_async import DPoPKey, NonceCache
from passwordless_async._common.http import HttpResponse
from passwordless_async.auth0.rate_limit import allowance, retry_after, unavailable_for
from passwordless_async.dpop import negotiate, parse_www_authenticate
from passwordless_async.errors import MalformedAnswer, NonceChallengeRepeated

if TYPE_CHECKING:
    from fuzz.mutator import Mutator

NOW = 1_700_000_000.0
ORIGIN = "https://tenant.example"
KEY = DPoPKey.generate()
CHALLENGES = (
    'DPoP error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof"',
    'Bearer realm="x", DPoP algs="ES256 RS256", error=use_dpop_nonce',
    'Basic abc==, dpop error="invalid_dpop_nonce"',
    'DPoP error="invalid_dpop_proof"',
    'Digest realm="a\\"b", nonce="c"',
)
FIELDS = {
    "DPoP-Nonce": ("n1", "n2", "n3", "n4", "eyJ7S_zG.eyJH0-Z.HX4w-7v", ""),
    "WWW-Authenticate": CHALLENGES,
    "x-amzn-remapped-www-authenticate": CHALLENGES,
    "Content-Type": ("application/json", "text/html; charset=\xff"),
    "Date": ("Tue, 14 Nov 2023 22:13:20 GMT", "Tuesday, 14-Nov-23 22:13:20 GMT", "Tue Nov 14 22:13:20 2023"),
    "Retry-After": ("1", "86400", "1.5", "Tue, 14 Nov 2023 22:13:20 GMT"),
    "X-RateLimit-Limit": ("10", "100", "1e3"),
    "X-RateLimit-Remaining": ("0", "9"),
    "X-RateLimit-Reset": ("1700000000", "1e12"),
}
HOSTILE = ("\\" * 8000, '"' * 8000, "a=" * 4000, 'a="' + "\\" * 8000, "," * 8000, " " * 8000, "a " * 4000, "=" * 8000)


@attrs.frozen
class Given:
    """Responses, the last of which comes again and again."""

    responses: list[tuple[int, list[tuple[str, str]], bytes]]


def draw(mutator: Mutator) -> Given:
    responses = []
    for _ in range(mutator.choice((1, 1, 2, 3, 5))):
        fields = []
        for name, values in FIELDS.items():
            for _ in range(mutator.choice((0, 1, 1, 2) if name == "DPoP-Nonce" else (0, 0, 1))):
                value = mutator.choice(values)
                for _ in range(mutator.choice((0, 0, 1, 3))):
                    value = mutator.text(value) if mutator.often(0.9) else value + mutator.choice(HOSTILE)
                fields.append((name, value))
        body = mutator.encoded(mutator.value({"error": "use_dpop_nonce"}, ["invalid_dpop_proof", "invalid_dpop_nonce"]))
        responses.append((mutator.choice((400, 400, 401, 401, 200, 429, 500)), fields, body))
    return Given(responses)


def check(given: Given) -> str:
    responses = [HttpResponse(status, CIMultiDict(fields), body) for status, fields, body in given.responses]
    for response in responses:
        for challenge in parse_www_authenticate(response.headers.getall("WWW-Authenticate", [])):
            assert challenge.scheme == challenge.scheme.lower()
        allowance(response.headers, NOW)
        waits = retry_after(response.headers, NOW), unavailable_for(response.headers, NOW)
        assert all(wait is None or 0 <= wait < float("inf") for wait in waits)
    nonces, proofs = NonceCache(), []
    flow = negotiate(nonces, ORIGIN, KEY, lambda nonce: proofs.append(nonce) or len(proofs))  # type: ignore[func-returns-value]
    try:
        next(flow)
        while True:
            flow.send(responses.pop(0) if len(responses) > 1 else responses[0])
    except StopIteration:
        outcome = "answered"
    except (MalformedAnswer, NonceChallengeRepeated) as error:
        outcome = type(error).__name__
    assert len(proofs) == len(set(proofs)) <= 4, "a nonce is proven twice"
    kept = nonces.get(ORIGIN)
    assert kept is None or (kept.isascii() and kept.isprintable() and '"' not in kept and len(kept) <= 1024)
    return f"{outcome} after {len(proofs)}"


def make() -> Target:
    """Return the target."""
    return Target(draw, check)
