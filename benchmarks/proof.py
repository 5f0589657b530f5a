"""How long a proof takes, beside the signature that is in it and beside other libraries."""

# ruff: noqa: PLC0415 - the other libraries are imported where they are measured: none of them needs to be installed

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from benchmarks.measure import HOW, interleaved, prepare_all, repeat
from benchmarks.report import Bar, Report, Row
from passwordless_async.dpop import DPoPKey, ProofGenerator

if TYPE_CHECKING:
    from benchmarks.measure import Prepare

SUMMARY = "Making a proof for a token request, with a nonce"
PACKAGES = ("passwordless-async", "cryptography", "joserfc", "PyJWT", "requests_oauth2client")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 41, 5, 500, "proofs"

OURS, BARE, JOSERFC = "passwordless-async", "bare signature", "joserfc jwt.encode"
METHOD, URL = "POST", "https://tenant.example/oauth/token"
NONCE = secrets.token_urlsafe(24)
ES256 = ec.ECDSA(hashes.SHA256())


def run(rounds: int, calls: int) -> Report:
    """Measure all contenders that are installed."""
    key = DPoPKey.generate()
    contenders, absent = prepare_all(
        {
            BARE: partial(_signature, key),
            OURS: partial(_ours, key),
            "passwordless-async, new key": _ours_by_a_new_key,
            JOSERFC: partial(_joserfc, key),
            "PyJWT jwt.encode": partial(_pyjwt, key),
            "requests_oauth2client": partial(_requests_oauth2client, key),
        }
    )
    series = interleaved(contenders, rounds=rounds, calls=calls)
    bars = [
        Bar("proof ÷ bare signature", series[OURS].over(series[BARE]), must=1.18, goal=1.15),
        Bar("joserfc jwt.encode ÷ proof", series[JOSERFC].over(series[OURS]), must=1.5, goal=1.8, higher=True),
    ]
    rows = [
        Row(name, figures, {"bare": figures.over(series[BARE]), "joserfc": figures.over(series[JOSERFC])})
        for name, figures in series.items()
    ]
    return Report("proof", SUMMARY, HOW, "µs", PACKAGES, rows, bars, absent)


def _claims() -> dict[str, Any]:
    """Make what is new in each proof, as all contenders but ours must be given it."""
    return {"jti": secrets.token_urlsafe(16), "htm": METHOD, "htu": URL, "iat": int(time.time()), "nonce": NONCE}


def _signature(key: DPoPKey) -> Prepare:
    private_key = ec.derive_private_key(int.from_bytes(key.to_bytes()), ec.SECP256R1())
    signed = ProofGenerator(key).proof(METHOD, URL, nonce=NONCE).rpartition(".")[0].encode()
    return repeat(partial(private_key.sign, signed, ES256))


def _ours(key: DPoPKey) -> Prepare:
    return repeat(partial(ProofGenerator(key).proof, METHOD, URL, nonce=NONCE))


def _ours_by_a_new_key() -> Prepare:
    return repeat(lambda: ProofGenerator(DPoPKey.generate()).proof(METHOD, URL, nonce=NONCE))


def _joserfc(key: DPoPKey) -> Prepare:
    private_key = ECKey.import_key({**key.to_jwk(private=True)})
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.to_jwk()}
    return repeat(lambda: jwt.encode(header, _claims(), private_key, algorithms=["ES256"]))


def _pyjwt(key: DPoPKey) -> Prepare:
    import jwt as pyjwt

    private_key = ec.derive_private_key(int.from_bytes(key.to_bytes()), ec.SECP256R1())
    header = {"typ": "dpop+jwt", "jwk": key.to_jwk()}
    return repeat(lambda: pyjwt.encode(_claims(), private_key, "ES256", header))


def _requests_oauth2client(key: DPoPKey) -> Prepare:
    import requests_oauth2client

    theirs = requests_oauth2client.DPoPKey(key.to_jwk(private=True), alg="ES256")
    return repeat(lambda: str(theirs.proof(METHOD, URL, nonce=NONCE)))
