"""Reading nonce challenges: a server's demand for another nonce (RFC 9449 §8, §9).

An authorization server sends a 400 with ``error=use_dpop_nonce`` in its JSON. A resource server sends a 401 with that
error in a ``DPoP`` challenge of ``WWW-Authenticate``. The header is parsed by its grammar (RFC 9110 §11.6.1): a search
for the words would also find them in a realm. API gateways of AWS rename the header: both names are read.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from passwordless_async._common.http import HttpResponse

# Auth0's resource servers answer a nonce that is too old with ``invalid_dpop_nonce``.
_NONCE_ERRORS = frozenset({"use_dpop_nonce", "invalid_dpop_nonce"})
_MAX_HEADER = 8192  # characters; the rest is ignored
# Amazon API Gateway sends the header of what is behind it under the second name.
_FIELDS = ("WWW-Authenticate", "x-amzn-remapped-www-authenticate")

_TCHARS = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 §5.6.2: token = 1*tchar
_PARAMETER = re.compile(rf'({_TCHARS})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TCHARS}))[ \t]*(?=,|$)')
_SCHEME = re.compile(rf"({_TCHARS})(?:[ \t]+|(?=,|$))")
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
    """Parse all ``WWW-Authenticate`` fields of a response; a violation of the grammar ends its field."""
    return [challenge for value in values for challenge in _parse_field(value[:_MAX_HEADER])[0]]


def has_only(value: str, schemes: Collection[str]) -> bool:
    """Return whether a ``WWW-Authenticate`` field has challenges of these schemes, and nothing else.

    Other readers may find challenges behind a violation of the grammar, or behind the part of a long field that is read
    here.
    """
    if len(value) > _MAX_HEADER:
        return False
    challenges, is_whole = _parse_field(value)
    return is_whole and all(challenge.scheme in schemes for challenge in challenges)


def challenges_of(response: HttpResponse) -> list[Challenge]:
    """Return the challenges of a response, also from the header field that an API gateway has renamed."""
    return parse_www_authenticate(value for name in _FIELDS for value in response.headers.getall(name, ()))


def _parse_field(value: str) -> tuple[list[Challenge], bool]:
    """Return the challenges of a field, and whether it has nothing behind them."""
    challenges: list[Challenge] = []
    position = _skip(_SEPARATOR, value, 0)
    while position < len(value):
        scheme = _SCHEME.match(value, position)
        if scheme is None:
            return challenges, False
        parameters, position = _parse_parameters(value, scheme.end())
        challenges.append(Challenge(scheme[1].lower(), parameters))
    return challenges, True


def _parse_parameters(value: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    # A token68 directly follows its scheme; after a comma it would be the next scheme (RFC 9110 §11.3).
    position = _skip(_SEPARATOR, value, _skip(_TOKEN68, value, position))
    while (match := _PARAMETER.match(value, position)) is not None:
        text = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        # A parameter must occur once (RFC 9110 §11.2): the first one counts.
        parameters.setdefault(match[1].lower(), text)
        position = _skip(_SEPARATOR, value, match.end())
    return parameters, position


def _skip(pattern: re.Pattern[str], value: str, position: int) -> int:
    match = pattern.match(value, position)
    return position if match is None else match.end()


def dpop_errors(response: HttpResponse) -> frozenset[str]:
    """Return the ``error`` values that concern the proof: of a 400's JSON or a 401's challenges (RFC 9449 §8, §9)."""
    read = _ERRORS.get(response.status)
    return frozenset() if read is None else read(response)


def _errors_of_body(response: HttpResponse) -> frozenset[str]:
    body = response.json_object()
    error = None if body is None else body.get("error")
    return frozenset({error} if isinstance(error, str) else ())


def _errors_of_header(response: HttpResponse, scheme: str = "dpop") -> frozenset[str]:
    return frozenset(c.parameters.get("error", "") for c in challenges_of(response) if c.scheme == scheme)


# A table: in Python 3.11 naming a member of an enumeration takes 0.3 µs, and each response is looked at.
_ERRORS: dict[int, Callable[[HttpResponse], frozenset[str]]] = {
    HTTPStatus.BAD_REQUEST: _errors_of_body,
    HTTPStatus.UNAUTHORIZED: _errors_of_header,
}


def demands_nonce(response: HttpResponse, *, fresh: bool) -> bool:
    """Return whether a response demands another nonce.

    Args:
        response: The response.
        fresh: Whether it has another nonce than the one in the proof. If so, ``invalid_dpop_proof`` counts too: some
            servers answer a nonce that is too old with it.
    """
    if response.status not in _ERRORS:
        return False
    errors = dpop_errors(response)
    return not errors.isdisjoint(_NONCE_ERRORS) or (fresh and "invalid_dpop_proof" in errors)


def rejects_token(response: HttpResponse, *, scheme: str = "dpop") -> bool:
    """Return whether a resource server refuses the access token (RFC 9449 §7.1, RFC 6750 §3.1).

    Args:
        response: The response.
        scheme: How the token was sent, in lower case: ``dpop`` or ``bearer``.
    """
    return response.status == HTTPStatus.UNAUTHORIZED and "invalid_token" in _errors_of_header(response, scheme)
