"""Reading the header fields of a request from any container that a server uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async._common.secret import Secret
from passwordless_async.dpop.server.checked import FailedCheck
from passwordless_async.errors import UsageError

Headers = Mapping[str, str] | Iterable[tuple[str, str] | tuple[bytes, bytes]]
"""A multi-value mapping (multidict, Starlette), a plain mapping, or pairs of ``str`` or ``bytes`` (ASGI)."""


_SEND_ONE = "The client must send a proof with each request: client.request and client.session do."
_SEND_NO_MORE = "Check the client, and each proxy in between: the request must have one DPoP header with one proof."


class ProofFields(tuple[tuple[str, Secret], ...]):
    """The ``DPoP`` fields of a request, and no other fields of it: they were read before."""

    __slots__ = ()


def values_of(headers: Headers, *names: str) -> list[list[str]]:
    """Return all values of each field in order; names match in any case (RFC 9110 §5.1).

    The fields are read at once: an iterator can be read only once. ``headers`` that are neither a mapping nor an
    iterable of pairs raise :class:`UsageError`.
    """
    if isinstance(headers, (CIMultiDict, CIMultiDictProxy)):
        return [list(headers.getall(name, ())) for name in names]
    values: list[list[str]] = [[] for _ in names]
    try:
        _read(headers, names, values)
    except (TypeError, ValueError, AttributeError):
        failure = UsageError("headers", "must be a mapping or an iterable of (name, value), each str or bytes")
    else:
        return values
    raise failure


def _read(headers: Headers, names: tuple[str, ...], values: list[list[str]]) -> None:
    """Add the values of each field to its list; raises for what has no fields."""
    texts, raws = _places(names)
    # Not isinstance(headers, Mapping): the headers of some frameworks have items() and are no Mapping.
    fields: Any = headers.items() if hasattr(headers, "items") else headers
    for name, value in fields:
        place = (raws if isinstance(name, bytes) else texts).get(name.lower())
        if place is not None:
            values[place].append(_text(value))
        elif not isinstance(value, (str, bytes)):
            raise TypeError


@lru_cache(maxsize=16)  # each door asks for the same few names
def _places(names: tuple[str, ...]) -> tuple[Mapping[str, int], Mapping[bytes, int]]:
    """Return where the values of a field belong, by its name in lower case, as text and as bytes."""
    texts = {name.lower(): place for place, name in enumerate(names)}
    return texts, {name.encode(): place for name, place in texts.items()}


def _text(value: object) -> str:
    # Latin-1 decodes every byte: hostile bytes become text that fails the checks.
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise TypeError


def proofs_of(headers: Headers) -> ProofFields | None:
    """Return the ``DPoP`` fields among header fields; None if these are none.

    Call it in the first statement: after it, no frame has the other fields, one of which is the access token.
    """
    if isinstance(headers, ProofFields):
        return headers
    try:
        (proofs,) = values_of(headers, "DPoP")
    except UsageError:
        return None
    return ProofFields([("DPoP", Secret(proof)) for proof in proofs])


def proof_of(fields: ProofFields) -> str:
    """Return the proof of a request; none, or more than one, raises :class:`FailedCheck`."""
    values = [value for _, value in fields]
    if not values:
        raise FailedCheck("the request has no DPoP header", advice=_SEND_ONE)
    # RFC 9449 §4.3 (1): not more than one field. A proxy may have joined two with a comma (RFC 9110 §5.3).
    if len(values) > 1 or "," in values[0]:
        raise FailedCheck("the request has more than one DPoP header", advice=_SEND_NO_MORE)
    return values[0]
