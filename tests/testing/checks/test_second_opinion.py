"""The tenant and the library's verifier agree on every proof."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from helpers import conformance
from passwordless_async import (
    TESTING,
    DPoPKey,
    DPoPVerifier,
    Email,
    InvalidDPoPProof,
    PasswordlessClient,
    ProofGenerator,
)
from passwordless_async.testing import BOUND_API, LocalTenant

if TYPE_CHECKING:
    from collections.abc import Mapping

ADA = Email("ada@example.com")


async def post(tenant: LocalTenant, headers: Any) -> int:
    """Send the OTP grant of the confidential application, which needs no nonce, with these header fields."""
    client_id, secret = tenant.confidential_client
    form = {
        "grant_type": "http://auth0.com/oauth/grant-type/passwordless/otp",
        "client_id": client_id,
        "client_secret": secret,
        "username": "ada@example.com",
        "otp": "000000",
        "realm": "email",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{tenant.url}/oauth/token", data=form, headers=headers) as response,
    ):
        await response.read()
        return response.status


def resigned(key: DPoPKey, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    segments = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    signature = base64.urlsafe_b64encode(key.sign(".".join(segments).encode())).rstrip(b"=").decode()
    return ".".join([*segments, signature])


CASES = [case for case in conformance.CASES if not case.resource and not case.default_port and case.copies]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_conformance_table(case: Any) -> None:
    """The public suite's list, in its order: the tenant and the verifier come to the end that it says."""
    async with LocalTenant() as tenant:
        target = conformance.Target("POST", f"{tenant.url}/oauth/token", time.time())
        jti = "twice" if case.twice else None
        prover = conformance.Prover()
        statuses = [await post(tenant, case.fields(prover, target, jti=jti)) for _ in range(2 if case.twice else 1)]
        # A proof that passes brings the request to its code, which is wrong.
        assert statuses[-1] == (403 if case.passes else 400)
        assert tenant.disagreements == ()


JSON_VALUES = [None, True, 0, 1, -1, 1.5, 1e300, "", "text", "x" * 300, [], ["a"], {}, {"a": 1}]


@pytest.mark.parametrize("part", ["header", "claims"])
async def test_they_agree_about_every_member_of_every_type(part: str) -> None:
    """Each member replaced by a value of each JSON type, and left out: both refuse, or both accept."""
    key = DPoPKey.generate()
    async with LocalTenant() as tenant:
        proof = ProofGenerator(key).proof("POST", f"{tenant.url}/oauth/token")
        header, claims = (json.loads(base64.urlsafe_b64decode(s + "==")) for s in proof.split(".")[:2])
        parts = {"header": header, "claims": claims}
        members = {"header": ["typ", "alg", "jwk", "crit", "b64", "kid", "cty", "x5t", "other"]}.get(
            part, ["jti", "htm", "htu", "iat", "exp", "nbf", "ath", "other"]
        )
        for name in members:
            for value in [*JSON_VALUES, ...]:
                claims["jti"] = f"a-jti-of-its-own-{name}-{value!r}"[:200]
                changed = {n: v for n, v in parts[part].items() if n != name}
                if value is not ...:
                    changed[name] = value
                await post(tenant, {"DPoP": resigned(key, **{**parts, part: changed})})
                assert tenant.disagreements == (), (name, value)
        assert tenant.stats.proofs_accepted > 0
        assert tenant.stats.proofs_refused > 30


async def test_they_agree_about_a_whole_session() -> None:
    """Login, refresh and userinfo by the library: every proof is accepted by both."""
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        await client.start(ADA)
        tokens = await client.exchange(
            ADA, tenant.outbox.code_for(ADA), scope="openid offline_access", audience=BOUND_API
        )
        await client.userinfo(await client.refresh(tokens))
        assert tenant.stats.proofs_accepted == 3
        assert tenant.disagreements == ()


async def test_a_disagreement_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that refuses what the tenant accepts, or the other way round, is found out."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise InvalidDPoPProof(status=400, error="invalid_dpop_proof")

    async with LocalTenant() as tenant:
        monkeypatch.setattr(DPoPVerifier, "verify", refuse)
        await post(tenant, {"DPoP": ProofGenerator(DPoPKey.generate()).proof("POST", f"{tenant.url}/oauth/token")})
        (found,) = tenant.disagreements
    assert "verifier: refused" in found
