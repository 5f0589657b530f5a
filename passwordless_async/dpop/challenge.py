"""Reading a server's demand for another nonce (RFC 9449 §8, §9).

A demand is a 400 whose JSON says ``error=use_dpop_nonce`` (authorization server), or a 401 whose ``WWW-Authenticate``
has a ``DPoP`` challenge that says so (resource server). The header is parsed by its grammar (RFC 9110 §11.6.1): a
search for the words would be taken in by a realm of that name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from passwordless_async._common.http import HttpResponse

# ``invalid_dpop_nonce`` is what Auth0's resource servers say for a nonce that is too old.
_NONCE_ERRORS = frozenset({"use_dpop_nonce", "invalid_dpop_nonce"})
_MAX_HEADER = 8192  # characters; what is over is not read

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - the grammar's word
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*(?=,|$)')
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|(?=,|$))")
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|$)")
_SEPARATOR = re.compile(r"[ \t,]*")


@attrs.frozen
class Challenge:
    """One challenge of a ``WWW-Authenticate`` field.

    Attributes:
        scheme: The scheme in lower case.
        parameters: The parameters, their names in lower case.
    """

    scheme: str
    parameters: dict[str, str]


def parse_www_authenticate(values: Iterable[str]) -> list[Challenge]:
    """Parse all ``WWW-Authenticate`` fields of an answer; what breaks the grammar ends the field it stands in."""
    return [challenge for value in values for challenge in _parse_field(value[:_MAX_HEADER])]


def _parse_field(value: str) -> Iterator[Challenge]:
    position = _skip(_SEPARATOR, value, 0)
    while position < len(value):
        scheme = _SCHEME.match(value, position)
        if scheme is None:
            return
        parameters, position = _parse_parameters(value, scheme.end())
        yield Challenge(scheme[1].lower(), parameters)


def _parse_parameters(value: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    # A token68 stands right behind its scheme; behind a comma it would be the next scheme (RFC 9110 §11.3).
    position = _skip(_SEPARATOR, value, _skip(_TOKEN68, value, position))
    while (match := _PARAMETER.match(value, position)) is not None:
        text = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        # A parameter given twice is an error (RFC 9110 §11.2): the first one stands.
        parameters.setdefault(match[1].lower(), text)
        position = _skip(_SEPARATOR, value, match.end())
    return parameters, position


def _skip(pattern: re.Pattern[str], value: str, position: int) -> int:
    match = pattern.match(value, position)
    return position if match is None else match.end()


def dpop_errors(response: HttpResponse) -> frozenset[str]:
    """Return the ``error`` values of an answer that concern the proof: of its JSON (400) or its challenges (401)."""
    if response.status == 400:  # noqa: PLR2004 - RFC 9449 §8
        body = response.json_object()
        error = None if body is None else body.get("error")
        return frozenset({error} if isinstance(error, str) else ())
    if response.status == 401:  # noqa: PLR2004 - RFC 9449 §9
        challenges = parse_www_authenticate(response.headers.getall("WWW-Authenticate", []))
        return frozenset(c.parameters.get("error", "") for c in challenges if c.scheme == "dpop")
    return frozenset()


def demands_nonce(response: HttpResponse, *, fresh: bool) -> bool:
    """Tell whether an answer asks for another nonce.

    Args:
        response: The answer.
        fresh: Whether a nonce other than the one in the proof came with it; then ``invalid_dpop_proof`` counts too,
            which is how some servers say that a nonce is too old.
    """
    errors = dpop_errors(response)
    return bool(errors & _NONCE_ERRORS) or (fresh and "invalid_dpop_proof" in errors)


def rejects_token(response: HttpResponse) -> bool:
    """Tell whether a resource server says that the access token is no longer good (RFC 9449 §7.1, RFC 6750 §3.1)."""
    return response.status == 401 and "invalid_token" in dpop_errors(response)  # noqa: PLR2004 - RFC 6750 §3.1
