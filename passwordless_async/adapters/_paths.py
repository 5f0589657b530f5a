"""Paths that need no token: an explicit list, compared with the path before anything decodes it.

Invariants:

- A path is public only in its plain spelling. A path with an escape of a plain character, an empty or a dot segment, a
  semicolon or a backslash needs a token: two servers could interpret it differently.
- Paths are case-sensitive, and a trailing slash matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from passwordless_async.errors import UsageError

_MAX_PATHS = 1000
_PLAIN = r"[A-Za-z0-9\-._~!$&'()*+,=:@]"  # RFC 3986 §3.3 without the semicolon, which some take for a separator
# Below a prefix: escapes only of the space and of what is not ASCII. No dot segments, no empty ones.
_SEGMENT = rf"(?!\.\.?(?:/|$))(?:{_PLAIN}|%20|%[89A-Fa-f][0-9A-Fa-f])+"
_EXACT = re.compile(rf"/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?")
_BELOW = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*/?")


class PublicPaths:
    """The public paths of an application.

    Args:
        paths: Paths, such as ``/health``; one that ends with ``/*`` stands for all below it.

    Raises:
        UsageError: One is not a path in its plain spelling.
    """

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, paths: object) -> None:
        given = None if isinstance(paths, str | bytes) or not isinstance(paths, Iterable) else list(paths)
        if given is None or len(given) > _MAX_PATHS or not all(map(_is_path, given)):
            raise UsageError(
                "public", f'must be a list of at most {_MAX_PATHS} paths, such as ["/health", "/static/*"]'
            )
        self._exact = frozenset(path for path in given if not path.endswith("/*"))
        self._prefixes = tuple(path[:-1] for path in given if path.endswith("/*"))

    def __bool__(self) -> bool:
        return bool(self._exact or self._prefixes)

    def covers(self, path: str) -> bool:
        """Return whether a path, as it came and without its query, is public."""
        return path in self._exact or any(
            path.startswith(prefix) and _BELOW.fullmatch(path, len(prefix)) is not None for prefix in self._prefixes
        )


def _is_path(path: object) -> bool:
    if not isinstance(path, str):
        return False
    plain = path.removesuffix("*") if path.endswith("/*") else path
    return "*" not in plain and _EXACT.fullmatch(plain) is not None


def checked_exempt(exempt: object) -> None:
    """Raise :class:`UsageError` unless ``exempt`` is a function."""
    if exempt is not None and not callable(exempt):
        raise UsageError("exempt", "must be a function of the request; for paths there is public")
