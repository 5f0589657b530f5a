"""A coverage-guided run against the verifier; not part of the test suite.

Needs ``atheris``. The reader, the verifier and all they stand on within ``dpop`` are instrumented. Proofs are signed,
so that the fuzzer gets behind the signature. Whatever is raised but the two errors ends the run, and so does a refusal
that is not in the table below; the table is printed with its counts as the run goes on::

    python tests/fuzz/fuzz_verifier.py -runs=1000000 -max_len=4096 -len_control=0
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["passwordless_async.dpop", "passwordless_async.resource_server"]):
    from passwordless_async.dpop import DPoPKey
    from passwordless_async.dpop.server.nonce_issuer import NonceIssuer
    from passwordless_async.dpop.server.refusal import refusal_headers
    from passwordless_async.dpop.server.replay import MemoryReplayStore
    from passwordless_async.dpop.server.verifier import DPoPVerifier
    from passwordless_async.resource_server.guard import REFUSALS, Guard

REPORT_EVERY = 100_000
NOW = 1_700_000_000
URL = "https://api.example/me"
TOKEN = "test"
KEYS = (DPoPKey.generate(), DPoPKey.generate())
NONCES = NonceIssuer(clock=lambda: NOW)
HEADER = {"typ": "dpop+jwt", "alg": "ES256"}
CLAIMS = {"jti": "1", "htm": "GET", "htu": URL, "iat": NOW, "ath": "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"}
CONFIRMATION = {"jkt": KEYS[0].thumbprint}
NEAR = [
    NOW,
    NOW - 61,
    NOW + 60.5,
    URL,
    f"{URL}?x",
    "HTTPS://API.example:443/%6de",
    "/me",
    "GET",
    "P-256",
    "A" * 43,
    "\ud800",
]
MEMBERS = {
    "header": [*HEADER, "jwk", "crit", "b64", "kid", "x5c"],
    "jwk": ["kty", "crv", "x", "y", "d", "k", "oth"],
    "claims": [*CLAIMS, "exp", "nbf", "nonce"],
}
UNTIMELY = "iat is too far from this server's clock"
OUTCOMES = dict.fromkeys(
    (
        "CheckedProof",
        "the access token is bound to a key and came as a Bearer token",
        "the Authorization header is malformed",
        "the request has no DPoP or Bearer access token",
        "a nonce is required",
        "alg is not ES256",
        "a registered header parameter is not a text",
        "ath is not the hash of the access token",
        "crit and b64 are not supported",
        "htm is not the request's method",
        "htu is not the request's URL",
        UNTIMELY,
        "jti, htm, htu or iat is missing",
        "jwk has a private member",
        "jwk is not a point on the curve",
        "jwk is not a public key of P-256",
        "the access token is bound to another key",
        "the nonce is not accepted",
        "the proof has base64url that is malformed or not canonical",
        "the proof is expired or not valid yet",
        "the proof is not a compact JWT signed by ES256",
        "the proof is too long",
        "the proof was used before",
        "the proof's header and claims must be JSON objects without a name given twice",
        "the request has more than one DPoP header",
        "the request has no DPoP header",
        "the request's target cannot be compared with htu",
        "the signature is wrong",
        "typ is not dpop+jwt",
        "x5c is not an array of texts",
        "x and y of jwk must be 43 characters of base64url",
        *(f"{name} is of another type or length" for name in MEMBERS["claims"]),
    ),
    0,
)


def verifiers() -> list[DPoPVerifier]:
    """Make one verifier of each policy, their store large enough for a whole run."""
    store = MemoryReplayStore(max_entries=100_000_000, clock=lambda: NOW)
    common: dict[str, Any] = {"replay": store, "base_url": "https://api.example", "clock": lambda: NOW}
    optional = DPoPVerifier(nonces=NONCES, require_nonce=False, **common)
    return [DPoPVerifier(**common), optional, DPoPVerifier(nonces=NONCES, nonce_time=True, **common)]


def encode(raw: bytes) -> str:
    """Encode without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(key: DPoPKey, header: Any, claims: Any) -> str:
    """Sign anything as header and claims."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signing_input = f"{encode(parts[0])}.{encode(parts[1])}"
    return f"{signing_input}.{encode(key.sign(signing_input.encode()))}"


def value(data: atheris.FuzzedDataProvider, depth: int = 2) -> Any:
    """Draw a JSON value of any type, or a near miss."""
    drawn = {
        0: lambda: None,
        1: data.ConsumeBool,
        2: lambda: data.ConsumeInt(12),
        3: data.ConsumeFloat,
        4: lambda: data.ConsumeUnicode(data.ConsumeIntInRange(0, 300)),
        5: lambda: data.PickValueInList(NEAR),
        6: lambda: [value(data, depth - 1) for _ in range(data.ConsumeIntInRange(0, 3))],
        7: lambda: {data.ConsumeUnicode(4): value(data, depth - 1) for _ in range(data.ConsumeIntInRange(0, 3))},
    }
    return drawn[data.ConsumeIntInRange(0, 7 if depth else 5)]()


def proof(data: atheris.FuzzedDataProvider) -> str:
    """Draw a proof: raw, signed bytes, edited after signing, or right but for some members."""
    mode = data.ConsumeIntInRange(0, 9)
    key = KEYS[data.ConsumeIntInRange(0, 9) == 1]
    parts: dict[str, dict[str, Any]] = {
        "jwk": KEYS[0 if mode == 4 else KEYS.index(key)].to_jwk(),
        "claims": dict(CLAIMS),
    }
    parts["header"] = {**HEADER, "jwk": parts["jwk"]}
    parts["claims"]["jti"] = str(sum(OUTCOMES.values()) // data.PickValueInList([1, 1, 2]))
    if mode == 0:
        return str(data.ConsumeUnicode(data.remaining_bytes()))
    if mode in {1, 2}:
        raw = data.ConsumeBytes(data.remaining_bytes())
        return signed(key, *((raw, parts["claims"]) if mode == 1 else (parts["header"], raw)))
    if data.ConsumeBool():
        parts["claims"]["nonce"] = NONCES.issue()
    for _ in range(data.ConsumeIntInRange(0, 3)):
        place = data.PickValueInList(list(parts))
        parts[place][data.PickValueInList(MEMBERS[place])] = value(data)
    text = signed(key, parts["header"], parts["claims"])
    if mode == 3:
        at = data.ConsumeIntInRange(0, len(text))
        return text[:at] + str(data.ConsumeUnicode(4)) + text[at + data.ConsumeIntInRange(0, 4) :]
    return text


def outcome(verifier: DPoPVerifier, data: atheris.FuzzedDataProvider) -> str:
    """Verify one request, drawn around one proof."""
    authorization = data.PickValueInList([f"DPoP {TOKEN}"] * 9 + [f"Bearer {TOKEN}", ""]) or data.ConsumeUnicode(20)
    target = data.PickValueInList(["/me"] * 4 + [""]) or data.ConsumeUnicode(30)
    headers = [("Authorization", authorization)]
    headers += [("dPoP", proof(data))] * data.PickValueInList([1, 1, 1, 1, 1, 1, 1, 0, 2])
    try:
        guard = Guard.of("preferred", verifier, "https://api.example")
        guard.authorize("GET", target, headers, lambda _token: {"cnf": CONFIRMATION}).send(None)
    except StopIteration as stopped:
        return type(stopped.value.proof).__name__
    except REFUSALS as error:
        printable = all(field.isprintable() for field in refusal_headers(error).values())
        untimely = error.error_description.startswith("iat is ") and "this server's clock" in error.error_description
        description = UNTIMELY if untimely else error.error_description
        return description if printable else "a refusal that does not fit in a header"
    return "the verifier waited for something"


VERIFIERS = verifiers()


def test_one_input(raw: bytes) -> None:
    """Run one input; now and then say how often each outcome was met, as one that never was, was never tested."""
    data = atheris.FuzzedDataProvider(raw)
    OUTCOMES[outcome(data.PickValueInList(VERIFIERS), data)] += 1
    if sum(OUTCOMES.values()) % REPORT_EVERY == 0:
        sys.stderr.writelines(f"{count:10} {name}\n" for name, count in OUTCOMES.items())


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
