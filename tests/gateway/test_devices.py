"""What a browser calls itself."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async.gateway.devices import device_of

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36", "Chrome on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1",
            "Safari on iPhone",
        ),
        (f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/140.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Safari on macOS"),
        ("curl/8.5.0", "curl"),
        ("Firefox/1", "Firefox"),
        ("<script>", ""),
        ("", ""),
        ("x" * 10_000, "x" * 32),
    ],
)
def test_names(agent: str, device: str) -> None:
    """The browser and its system; a program by its product; nothing else."""
    assert device_of(CIMultiDictProxy(CIMultiDict({"User-Agent": agent}))) == device


def test_none() -> None:
    """A browser that does not say."""
    assert device_of(CIMultiDictProxy(CIMultiDict())) == ""
