"""How many calls an upstream has at once."""

from __future__ import annotations

import pytest

from passwordless_async._common.secret import Secret
from passwordless_async.gateway.proxy.admission import Refusal
from passwordless_async.gateway.proxy.traffic import Traffic

ADA, BOB = Secret("ada"), Secret("bob")


def test_a_session_has_so_many_and_no_more() -> None:
    """Another session is not touched; what is released may be used again."""
    traffic = Traffic(at_most=10, per_session=2, per_user=2)
    first, _ = traffic.enter(ADA, "ada"), traffic.enter(ADA, "ada")
    with pytest.raises(Refusal) as refused:
        traffic.enter(ADA, "ada")
    assert (refused.value.key, refused.value.status, refused.value.seconds) == ("too_many_requests", 429, 1)
    traffic.enter(BOB, "bob")
    first()
    first()
    traffic.enter(ADA, "ada")
    assert (traffic.calls, dict(traffic.of_session)) == (3, {ADA: 2, BOB: 1})


def test_a_user_has_so_many_in_all_sessions() -> None:
    """Another user is not touched, and nothing is kept of a user without calls."""
    traffic = Traffic(at_most=10, per_session=2, per_user=3)
    releases = [traffic.enter(Secret(f"session {number // 2}"), "ada") for number in range(3)]
    with pytest.raises(Refusal) as refused:
        traffic.enter(Secret("session 2"), "ada")
    assert (refused.value.key, refused.value.status, refused.value.seconds) == ("too_many_requests", 429, 1)
    traffic.enter(BOB, "bob")
    for release in releases:
        release()
    assert (traffic.calls, dict(traffic.of_user)) == (1, {"bob": 1})


def test_an_upstream_has_so_many_in_all() -> None:
    """More are refused at once; nothing is kept of a session without calls."""
    traffic = Traffic(at_most=2, per_session=2, per_user=2)
    releases = [traffic.enter(ADA, "ada"), traffic.enter(BOB, "bob")]
    with pytest.raises(Refusal) as refused:
        traffic.enter(Secret("eve"), "eve")
    assert (refused.value.key, refused.value.status) == ("upstream_busy", 503)
    for release in releases:
        release()
    assert (traffic.calls, dict(traffic.of_session)) == (0, {})
    assert repr(traffic) == "Traffic(at_most=2, per_session=2, per_user=2, calls=0)"
