"""The hand-written reader against joserfc and a plain reading of the rules: they must agree on every proof."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey

from helpers import strict_json
from passwordless_async.dpop import DPoPKey, ProofGenerator
from passwordless_async.dpop.server.checked import CheckedProof

SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")

# Values that a reader which is lax somewhere would take for right ones.
NEAR: dict[str, list[Any]] = {
    "typ": ["dpop+jwt", "DPoP+JWT", "JWT"],
    "alg": ["ES256", "ES384", "none"],
    "jti": ["a", "", "x" * 256, "x" * 257],
    "htm": ["GET", "get"],
    "htu": ["https://api.example/me", "https://API.example:443/me?x", "https://api.example/me/"],
    "iat": [1.7e9, 1.7e9 - 60, 1.7e9 + 10, 1.7e9 - 61, 1.7e9 + 11, True, "1700000000"],
    "exp": [1.7e9 + 60, 1.7e9 - 10, 1.7e9 - 9],
    "nbf": [1.7e9, 1.7e9 + 10, 1.7e9 + 11],
}
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
)


def changes(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Draw changes to some of the members: near misses, or any JSON value."""
    return st.dictionaries(
        st.sampled_from(names),
        st.none(),
        max_size=2,
    ).flatmap(
        lambda chosen: st.fixed_dictionaries(
            {name: st.sampled_from(NEAR.get(name, [None])) | values for name in chosen}
        )
    )


def strictly_decoded(segment: str) -> bytes:
    """Decode base64url, or raise."""
    assert SEGMENT.fullmatch(segment)
    raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    assert base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == segment
    return raw


