"""Client assertions: each algorithm passes, and everything that is wrong with one is refused."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from helpers.tenant_wire import ABSENT, Opener, Wire

ALGS = ["RS256", "RS384", "PS256", "ES256"]


@pytest.mark.parametrize("alg", ALGS)
async def test_assertions_of_every_algorithm(wire: Wire, alg: str) -> None:
    """Each documented algorithm passes at both endpoints, and a confidential client needs no nonce."""
    start = await wire.start(**wire.asserting(wire.assertion(alg=alg)))
    answer = await wire.exchange(**wire.asserting(wire.assertion(alg=alg)))

    assert (start.status, answer.status) == (200, 200)
    assert wire.tenant.stats.assertions_accepted == 2


async def test_the_client_id_may_be_in_the_assertion_alone(warm: Wire) -> None:
    """RFC 7523 §3: the assertion's subject names the client."""
    assert (await warm.exchange(**warm.asserting(client_id=ABSENT))).status == 200


INVALID_CLIENT = (401, "invalid_client")


async def test_an_assertion_passes_once(warm: Wire) -> None:
    """The second use of a ``jti`` is refused, another one passes; the code is unspent."""
    once = warm.assertion()
    await warm.start(**warm.asserting(once))

    refused = await warm.exchange(**warm.asserting(once))

    assert refused.words == (*INVALID_CLIENT, "Client authentication failed: jti of the assertion was used before")
    assert warm.tenant.stats.assertions_replayed == 1
    assert (await warm.exchange(**warm.asserting())).status == 200


async def test_a_refused_proof_spends_the_assertion(wire_for: Opener) -> None:
    """The client is authenticated before the nonce is looked at: a retry needs another assertion."""
    wire = await wire_for(confidential_nonce_required=True)
    await wire.start()
    once = wire.assertion()

    assert (await wire.exchange(**wire.asserting(once))).words[1] == "use_dpop_nonce"
    assert (await wire.exchange(**wire.asserting(once))).words[:2] == INVALID_CLIENT
    assert (await wire.exchange(**wire.asserting())).status == 200


BAD_CLAIMS = [
    {"iss": "another-client"},
    {"sub": "another-client"},
    {"sub": ABSENT},
    {"aud": "https://elsewhere.example/"},
    {"aud": ABSENT},
    {"aud": ["https://elsewhere.example/"]},
    {"exp": ABSENT},
    {"exp": "soon"},
    {"exp": True},
    {"exp": 1},
    {"exp": int(time.time()) + 4000},
    {"iat": int(time.time()) + 4000},
    {"nbf": int(time.time()) + 4000},
    {"iat": None},
    {"jti": ABSENT},
    {"jti": ""},
    {"jti": "j" * 65},
    {"jti": 7},
]


@pytest.mark.parametrize("claims", BAD_CLAIMS, ids=[f"{n}-{next(iter(c))}" for n, c in enumerate(BAD_CLAIMS)])
async def test_bad_claims(warm: Wire, claims: dict[str, Any]) -> None:
    """A claim that is wrong is refused, and says which."""
    answer = await warm.exchange(**warm.asserting(warm.assertion(**claims)))

    assert answer.words[:2] == INVALID_CLIENT
    assert next(iter(claims)) in answer.json["error_description"] or "date" in answer.json["error_description"]


async def test_the_audience_has_its_slash(warm: Wire) -> None:
    """The issuer's slash counts; a list with the issuer alone passes (RFC 7519 §4.1.3)."""
    without = await warm.exchange(**warm.asserting(warm.assertion(aud=warm.tenant.url)))
    as_list = await warm.exchange(**warm.asserting(warm.assertion(aud=[warm.tenant.issuer])))

    assert without.words[:2] == INVALID_CLIENT
    assert as_list.status == 200


async def test_bad_assertions(warm: Wire) -> None:
    """An assertion that is not by the registered key is refused."""
    stranger = ECKey.generate_key("P-256")
    good = warm.assertion()
    claims = {"iss": "private-key-jwt-client", "sub": "private-key-jwt-client", "aud": warm.tenant.issuer}
    forged = [
        jwt.encode({"alg": "ES256"}, {**claims, "jti": "1", "exp": int(time.time()) + 60}, stranger),
        jwt.encode({"alg": "HS256"}, claims, OctKey.generate_key(256)),
        good.rpartition(".")[0] + ".",
        warm.assertion(header={"kid": "another"}),
        warm.assertion(header={"crit": ["kid"]}),
        warm.assertion(padding="x" * 2048),
        good.rpartition(".")[0] + ".AAAA",
        good + ".x",
        "e30.e30.AAAA",
        "x",
    ]

    for token in forged:
        assert (await warm.exchange(**warm.asserting(token))).words[:2] == INVALID_CLIENT
    for members in ({"client_assertion_type": "jwt"}, {"client_assertion_type": ABSENT}, {"client_assertion": ABSENT}):
        assert (await warm.exchange(**warm.asserting(**members))).words[:2] == INVALID_CLIENT
    assert (await warm.start(**warm.asserting(client_assertion=7))).words[:2] == INVALID_CLIENT


async def test_a_registered_key_replaces_the_ready_one(wire_for: Opener) -> None:
    """A registered JWK takes the place of the ready one; algorithms can be taken away."""
    key = ECKey.generate_key("P-256", auto_kid=True)
    key.ensure_kid()
    wire = await wire_for(private_key_jwt_keys=[key.as_dict(private=False)], private_key_jwt_algs=["ES256"])
    ready = wire.tenant.client_for("private_key_jwt", "ES256")
    assert ready.private_jwk is None
    claims = {"iss": ready.client_id, "sub": ready.client_id, "aud": wire.tenant.issuer, "jti": "1"}
    token = jwt.encode({"alg": "ES256", "kid": key.kid}, {**claims, "exp": int(time.time()) + 60}, key)

    assert (await wire.start(**wire.asserting(token))).status == 200


@pytest.mark.parametrize("part", [b'"text"', b"[]", b"null", b'{"exp":NaN}', b'{"alg":"ES256","alg":"ES256"}', b"\xff"])
@pytest.mark.parametrize("place", [0, 1])
async def test_a_header_or_claims_that_are_no_object(warm: Wire, place: int, part: bytes) -> None:
    """Valid base64url of anything else than a JSON object is refused, and nothing breaks."""
    segments = warm.assertion().split(".")
    segments[place] = base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    answer = await warm.exchange(**warm.asserting(".".join(segments)))

    assert answer.words == (*INVALID_CLIENT, "Client authentication failed: client_assertion is not a compact JWT")
