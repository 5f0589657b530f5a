"""JSON by the letter of RFC 8259, read slowly and by no other reader's code: what proofs are compared with."""

from __future__ import annotations

import math
import re
from typing import Any

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
        (?P<mark>[{}\[\],:])
        | (?P<text>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*")
        | (?P<number>-?(?:0|[1-9][0-9]*)(?P<real>\.[0-9]+)?(?P<power>[eE][+-]?[0-9]+)?)
        | (?P<word>true|false|null)
    )[ \t\r\n]*""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u([Dd][89ABab][0-9A-Fa-f]{2})\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))")
_WORDS = {"true": True, "false": False, "null": None}
_MAX_BRACKETS = 256


def read(raw: bytes) -> Any:
    """Return the value of a JSON text that every reader takes alike, or raise ``ValueError``."""
    text = raw.decode()
    if text.count("{") + text.count("[") > _MAX_BRACKETS:
        raise ValueError("too deep")
    value, end = _value(text, 0)
    if end != len(text):
        raise ValueError("more than one value")
    return value


def _match(text: str, at: int) -> re.Match[str]:
    match = _TOKEN.match(text, at)
    if match is None:
        raise ValueError("not a token")
    return match


def _value(text: str, at: int) -> tuple[Any, int]:
    token = _match(text, at)
    if token["mark"] == "{":
        return _members(text, token.end())
    if token["mark"] == "[":
        return _elements(text, token.end())
    if token["text"] is not None:
        return _text(token["text"]), token.end()
    if token["number"] is not None:
        return _number(token), token.end()
    if token["word"] is not None:
        return _WORDS[token["word"]], token.end()
    raise ValueError("not a value")


def _members(text: str, at: int) -> tuple[dict[str, Any], int]:
    members: dict[str, Any] = {}
    token = _match(text, at)
    if token["mark"] == "}":
        return members, token.end()
    while True:
        name, colon = _match(text, at), _match(text, _match(text, at).end())
        if name["text"] is None or colon["mark"] != ":" or _text(name["text"]) in members:
            raise ValueError("not a member of its own")
        members[_text(name["text"])], at = _value(text, colon.end())
        token = _match(text, at)
        at = token.end()
        if token["mark"] == "}":
            return members, at
        if token["mark"] != ",":
            raise ValueError("not an object")


def _elements(text: str, at: int) -> tuple[list[Any], int]:
    elements: list[Any] = []
    token = _match(text, at)
    if token["mark"] == "]":
        return elements, token.end()
    while True:
        element, at = _value(text, at)
        elements.append(element)
        token = _match(text, at)
        at = token.end()
        if token["mark"] == "]":
            return elements, at
        if token["mark"] != ",":
            raise ValueError("not an array")


def _number(token: re.Match[str]) -> int | float:
    if token["real"] is None and token["power"] is None:
        return int(token["number"])
    number = float(token["number"])
    if not math.isfinite(number):
        raise ValueError("beyond a double")
    return number


def _text(quoted: str) -> str:
    text = _ESCAPE.sub(_unescape, quoted[1:-1])
    text.encode()  # raises for a lone surrogate
    return text


def _unescape(match: re.Match[str]) -> str:
    high, low, unit, character = match.groups()
    if high is not None:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    if unit is not None:
        return chr(int(unit, 16))
    return {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(character, character)
