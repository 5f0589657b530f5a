"""The query of a URL, bounded: names and texts, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from passwordless_async._common.secret import SecretDict

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_FIELDS = 32
_MAX_BYTES = 8192


def read_query(query: bytes) -> Mapping[str, str]:
    """Return the parameters of a query, without names that are given twice; none if it is unreadable."""
    if not query or len(query) > _MAX_BYTES:
        return SecretDict()
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return SecretDict()
    names = [name for name, _ in pairs]
    return SecretDict((name, value) for name, value in pairs if names.count(name) == 1)
