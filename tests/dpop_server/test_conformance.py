"""The verifier, over the whole conformance table."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async.dpop.server.authorization import confirmation_of, read_authorization
from passwordless_async.errors import InvalidDPoPProof


async def test_resource_request(case: Any, server: Any):
    """Rules 21-28: a resource server lets through and refuses what the public conformance suite says."""
    target = server.Target("GET", f"{server.base}/me", server.clock.now, server.token)

    async def send() -> None:
        fields = case.fields(server.prover, target, jti="twice" if case.twice else None)
        credentials = read_authorization(fields)
        confirmation = confirmation_of({"cnf": {"jkt": server.prover.thumbprint}}, credentials)
        await server.get(fields, confirmation=confirmation, access_token=credentials.access_token)

    if case.twice:
        await send()
    if case.passes:
        await send()
    else:
        with pytest.raises(InvalidDPoPProof) as caught:
            await send()
        assert caught.value.status == 401


async def test_token_request(token_case: Any, server: Any):
    """Rules 21-28: a token endpoint does the same, with status 400."""
    target = server.Target("POST", f"{server.base}/oauth/token", server.clock.now)

    async def send() -> None:
        fields = token_case.fields(server.prover, target, jti="twice" if token_case.twice else None)
        await server.verifier.verify("POST", "/oauth/token", fields)

    if token_case.twice:
        await send()
    if token_case.passes:
        await send()
    else:
        with pytest.raises(InvalidDPoPProof) as caught:
            await send()
        assert caught.value.status == 400
