"""Which paths are forwarded: only unambiguous ones.

Invariants:

- The path is checked unchanged, and never rewritten. Anything that two servers could interpret differently is refused:
  dot segments, plain, encoded or before a ``;``; empty segments; encoded slashes, backslashes, percent signs before two
  hexadecimal digits, and control characters; escapes that are not UTF-8.
- So a path that begins with a prefix is below that prefix for the upstream too.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

_MAX_CHARACTERS = 8192  # of a path, and of a query; servers take about as much
# RFC 3986 §3.3: pchar and the slash, as they came.
_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
# RFC 3986 §3.4, and what browsers leave as it is (WHATWG URL §4.2): visible ASCII without ``#``.
_QUERY = re.compile(r"[!-\"$-~]*")
# Of escapes: controls, slash, backslash; and a percent sign that begins another escape.
_UNSAFE_ESCAPE = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff]|2[Ff]|5[Cc]|25[0-9A-Fa-f]{2})")
_DOTS = re.compile(r"/\.{1,2}(?:[/;]|\Z)")


def is_safe_path(path: str) -> bool:
    """Return whether every server interprets a path, unchanged, in the same way."""
    if len(path) > _MAX_CHARACTERS or _PATH.fullmatch(path) is None or "//" in path:
        return False
    if "%" not in path:
        return _DOTS.search(path) is None
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return _UNSAFE_ESCAPE.search(path) is None and _DOTS.search(decoded) is None


def is_safe_query(query: str) -> bool:
    """Return whether a query can be forwarded unchanged."""
    return len(query) <= _MAX_CHARACTERS and _QUERY.fullmatch(query) is not None
