"""Finding the proof among a request's header fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict

from passwordless_async._common.secret import Secret
from passwordless_async.dpop.server.fields import ProofFields
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "kind", ["CIMultiDict", "proxy", "MultiDict", "pairs", "generator", "asgi", "dict", "items", "read"]
)
async def test_finds_the_header_in_any_container(kind: str, server: Any) -> None:
    """Rule 21: the field is found in any case, in every kind of container that servers use."""
    proof = server.proof()
    pairs = [("host", "api.example"), ("dPoP", proof)]
    containers: dict[str, Callable[[], Any]] = {
        "CIMultiDict": lambda: CIMultiDict(pairs),
        "proxy": lambda: CIMultiDictProxy(CIMultiDict(pairs)),
        "MultiDict": lambda: MultiDict(pairs),
        "pairs": lambda: pairs,
        "generator": pairs.__iter__,
        "asgi": lambda: [(name.encode(), value.encode()) for name, value in pairs],
        "dict": lambda: dict(pairs),
        "items": type("Headers", (), {"items": lambda _self: pairs}),
        "read": lambda: ProofFields([("DPoP", Secret(proof))]),
    }
    assert (await server.get(containers[kind]())).thumbprint == server.prover.thumbprint


@pytest.mark.parametrize("kind", [CIMultiDict, MultiDict, list, dict, ProofFields])
async def test_refuses_two_headers(kind: Any, server: Any) -> None:
    """Rule 21: more than one DPoP header is refused, in whatever case and container, before anything is spent."""
    headers = kind([("DPoP", server.proof()), ("dpop", server.proof())])
    assert await server.refusal(headers) == "the request has more than one DPoP header"
    assert len(server.replay) == 0


async def test_refuses_a_joined_header(server: Any) -> None:
    """Rule 21: two headers that a proxy joined by a comma are two headers."""
    assert await server.refusal(f"{server.proof()}, {server.proof()}") == "the request has more than one DPoP header"


async def test_refuses_no_header(server: Any) -> None:
    """Rule 21: a request without a proof is refused."""
    assert await server.refusal([]) == "the request has no DPoP header"
    assert await server.refusal([("X-DPoP", server.proof())]) == "the request has no DPoP header"


@pytest.mark.parametrize("headers", [None, 1, "DPoP", ["DPoP"], [("DPoP", 1)], [(1, "x")], {"DPoP": ["x"]}])
async def test_wrong_headers(headers: Any, server: Any) -> None:
    """Rule 30: so are headers that are no mapping and no pairs."""
    with pytest.raises(UsageError) as caught:
        await server.verifier.verify("GET", "/me", headers)
    assert caught.value.argument == "headers"
