"""Reading the header fields of a request from any container that a server uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async.dpop.server.checked import FailedCheck
from passwordless_async.errors import UsageError

Headers = Mapping[str, str] | Iterable[tuple[str, str] | tuple[bytes, bytes]]
"""A multi-value mapping (multidict, Starlette), a plain mapping, or pairs of ``str`` or ``bytes`` (ASGI)."""


def values_of(headers: Headers, *names: str) -> list[list[str]]:
    """Return all values of each field in order; names match in any case (RFC 9110 §5.1).

    The fields are read at once: an iterator can be read only once. ``headers`` that are neither a mapping nor an
    iterable of pairs raise :class:`UsageError`.
    """
    if isinstance(headers, (CIMultiDict, CIMultiDictProxy)):
        return [list(headers.getall(name, ())) for name in names]
    values: dict[str, list[str]] = {name.lower(): [] for name in names}
    for field, value in _pairs(headers):
        found = values.get(field.lower())
        if found is not None:
            found.append(value)
    return list(values.values())


def proof_of(headers: Headers) -> str:
    """Return the proof of a request; none, or more than one, raises :class:`FailedCheck`."""
    (values,) = values_of(headers, "DPoP")
    if not values:
        raise FailedCheck("the request has no DPoP header")
    # RFC 9449 §4.3 (1): not more than one field. A proxy may have joined two with a comma (RFC 9110 §5.3).
    if len(values) > 1 or "," in values[0]:
        raise FailedCheck("the request has more than one DPoP header")
    return values[0]


def _pairs(headers: object) -> list[tuple[str, str]]:
    # Not isinstance(headers, Mapping): the headers of some frameworks have items() and are no Mapping.
    fields: Any = headers.items() if hasattr(headers, "items") else headers
    try:
        return [(_text(name), _text(value)) for name, value in fields]
    except (TypeError, ValueError):
        failure = UsageError("headers", "must be a mapping or an iterable of (name, value), each str or bytes")
    raise failure


def _text(value: object) -> str:
    # Latin-1 decodes every byte: hostile bytes become text that fails the checks.
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise TypeError
