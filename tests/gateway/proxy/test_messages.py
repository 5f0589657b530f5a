"""Calls and responses as streams."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async.gateway.proxy.messages import ProxiedRequest, ProxiedResponse, target_of


@pytest.mark.parametrize(
    ("raw", "mount", "target"),
    [
        ("/auth/api?a=1?2", "/auth", ("/api", "a=1?2")),
        ("/auth", "/auth", ("/", "")),
        ("/api", "", ("/api", "")),
        ("/authapi", "/auth", None),
        ("/%61uth/api", "/auth", None),
        ("http://host/auth/api", "/auth", None),
        ("http://host/api", "", None),
        ("*", "", None),
        ("//auth/api", "/auth", None),
    ],
)
def test_targets(raw: str, mount: str, target: tuple[str, str] | None) -> None:
    """A target in another spelling, or of another form, is not below the mount."""
    assert target_of(raw, mount) == target


async def test_a_body_at_hand() -> None:
    """Closing such a response does nothing."""
    response = ProxiedResponse(200, (), b"body")
    await response.aclose()
    assert response.body == b"body"


def test_nothing_of_it_is_printed() -> None:
    """Header fields and queries may have secrets."""
    headers = CIMultiDictProxy(CIMultiDict({"Cookie": "session=secret"}))
    request = ProxiedRequest(method="GET", mount="", path="/", query="code=secret", headers=headers)
    assert "secret" not in f"{request!r} {ProxiedResponse(200, (('Set-Cookie', 'secret'),), b'secret')!r}"
