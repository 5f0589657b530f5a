"""The proofs that RFC 9449 prints, checked as it prints them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from passwordless_async.dpop.server.replay import MemoryReplayStore
from passwordless_async.dpop.server.verifier import DPoPVerifier
from passwordless_async.errors import InvalidDPoPProof

RFC9449 = json.loads((Path(__file__).parent.parent / "vectors" / "rfc.json").read_text())["rfc9449"]


@pytest.mark.parametrize("name", ["token_proof", "refresh_proof", "resource_proof"])
async def test_rfc_9449_proofs(name: str):
    """Rule 22-27: the verifier accepts the three proofs of RFC 9449, at their time, once."""
    vector: dict[str, Any] = RFC9449[name]
    base, slash, path = vector["htu"].rpartition("/")
    verifier = DPoPVerifier(
        replay=MemoryReplayStore(clock=lambda: vector["iat"]), base_url=base, clock=lambda: vector["iat"]
    )
    token = vector.get("access_token")
    arguments = (vector["htm"], slash + path, [("DPoP", vector["proof"])])
    confirmation = None if token is None else {"jkt": RFC9449["thumbprint"]}
    checked = await verifier.verify(*arguments, confirmation=confirmation, access_token=token)
    assert checked.thumbprint == RFC9449["thumbprint"]
    assert (checked.jti, checked.iat, checked.ath) == (vector["jti"], vector["iat"], vector.get("ath"))
    with pytest.raises(InvalidDPoPProof, match="used before"):
        await verifier.verify(*arguments, confirmation=confirmation, access_token=token)
