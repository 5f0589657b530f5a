"""How long it takes to check the proof of a request with a bound token, beside the signature and other verifiers."""

# ruff: noqa: PLC0415 - the other libraries are imported where they are measured: none of them needs to be installed

from __future__ import annotations

import hashlib
import json
import secrets
import time
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import partial
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jwt
from joserfc.jwk import ECKey
from multidict import CIMultiDict

from benchmarks.measure import HOW, interleaved, prepare_all
from benchmarks.report import Bar, Report, Row
from passwordless_async.dpop import DPoPKey, ProofGenerator
from passwordless_async.dpop.server.replay import MemoryReplayStore
from passwordless_async.dpop.server.verifier import DPoPVerifier

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from benchmarks.measure import Batch, Prepare

    # Takes a proof; returns its header, its claims and the thumbprint of its key.
    Decode = Callable[[str], tuple[dict[str, Any], dict[str, Any], str]]

SUMMARY = "Checking the proof of a request with a bound token, each proof once"
PACKAGES = ("passwordless-async", "cryptography", "joserfc", "PyJWT", "auth0-api-python")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 41, 5, 200, "proofs"

OURS, BARE = "passwordless-async", "bare verification"
METHOD, BASE, PATH = "GET", "https://api.example", "/things/1"
TOKEN = ".".join(secrets.token_urlsafe(size) for size in (60, 500, 256))  # as long as a tenant's, signed by RS256

AUTHORIZATION = f"DPoP {TOKEN}"
MAX_AGE, SKEW = 60, 10  # seconds
ES256 = ec.ECDSA(hashes.SHA256())


def run(rounds: int, calls: int) -> Report:
    """Measure all contenders that are installed."""
    proofs = _new_client()
    entries = (rounds + 1) * calls
    contenders, absent = prepare_all(
        {
            BARE: partial(_signature, proofs),
            OURS: partial(_ours, entries, lambda: proofs),
            "passwordless-async, new key": partial(_ours, entries, _new_client),
            "joserfc jwt.decode, rest by hand": partial(_joserfc, proofs),
            "PyJWT jwt.decode, rest by hand": partial(_pyjwt, proofs),
            "auth0-api-python": partial(_auth0_api_python, proofs),
        }
    )
    series = interleaved(contenders, rounds=rounds, calls=calls)
    bars = [Bar("verify ÷ bare verification", series[OURS].over(series[BARE]), must=1.6, goal=1.3)]
    rows = [Row(name, figures, {"bare": figures.over(series[BARE])}) for name, figures in series.items()]
    return Report("verify", SUMMARY, HOW, "µs", PACKAGES, rows, bars, absent)


def _new_client() -> ProofGenerator:
    return ProofGenerator(DPoPKey.generate())


def _new_proofs(proofs: ProofGenerator, calls: int) -> list[str]:
    return [proofs.proof(METHOD, BASE + PATH, access_token=TOKEN) for _ in range(calls)]


def _signature(proofs: ProofGenerator) -> Prepare:
    verify = ec.derive_private_key(int.from_bytes(proofs.key.to_bytes()), ec.SECP256R1()).public_key().verify

    def prepare(calls: int) -> Batch:
        signed = [_taken_apart(proof) for proof in _new_proofs(proofs, calls)]

        def batch() -> None:
            for signature, message in signed:
                verify(signature, message, ES256)

        return batch

    return prepare


def _taken_apart(proof: str) -> tuple[bytes, bytes]:
    """Return the signature in DER, and what it is a signature of."""
    message, _, signature = proof.rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    return encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])), message.encode()


def _ours(entries: int, client: Callable[[], ProofGenerator]) -> Prepare:
    # One client alone may fill half of a store.
    verifier = DPoPVerifier(
        replay=MemoryReplayStore(max_entries=2 * entries), base_url=BASE, max_age=MAX_AGE, skew=SKEW
    )

    def prepare(calls: int) -> Batch:
        requests = [_request(client()) for _ in range(calls)]

        async def batch() -> None:
            for headers, confirmation in requests:
                await verifier.verify(METHOD, PATH, headers, confirmation=confirmation, access_token=TOKEN)

        return lambda: _drive(batch())

    return prepare


def _request(proofs: ProofGenerator) -> tuple[CIMultiDict[str], dict[str, str]]:
    """Make the header fields of a request, and the token's ``cnf`` claim."""
    headers = CIMultiDict(
        {
            "Host": "api.example",
            "Authorization": AUTHORIZATION,
            "DPoP": _new_proofs(proofs, 1)[0],
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "benchmark",
        }
    )
    return headers, {"jkt": proofs.key.thumbprint}


def _drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what waits for nothing; an event loop has no part in it."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waited")


def _joserfc(proofs: ProofGenerator) -> Prepare:
    def decode(proof: str) -> tuple[dict[str, Any], dict[str, Any], str]:
        header = json.loads(urlsafe_b64decode(proof.partition(".")[0] + "=="))
        key = ECKey.import_key(header["jwk"])
        return header, jwt.decode(proof, key, algorithms=["ES256"]).claims, key.thumbprint()

    return _by_hand(proofs, decode)


def _pyjwt(proofs: ProofGenerator) -> Prepare:
    import jwt as pyjwt

    def decode(proof: str) -> tuple[dict[str, Any], dict[str, Any], str]:
        header = pyjwt.get_unverified_header(proof)
        jwk = header["jwk"]
        claims = pyjwt.decode(proof, pyjwt.PyJWK(jwk, "ES256"), algorithms=["ES256"])
        canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        return header, claims, _hash(canonical)

    return _by_hand(proofs, decode)


def _by_hand(proofs: ProofGenerator, decode: Decode) -> Prepare:
    """Return a verifier as an application writes it: a library reads the proof, the application checks the rest."""
    seen: set[tuple[str, str]] = set()
    jkt = proofs.key.thumbprint

    def verify(proof: str) -> None:
        header, claims, thumbprint = decode(proof)
        right = (
            (header["typ"], header["alg"]) == ("dpop+jwt", "ES256")
            and "d" not in header["jwk"]
            and (claims["htm"], claims["htu"]) == (METHOD, BASE + PATH)
            and -SKEW <= time.time() - claims["iat"] <= MAX_AGE
            and (claims["ath"], thumbprint) == (_hash(TOKEN), jkt)
            and (thumbprint, claims["jti"]) not in seen
        )
        if not right:
            raise ValueError("the proof is refused")
        seen.add((thumbprint, claims["jti"]))

    def prepare(calls: int) -> Batch:
        made = _new_proofs(proofs, calls)

        def batch() -> None:
            for proof in made:
                verify(proof)

        return batch

    return prepare


def _hash(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _auth0_api_python(proofs: ProofGenerator) -> Prepare:
    with warnings.catch_warnings(record=True):  # that a library of its own is deprecated
        from auth0_api_python import ApiClient, ApiClientOptions

    api = ApiClient(ApiClientOptions(domain="tenant.example", audience=BASE))

    def prepare(calls: int) -> Batch:
        made = _new_proofs(proofs, calls)

        async def batch() -> None:
            for proof in made:
                await api.verify_dpop_proof(TOKEN, proof, METHOD, BASE + PATH)

        return lambda: _drive(batch())

    return prepare
