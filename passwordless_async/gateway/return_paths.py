"""Checks where a login may return to: only paths of this site.

Invariants:

- What comes from a browser is never sent back as a ``Location`` unless it is a path of this site, below a prefix that
  the application allows. Anything else counts as none: an open redirect would lend the site's name to a phisher.
- The text is checked as a browser interprets it: it removes tabs and line ends, and treats a backslash as a slash
  (WHATWG URL §4.4).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from passwordless_async._common import arguments as _check
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_CHARACTERS = 1024  # of a path with its query; the login's cookie carries it
# RFC 3986 §3.3, §3.4: printable ASCII without what a browser rewrites, or a header field cannot carry.
_PATH = re.compile(r"/(?![/\\])[!#-;=?-\[\]_a-z~%]*")
# Of a decoded path: dot segments could climb out of the prefix, and an encoded slash or backslash could hide a host.
_UNSAFE = re.compile(r"\\|//|/\.{1,2}(?:/|\Z)")


def checked_prefixes(prefixes: Iterable[str]) -> tuple[str, ...]:
    """Return the allowed prefixes: paths that begin with a slash; others raise :class:`UsageError`."""
    checked = _check.texts("return_to", prefixes)
    for prefix in checked:
        if _PATH.fullmatch(prefix) is None:
            raise UsageError("return_to", "must be paths that begin with a slash")
    return checked


def checked_home(path: str | None) -> str | None:
    """Return the path of the application's home, by the rules of ``return_to``; others raise :class:`UsageError`."""
    if path is None:
        return None
    if not isinstance(path, str) or return_path(path, ("/",)) is None:
        raise UsageError("home", "must be a path of the site, such as /: no origin and no dot segments")
    return path


def return_path(given: str | None, allowed: tuple[str, ...]) -> str | None:
    """Return a path that a login may return to, as it was given; None if it is none."""
    if given is None or len(given) > _MAX_CHARACTERS or _PATH.fullmatch(given) is None:
        return None
    path = unquote(given.partition("?")[0].partition("#")[0])
    return given if _UNSAFE.search(path) is None and any(_is_below(path, prefix) for prefix in allowed) else None


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/")
