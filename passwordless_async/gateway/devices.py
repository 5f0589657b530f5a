"""The name of a browser, for people: ``Firefox on Linux``. It is shown to the user; no decision depends on it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_MAX_CHARACTERS = 512  # of a User-Agent; the longest of real browsers have about 250
# The first match counts; most browsers also name others, for the sake of old servers.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,31}")


def device_of(headers: CIMultiDictProxy[str]) -> str:
    """Return the browser and its system, by ``User-Agent``; empty if it does not say.

    A program that is no browser is named by its product: ``curl``.
    """
    return _device_name(headers.get("User-Agent", "")[:_MAX_CHARACTERS])


@lru_cache(maxsize=256)  # browsers of one version and system say the same
def _device_name(agent: str) -> str:
    browser = next((name for mark, name in _BROWSERS if mark in agent), None)
    system = next((name for mark, name in _SYSTEMS if mark in agent), None)
    if browser is None:
        product = _PRODUCT.match(agent)
        return product[0] if product else ""
    return browser if system is None else f"{browser} on {system}"
