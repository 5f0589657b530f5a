"""Reads unambiguous JSON, for signed values (RFC 8259, RFC 7515, RFC 7519).

An attacker could exploit two readers that disagree about a token. So it refuses: encodings other than UTF-8 without a
byte order mark, a name given twice, NaN and Infinity, numbers beyond a double, lone surrogates (RFC 8259 §4, §6, §8).
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from passwordless_async._common.base64url import decode
from passwordless_async._common.secret import SecretDict

_WHITE_SPACE = " \t\n\r"  # RFC 8259 §2
_MAX_LEVELS = 100  # of objects and arrays; an honest token has two or three


def read_strictly(data: bytes, *, most_brackets: int | None = None) -> SecretDict | None:
    """Return an unambiguous JSON object; None if the data is not one.

    ``most_brackets`` bounds its objects and arrays: how deep Python itself reads depends on its stack at the moment.
    """
    if most_brackets is not None and len(data) > most_brackets < data.count(b"{") + data.count(b"["):
        return None
    try:
        value = _whole(data.decode())
        # UTF-8 has no lone surrogates; an escape may write one, which no application could encode again.
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, SecretDict) else None  # made by the hook


def _whole(text: str) -> object:
    """Return the one JSON value of a text, as ``decode`` does, which looks for white space by regular expressions."""
    text = text.strip(_WHITE_SPACE)
    value, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError
    return value


def read_segment(segment: str) -> SecretDict | None:
    """Return the JSON object of a JWT's segment (RFC 7515 §3.1); None if it is not one, or nested too deeply."""
    return read_claims(decode(segment))


def read_claims(data: bytes) -> SecretDict | None:
    """Return the JSON object of a JWT's decoded segment; None if it is not one, or nested too deeply.

    Claims are passed to code that may recurse: it must not fail if Python's decoder did not.
    """
    value = read_strictly(data)
    deep = value is not None and data.count(b"{") + data.count(b"[") > _MAX_LEVELS and _is_deep(value)
    return None if deep else value


def _is_deep(value: SecretDict) -> bool:
    """Return whether objects and arrays are nested beyond the bound, independently of the stack."""
    level: list[Any] = [value]
    for _ in range(_MAX_LEVELS):
        level = [member for each in level for member in _nested_in(each)]
    return bool(level)


def _nested_in(value: dict[str, Any] | list[Any]) -> list[Any]:
    members = value.values() if isinstance(value, dict) else value
    return [member for member in members if isinstance(member, dict | list)]


def _unique(members: list[tuple[str, Any]]) -> SecretDict:
    # RFC 7519 §4, RFC 7515 §4: names are unique.
    value = SecretDict(members)
    if len(value) != len(members):
        raise ValueError
    return value


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError
    return value


def _refuse_constant(_name: str) -> NoReturn:
    # RFC 8259 §6 has no NaN and no Infinity; Python's decoder accepts them by default.
    raise ValueError


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse_constant)
