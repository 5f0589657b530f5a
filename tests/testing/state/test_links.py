"""``authParams`` and PKCE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async.testing.state.links import verifies

if TYPE_CHECKING:
    from helpers.tenant_wire import Wire

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


MALFORMED = [
    {"scope": 7},
    {"state": ["s"]},
    {"response_type": "token"},
    {"redirect_uri": "https://other.example/"},
    {"redirect_uri": None},
    {"code_challenge": CHALLENGE},
    {"code_challenge": CHALLENGE, "code_challenge_method": "plain"},
    {"code_challenge": "short", "code_challenge_method": "S256"},
    {"dpop_jkt": "short"},
    {"dpop_jkt": {}},
]


@pytest.mark.parametrize("params", MALFORMED)
async def test_malformed_parameters(wire: Wire, params: dict[str, Any]) -> None:
    """A parameter that the tenant does not support, or cannot read, is refused at the start."""
    assert (await wire.start(send="link", authParams=params)).words[:2] == (400, "bad.authParams")
    assert (await wire.start(authParams=params)).status == 200


VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B


def test_the_vector_of_pkce_passes() -> None:
    """RFC 7636 appendix B: the verifier matches its challenge; another one, and one without the other, do not."""
    assert verifies(VERIFIER, CHALLENGE)
    assert not verifies("x" * 43, CHALLENGE)
    assert not verifies(None, CHALLENGE)
    assert not verifies(VERIFIER, None)
    assert verifies(None, None)
