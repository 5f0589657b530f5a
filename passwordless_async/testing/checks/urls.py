"""Comparing ``htu`` with a URL (RFC 9449 §4.3: "ignoring any query and fragment parts").

"Servers SHOULD employ syntax-based normalization (Section 6.2.2 of [RFC3986]) and scheme-based normalization
(Section 6.2.3 of [RFC3986]) before comparing." Path case and a trailing slash count; ``%2F`` is not a slash.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]")
_MAX_URL_CHARACTERS = 2048


def normalised(url: str) -> str:
    """Return a URL in its normal form, without query and fragment.

    Raises:
        ValueError: It is not an absolute http or https URL, or has user information.
    """
    if len(url) > _MAX_URL_CHARACTERS or not re.fullmatch(r"[!-~]*", url):
        raise ValueError("not a URL")
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        raise ValueError("not an absolute http or https URL")
    port = "" if parts.port in (None, _DEFAULT_PORTS[scheme]) else f":{parts.port}"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{port}{_path(parts.path)}"


def _path(path: str) -> str:
    segments: list[str] = []
    parts = _ESCAPE.sub(_unescape, path).split("/")[1:]
    for segment in parts:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    if parts and parts[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


def _unescape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()