def by_joserfc(proof: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Read and verify a proof with joserfc: header, claims, thumbprint."""
    header = strict_json.read(strictly_decoded(proof.partition(".")[0]))
    key = ECKey.import_key({name: header["jwk"][name] for name in ("kty", "crv", "x", "y")})
    registry = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
    registry.max_header_length = 4096
    payload = jws.deserialize_compact(proof, key, registry=registry).payload
    return header, strict_json.read(payload), key.thumbprint()


def number(value: Any) -> bool:
    """Tell whether a JSON value is a NumericDate."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def oracle(proof: str, token: str, jkt: str) -> str | None:
    """Return the thumbprint of a proof for GET /me at 1.7e9, or None: the rules, slowly and in full."""
    try:
        header, claims, thumbprint = by_joserfc(proof)
        for segment in proof.split("."):
            strictly_decoded(segment)
        jwk = header["jwk"]
        assert (header["typ"], header["alg"], jwk["kty"], jwk["crv"]) == ("dpop+jwt", "ES256", "EC", "P-256")
        assert not {"crit", "b64"} & header.keys()
        assert not set(MEMBERS) & jwk.keys()
        assert all(isinstance(jwk[name], str) and len(jwk[name]) == 43 and strictly_decoded(jwk[name]) for name in "xy")
        assert isinstance(claims["jti"], str)
        assert 1 <= len(claims["jti"]) <= 256
        assert claims["jti"].encode()
        assert claims["htm"] == "GET"
        assert claims["htu"] in {"https://api.example/me", "https://API.example:443/me?x"}
        assert number(claims["iat"])
        assert 1.7e9 - 60 <= claims["iat"] <= 1.7e9 + 10
        assert "exp" not in claims or (number(claims["exp"]) and claims["exp"] > 1.7e9 - 10)
        assert "nbf" not in claims or (number(claims["nbf"]) and claims["nbf"] <= 1.7e9 + 10)
        assert isinstance(claims.get("nonce", ""), str)
        digest = hashlib.sha256(token.encode()).digest()
        assert claims["ath"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert thumbprint == jkt
    except Exception:  # noqa: BLE001 - joserfc lets much through; here it all means no
        return None
    return thumbprint


def agree(server: Any, proof: str) -> None:
    """Check that the verifier and the oracle say the same."""
    expected = oracle(proof, server.token, server.prover.thumbprint)
    verdict = server.verdict(proof)
    assert (verdict.thumbprint if isinstance(verdict, CheckedProof) else None) == expected


@pytest.mark.slow
@settings(max_examples=500)
@given(header=changes("typ", "alg", "jwk", "crit", "b64", "kid", "x"), claims=changes(*NEAR, "ath", "nonce", "x"))
def test_members(server_with: Any, header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Rules 22-27: with any member of header and claims changed to anything, the verdicts agree."""
    server = server_with()
    agree(server, server.proof(header, **claims))


@pytest.mark.slow
@settings(max_examples=500)
@given(jwk=changes("kty", "crv", "x", "y", *MEMBERS, "use"))
def test_key_members(server_with: Any, jwk: dict[str, Any]) -> None:
    """Rule 23: with any member of the key changed to anything, the verdicts agree."""
    server = server_with()
    agree(server, server.proof({"jwk": {**server.prover.jwk, **jwk}}))


# What is JSON to some readers and not to others, or not the same JSON.
FRAGMENTS = [
    *("NaN", "Infinity", "-1e999", "1E400", "-0", "01", "1.", ".5", "+1", "1" * 400, "1e-400", "true", "nul", "'a'"),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\x41"', '"\x7f"', '"\t"', "\\", '"'),
    *("\x00", "\x0b", "\xa0", "\ufeff", "\u2028", "{", "}", "[", "]", ",", ":", "/**/", " ", "\n", "{}"),
    '"x":[',
    "[" * 256 + "]" * 256,
]
MEMBERS_AGAIN = [
    '"iat":1700000000,',
    '"htm":"GET",',
    '"\\u0069at":1,',
    '"alg":"ES256",',
    '"\\u0061lg":0,',
    '"own":0,"own":0,',
]
VALUES = [fragment for fragment in FRAGMENTS if fragment.strip()]
ENCODINGS = ["utf-8"] * 8 + ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7"]


def edited(data: st.DataObject, text: str) -> bytes:
    """Put fragments into a JSON text, as the value of a member of its own or anywhere, and encode it in any way."""
    if data.draw(st.booleans()):
        text = text[:-1] + f',"own":{data.draw(st.sampled_from(VALUES))}}}'
    if data.draw(st.integers(0, 3)) == 0:
        text = "{" + data.draw(st.sampled_from(MEMBERS_AGAIN)) + text[1:]
    for _ in range(data.draw(st.integers(0, 2))):
        places = [0, 1, len(text), *(at for at, character in enumerate(text) if character in '{},:"')]
        at = data.draw(st.sampled_from(places))
        text = text[:at] + data.draw(st.sampled_from(FRAGMENTS)) + text[at + data.draw(st.integers(0, 1)) :]
    return text.encode(data.draw(st.sampled_from(ENCODINGS)))


@pytest.mark.slow
@settings(max_examples=1000)
@given(data=st.data())
def test_json_texts(server_with: Any, data: st.DataObject) -> None:
    """Rules 22, 24: with header and claims that only some readers take for JSON, signed as they stand, they agree."""
    server = server_with()
    header, claims = (edited(data, json.dumps(part)) for part in (server.prover.header, server.claims()))
    agree(server, server.compact(header, claims, server.prover.sign))


@pytest.mark.slow
@settings(max_examples=500)
@given(data=st.data())
def test_edits(server_with: Any, data: st.DataObject) -> None:
    """Rule 22: with any characters of the signed proof changed, put in or taken out, the verdicts agree."""
    server = server_with()
    proof = server.proof()
    for _ in range(data.draw(st.integers(0, 2))):
        start = data.draw(
            st.integers(0, len(proof)) | st.sampled_from([proof.index("."), proof.rindex("."), len(proof)])
        )
        end = start + data.draw(st.integers(0, 2))
        proof = proof[:start] + data.draw(st.text("AB019-_.=+/ \n", max_size=2)) + proof[end:]
    agree(server, proof)


@settings(max_examples=300)
@given(data=st.data())
def test_last_characters(server_with: Any, data: st.DataObject) -> None:
    """Rule 22: of all last characters of a segment one is right; the segments are signed as they stand."""
    server = server_with()
    parts = server.proof({"kid": "x" * data.draw(st.integers(0, 3))}, x="x" * data.draw(st.integers(0, 3))).split(".")
    index = data.draw(st.integers(0, 2))
    parts[index] = parts[index][:-1] + data.draw(st.sampled_from("ABCDEFGHQRSTgwxyz0123456789-_"))
    if index < 2:
        parts[2] = server.base64url(server.prover.sign(".".join(parts[:2]).encode()))
    agree(server, ".".join(parts))


@given(nonce=st.none() | st.text("!#azAZ09~", min_size=1), path=st.sampled_from(["/me", "/a%2Fb", "/é", "/a/../b?x=1"]))
def test_our_own_proofs(server_with: Any, nonce: str | None, path: str) -> None:
    """What the library's own client makes, its verifier accepts."""
    server = server_with()
    key = DPoPKey.generate()
    generator = ProofGenerator(key, clock=server.clock)
    proof = generator.proof("GET", server.base + path, nonce=nonce, access_token=server.token)
    target = {"/é": "/%C3%A9"}.get(path, path)
    checked = server.verdict(proof, target, confirmation={"jkt": key.thumbprint})
    assert checked.thumbprint == key.thumbprint
    assert checked.nonce == nonce


@pytest.mark.parametrize("count", [300])
def test_thumbprints_and_signatures(count: int, server_with: Any) -> None:
    """Rule 4, rule 23: for many keys, leading zeros among coordinates and signatures included, the verdicts agree."""
    for _ in range(count):
        server = server_with()
        proof = server.proof()
        assert server.verdict(proof).thumbprint == oracle(proof, server.token, server.prover.thumbprint)
