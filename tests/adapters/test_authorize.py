"""Authorising a request, as all web adapters do it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passwordless_async.adapters._authorize import Authorizer, Passed, overlap
from passwordless_async.errors import InvalidDPoPProof, InvalidToken, UsageError
from passwordless_async.resource_server.guard import REFUSALS, Authorized

PATHS = st.lists(st.sampled_from(["/a", "/b", "/ab", "/"]), max_size=5).map(lambda names: "".join(names).rstrip("/"))


async def authorize(world: Any, headers: Any, *, allow_bearer: bool = False) -> Any:
    """Authorise a request for /me."""
    authorizer = of_verifier(world, world.token_info, allow_bearer=allow_bearer)
    return (await admit(authorizer, headers))[0]


async def admit(authorizer: Authorizer, headers: Any, passed: object = None) -> tuple[Authorized, bool]:
    """Admit a request for /me."""
    return await authorizer.admit(passed, "GET", lambda _base_path: "/me", headers)


def of_verifier(world: Any, token_info: Any, *, allow_bearer: bool = False) -> Authorizer:
    """Return what stands on the world's verifier."""
    return Authorizer.of_verifier(world.verifier, token_info, allow_bearer=allow_bearer, trusted_proxies=0)


async def test_returns_the_claims_and_the_proof(world: Any) -> None:
    """A bound token with its proof gives both; the claims are not printed."""
    authorized = await authorize(world, world.headers("/me"))
    assert authorized.claims["sub"] == "ada"
    assert authorized.proof.thumbprint == world.prover.thumbprint
    assert "'ada'" not in repr(authorized)  # in quotes: random text may have the letters


async def test_refuses_a_bearer_token_by_default(world: Any) -> None:
    """The token is not even validated: it must come with a proof."""
    with pytest.raises(InvalidToken, match="has no DPoP access token") as caught:
        await authorize(world, [("Authorization", "Bearer unbound")])
    assert (caught.value.status, caught.value.headers["WWW-Authenticate"]) == (401, 'DPoP algs="ES256"')
    assert world.seen == []


async def test_allowed_bearer_token_has_no_proof(world: Any) -> None:
    """During a migration, a token that is not bound passes without a proof."""
    authorized = await authorize(world, [("Authorization", "Bearer unbound")], allow_bearer=True)
    assert (authorized.claims, authorized.proof) == ({"sub": "bob"}, None)


async def test_a_request_is_checked_once_for_each_api(world: Any) -> None:
    """What an outer door of the same API knows of it counts; another API checks it itself, and finds the proof used."""
    authorizer, headers = of_verifier(world, world.token_info), world.headers("/me")
    known, is_known = await admit(authorizer, headers)
    assert not is_known
    assert await admit(authorizer, headers, Passed(authorizer.api, known)) == (known, True)
    with pytest.raises(InvalidDPoPProof, match="used before"):
        await admit(authorizer, headers, Passed(object(), known))


async def test_token_info_must_return_a_mapping(world: Any) -> None:
    """Anything else is a mistake of the application."""
    authorizer = of_verifier(world, lambda _token: "ada", allow_bearer=True)
    headers = [("Authorization", "Bearer unbound")]
    with pytest.raises(UsageError, match="token_info"):
        await admit(authorizer, headers)


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data(), is_bytes=st.booleans(), allow_bearer=st.booleans())
def test_whatever_headers_come(make_world: Any, hostile_fields: Any, data: st.DataObject, **drawn: bool) -> None:
    """A request is authorised, or refused with status 400 or 401: no other error."""
    world = make_world()
    headers: Any = world.hostile(data.draw(hostile_fields))
    if drawn["is_bytes"]:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    try:
        authorized = asyncio.run(authorize(world, headers, allow_bearer=drawn["allow_bearer"]))
    except REFUSALS as error:
        status = error.status
    else:
        status = 200
        assert authorized.claims["sub"] == ("ada" if authorized.proof else "bob")
    assert status in {200, 400, 401}


@given(PATHS, PATHS)
def test_overlap_is_the_longest(base_path: str, root_path: str) -> None:
    """The base URL's path ends with it, and the root path begins with it, both at a slash."""
    names = root_path.split("/")
    beginnings = ["/".join(names[:number]) for number in range(len(names), 0, -1)]
    assert overlap(base_path, root_path) == next(each for each in beginnings if base_path.endswith(each))


def test_overlap_ends_at_a_slash() -> None:
    """Part of a segment is none, nor is a root path without a slash."""
    paths = [("/myapi", "api"), ("/api", "api"), ("/v1", "/v12"), ("/v1", "1"), ("", "/v1"), ("/v1", "")]
    assert [overlap(base_path, root_path) for base_path, root_path in paths] == [""] * 6


def test_a_long_root_path_costs_no_time() -> None:
    """A client may choose how long it is, where an application is mounted at a parameter."""
    calls = []

    class Counting(str):
        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            calls.append(name)
            return super().__getattribute__(name)

    assert (overlap("/v1/api", Counting("/a" * 30_000)), calls) == ("", ["startswith", "startswith"])


async def test_one_user_has_one_share_of_the_replay_store(make_world: Any) -> None:
    """Whatever the keys of its tokens: from some number on it is refused, and another user passes."""
    world, outcomes = make_world(), []
    world.verifier._replay._max_entries = 4
    for user in ("ada", "ada", "ada", "bob"):
        world.prover = type(world.prover)()
        claims: dict[str, dict[str, Any]] = {"bound": {"sub": user, "cnf": {"jkt": world.prover.thumbprint}}}
        authorizer, headers = of_verifier(world, claims.get), world.headers("/me")
        try:
            await admit(authorizer, headers)
            outcomes.append((user, 200))
        except InvalidDPoPProof as error:
            outcomes.append((user, error.status))
    assert outcomes == [("ada", 200), ("ada", 200), ("ada", 503), ("bob", 200)]
