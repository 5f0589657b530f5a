"""Comparing ``htu`` with the request's URL: RFC 3986 §6.2.2 and §6.2.3, and nothing beyond.

Equivalent: the case of scheme and host, the default port, an empty path and ``/``, dot segments, the case of ``%xx``,
an unreserved character and its ``%xx``. Different: ``%2F`` and ``/``, ``%40`` and ``@``, a path with and without its
trailing slash, the case of a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from yarl import URL

from passwordless_async.errors import UsageError

_URI = re.compile(r"(https?)://([^/?#]*)([^?#]*)", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._~!$&'()*+,;=-]+)(?::([0-9]*))?")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 §2.3


def normalize(url: str) -> str | None:
    """Return the normal form of an absolute http or https URL, without query and fragment.

    None if it is not one, has user information, or breaks the grammar.
    """
    match = _URI.match(url)
    if match is None:
        return None
    scheme = match[1].lower()  # RFC 3986 §6.2.2.1
    authority = _authority(scheme, match[2])
    path = normalize_path(match[3])
    return None if authority is None or path is None else f"{scheme}://{authority}{path}"


def normalize_path(path: str) -> str | None:
    """Return the normal form of a path; None if it is not ASCII or has a broken escape."""
    # A broken escape has no normal form: "%%411" would turn into "%A1".
    if not path.isascii() or _BROKEN_ESCAPE.search(path):
        return None
    if "%" in path:
        path = _ESCAPE.sub(_unescape, path)
    if "/." in path:
        path = _without_dot_segments(path)
    return path or "/"  # RFC 3986 §6.2.3


def base_urls(base_url: object) -> dict[str, None]:
    """Return one or several base URLs, normalised; a dict keeps their order, for the ``repr``."""
    given = base_url if isinstance(base_url, Iterable) and not isinstance(base_url, str | bytes) else (base_url,)
    bases = dict.fromkeys(map(_base, given))
    if not bases:
        raise UsageError("base_url", "must be at least one URL")
    return bases


def _base(base_url: object) -> str:
    text = str(base_url) if isinstance(base_url, str | URL) else ""
    normal = normalize(text)
    if normal is None or "?" in text or "#" in text:
        raise UsageError("base_url", "must be an http or https URL without user information, query and fragment")
    return normal.rstrip("/")


def path_of(target: str) -> str | None:
    """Return the path of a request target as it was sent (RFC 9112 §3.2), without query and fragment.

    A target is the path and query, an absolute URL, or ``*``; for one of another form the result is None.
    """
    if target.startswith("/"):
        return target.partition("#")[0].partition("?")[0]
    if target == "*":
        return ""
    match = _URI.match(target)
    return None if match is None else match[3]


def _authority(scheme: str, authority: str) -> str | None:
    # lower() would turn the Kelvin sign into a k.
    if not authority.isascii():
        return None
    match = _HOST.fullmatch(_ESCAPE.sub(_unescape, authority).lower())
    if match is None:
        return None
    # RFC 3986 §6.2.3: an empty port and the scheme's default are left out.
    return match[1] if match[2] in {None, "", _DEFAULT_PORTS[scheme]} else f"{match[1]}:{match[2]}"


def _unescape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    # RFC 3986 §6.2.2.2: only unreserved characters are decoded; §6.2.2.1: other escapes stay, in upper case.
    return character if character in _UNRESERVED else match[0].upper()


def _without_dot_segments(path: str) -> str:
    """Remove ``.`` and ``..`` (RFC 3986 §5.2.4) from a path that begins with a slash."""
    kept: list[str] = []
    segment = ""
    for segment in path[1:].split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    # A path that ends in a dot segment names a directory: its trailing slash stays.
    if segment in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
