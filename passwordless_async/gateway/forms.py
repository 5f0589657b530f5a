"""The fields of a form or of a JSON object, bounded: names and texts, each once.

A field that is given twice, an unknown encoding, or a member that is no text makes the whole body malformed. Of JSON,
``true`` is the text ``1``, as a ticked box sends it; ``false`` and ``null`` count as absent, as an empty box does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from passwordless_async._common import arguments as _check
from passwordless_async._common import typed as _typed
from passwordless_async._common.secret import Secret, SecretDict
from passwordless_async._common.strict_json import read_strictly
from passwordless_async.errors import InvalidInput
from passwordless_async.gateway.messages import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from passwordless_async.gateway.messages import Request

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
_MAX_FIELDS = 32
_MAX_FIELD_CHARACTERS = 4096
_TICKED = "1"
_MIN_DIGITS = 4  # Auth0's codes are digits, and have at least as many; recovery codes are not of these


class MalformedForm(Exception):
    """A body is no form of few short fields, each given once."""


class TooLarge(MalformedForm):
    """A body has more than ``MAX_BODY_BYTES``."""


def content_type(request: Request) -> str:
    """Return the media type of a body, in lower case and without parameters; empty if it has none."""
    types = request.headers.getall("Content-Type", [])
    return types[0].partition(";")[0].strip().lower() if len(types) == 1 else ""


def read_form(request: Request) -> SecretDict:
    """Return the fields of a body; empty for an empty one.

    Raises:
        TooLarge: It is too large.
        MalformedForm: It is none.
    """
    if not request.body:
        return SecretDict()
    if len(request.body) > MAX_BODY_BYTES:
        raise TooLarge
    kind = content_type(request)
    if kind == JSON:
        return _checked_fields(_json(request.body))
    if kind == FORM:
        return _checked_fields(_pairs(request.body))
    raise MalformedForm


def code_of(form: Mapping[str, Secret]) -> Secret:
    """Return the code that was typed. What cannot be one raises ``InvalidInput``, and takes no attempt of the user."""
    code = _typed.code("code", form.get("code", Secret("")), at_most=_check.MAX_CODE)
    if not code.isdecimal() or len(code) < _MIN_DIGITS:
        raise InvalidInput("code", f"must be {_MIN_DIGITS} to {_check.MAX_CODE} digits")
    return code


def _json(body: bytes) -> Iterable[tuple[str, object]]:
    members = read_strictly(body, most_brackets=1)
    if members is None:
        raise MalformedForm
    given = ((name, value) for name, value in members.items() if value is not None and value is not False)
    return [(name, _TICKED if value is True else value) for name, value in given]


def _pairs(body: bytes) -> Iterable[tuple[str, object]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise MalformedForm from None


def _checked_fields(fields: Iterable[tuple[str, object]]) -> SecretDict:
    pairs = list(fields)
    checked = SecretDict(
        (name, Secret(value))
        for name, value in pairs
        if isinstance(value, str) and len(value) <= _MAX_FIELD_CHARACTERS and "\0" not in value
    )
    if len(checked) != len(pairs) or len(pairs) > _MAX_FIELDS:
        raise MalformedForm
    return checked
