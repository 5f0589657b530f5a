"""What is asked of a login, and whether a session's login is that."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from passwordless_async import StoredSession, TokenSet
from passwordless_async._common.base64url import encode_text
from passwordless_async._common.secret import Secret
from passwordless_async.gateway.demands import demands_of, fulfils, is_in_vain, is_strong

NOW = 1_800_000_000.0
SPACE = "https://api.example"


def jwt(**claims: Any) -> str:
    return f"e30.{encode_text(json.dumps(claims).encode())}.c2ln"


OPAQUE = "opaque"


def session(opened: float, token: str = OPAQUE, *, stepped_up: bool = False, **claims: Any) -> StoredSession:
    """Return a session that was opened some seconds ago."""
    data = {"stepped_up": True} if stepped_up else {}
    tokens = TokenSet(Secret(token), "Bearer", None, "", None, None, MappingProxyType(claims), None)
    return StoredSession(Secret("id"), tokens, "ada", NOW - opened, data, None, None)


@pytest.mark.parametrize(
    ("given", "demands"),
    [
        ({"max_age": "5", "acr_values": "a b"}, {"max_age": 5, "acr_values": "a b"}),
        ({"acr_values": "a"}, {"acr_values": "a"}),
        ({"max_age": "1" * 9}, {"max_age": 111_111_111}),
        ({"max_age": "1" * 10}, {"max_age": 0}),
        ({"max_age": "²"}, {"max_age": 0}),
        ({"max_age": "٣"}, {"max_age": 0}),
        ({}, {"max_age": 0}),
        ({"acr_values": "a" * 300}, {"acr_values": "a" * 256}),
    ],
)
def test_demands(given: dict[str, str], demands: dict[str, Any]) -> None:
    """What cannot be read asks for the newest login."""
    assert demands_of(given) == demands


@pytest.mark.parametrize(
    ("login", "demands", "expected"),
    [
        # The clock of a service may be ten seconds ahead.
        (session(50), {"max_age": 60}, True),
        (session(51), {"max_age": 60}, False),
        (session(1), {"max_age": 5}, False),
        # The session is new, and its tokens are of an earlier login.
        (session(5, jwt(auth_time=NOW - 100)), {"max_age": 60}, False),
        (session(5, jwt(**{f"{SPACE}/auth_time": NOW - 100})), {"max_age": 60}, False),
        (session(5, auth_time=NOW - 100), {"max_age": 60}, False),
        (session(5, jwt(auth_time="a")), {"max_age": 60}, True),
        (session(100, jwt(auth_time=NOW)), {"max_age": 60}, False),
        (session(5, jwt(acr="gold")), {"acr_values": "silver gold"}, True),
        (session(5, jwt(**{f"{SPACE}/acr": "gold"})), {"acr_values": "gold"}, True),
        (session(5, jwt(**{"urn:example:acr": "gold"})), {"acr_values": "gold"}, True),
        (session(5, acr="gold"), {"acr_values": "gold"}, True),
        # The service sees the access token alone.
        (session(5, jwt(acr="bronze"), acr="gold"), {"acr_values": "gold"}, False),
        (session(5, jwt(other_acr="gold")), {"acr_values": "gold"}, False),
        (session(5, jwt(acr=["gold"])), {"acr_values": "gold"}, False),
        (session(5, "a.b.c"), {"acr_values": "gold"}, False),
        (session(5, "a.b"), {"acr_values": "gold"}, False),
    ],
)
def test_what_a_login_fulfils(login: StoredSession, demands: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a table
    """By the claims of the access token, then of the ID token."""
    assert fulfils(login, demands, NOW) is expected


@pytest.mark.parametrize(
    ("login", "demands", "expected"),
    [
        (session(50), {"max_age": 60}, True),  # new enough already
        (session(51), {"max_age": 60}, False),
        (session(3), {"max_age": 0}, True),  # as new as one can be
        (session(4), {"max_age": 0}, False),
        (session(7), {"max_age": 5}, False),  # a service with little tolerance accepts a newer one
        (session(1), {"acr_values": "gold"}, False),  # a second factor may help
        (session(1), {"max_age": 0, "acr_values": "gold"}, False),
        (session(3, jwt(acr="gold")), {"max_age": 0, "acr_values": "gold"}, True),
        (session(4, jwt(acr="gold")), {"max_age": 0, "acr_values": "gold"}, False),
        # The session is new, and its tokens are of an earlier login: another one is newer.
        (session(1, jwt(auth_time=NOW - 100)), {"max_age": 60}, False),
        (session(1, auth_time=NOW - 100), {"max_age": 60}, False),
        # The clock of the tenant may be ten seconds behind.
        (session(1, jwt(auth_time=NOW - 11)), {"max_age": 0}, True),
        (session(1, jwt(auth_time=NOW - 12)), {"max_age": 0}, False),
        # A step-up opened it: the next one would have such tokens, too.
        (session(3, jwt(auth_time=NOW - 100), stepped_up=True), {"max_age": 60}, True),
        (session(4, jwt(auth_time=NOW - 100), stepped_up=True), {"max_age": 60}, False),
        (session(1, jwt(auth_time=NOW - 100), stepped_up=True), {"acr_values": "gold"}, False),
    ],
)
def test_a_login_that_no_other_could_replace(login: StoredSession, demands: Any, expected: bool) -> None:  # noqa: FBT001 - a table
    """A service that refuses it refuses the next one too."""
    assert is_in_vain(login, demands, NOW) is expected


@pytest.mark.parametrize("max_age", [0, 1, 5, 10, 11, 60, 300])
@pytest.mark.parametrize("age", [0, 2, 3, 4, 5, 9, 49, 50, 51, 60, 61, 290, 291, 300, 301])
def test_a_refused_login_leads_to_one_page(age: int, max_age: int) -> None:
    """Where another login may help, the page that asks for it does not send the browser back without one."""
    login, demands = session(age), {"max_age": max_age}
    assert is_in_vain(login, demands, NOW) or not fulfils(login, demands, NOW)


def test_a_login_without_an_id_token() -> None:
    """Its time is that of the session, and it has no class."""
    login = session(5)
    bare = attrs.evolve(login, tokens=attrs.evolve(login.tokens, claims=None))
    assert fulfils(bare, {"max_age": 60}, NOW)
    assert not is_strong(bare, {"acr_values": "gold"})


def test_no_class_is_asked_for() -> None:
    """Any login is strong enough."""
    assert is_strong(session(5), {"max_age": 5})
