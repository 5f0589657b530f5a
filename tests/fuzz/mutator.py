"""Inputs made of valid ones by structure: JSON values, the bytes that encode them, texts, tokens."""

from __future__ import annotations

import base64
import copy
import json
import random
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e300, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, -(10**400)),
    *(float("nan"), float("inf"), "", " ", "x", "0", "null", "\x00", "\x7f", "\r\nX: y", "\ud800", "\ufeff", "\u202e"),
    *("é" * 70, "\u212aelvin", "\U0001f600", "a" * 5000, "A" * 43, "A" * 86, "../..", "%00", "' OR 1=1", "<b>", "=?="),
    *([], [None], [[[]]], ["a", "a"], {}, {"": None}, {"a": {"b": {"c": []}}}, {"$ne": 1}, [0] * 200),
)
_LETTERS = (
    "",
    "A",
    ".",
    "=",
    " ",
    "\t",
    "\n",
    ",",
    ";",
    '"',
    "\\",
    "%",
    "{",
    "é",
    "\x00",
    "\ud800",
    "-",
    "_",
    "~",
    "/",
)
_MAX_DEPTH = 5000


class Mutator:
    """Draws one input: the same one for the same seed and index.

    Attributes:
        index: The input's number.
        random: What everything is drawn from.
    """

    def __init__(self, seed: int, index: int) -> None:
        self.index = index
        self.random = random.Random(seed << 40 | index)  # noqa: S311 - no secret
        self.choice = self.random.choice

    def often(self, chance: float = 0.5) -> bool:
        return self.random.random() < chance

    def value(self, value: T, near: Sequence[Any] = ()) -> T | Any:
        """Return a copy of a JSON value with up to three changes; of one in three with none.

        ``near`` are values that are nearly right, or right in another place.
        """
        changes = self.choice((0, 0, 1, 1, 2, 3))
        value = copy.deepcopy(value) if changes else value
        for _ in range(changes):
            value = self._changed(value, near)
        return value

    def _changed(self, value: Any, near: Sequence[Any]) -> Any:
        if not isinstance(value, dict | list) or not value or self.often(0.04):
            return self.other(value, near)
        place: Any = self.choice(list(value)) if isinstance(value, dict) else self.random.randrange(len(value))
        inner = value[place]
        if isinstance(inner, dict | list) and inner and self.often(0.7):
            value[place] = self._changed(inner, near)
        elif self.often(0.15):
            del value[place]
        elif isinstance(value, dict) and self.often(0.15):
            value[self.text(str(place)) if self.often() else self.choice(_WORDS)] = inner
        elif self.often(0.1):
            value[place] = self.choice(list(value.values()) if isinstance(value, dict) else value)
        else:
            value[place] = self.other(inner, near)
        return value

    def other(self, value: Any, near: Sequence[Any] = ()) -> Any:
        """Return another value in the place of one: nearly that, nearly right, or anything."""
        kind = self.random.randrange(6 if near else 5)
        if kind == 0 and isinstance(value, str):
            return self.text(value)
        if kind == 0 and isinstance(value, int | float):
            step = self.choice((1, -1, 60, -61, 86_400, 2**40))
            return self.choice((-value, str(value), value + step, [value]))
        if kind == 1:
            return self.choice(([value], [value, value], {"a": value}, str(value), [value, "x"]))
        # A copy: a later change is not one of the table.
        return copy.deepcopy(self.choice(near if kind == 5 else NASTY))

    def text(self, text: str) -> str:
        """Return a text with one edit: letters in, out or replaced, a part twice, cut off, another case."""
        at, length = self.random.randrange(len(text) + 1), self.choice((0, 1, 1, 2, 9))
        kind = self.random.randrange(8)
        if kind < 4:
            return text[:at] + self.choice(_LETTERS) + text[at + length :]
        if kind == 4:
            return text[:at] + text[at : at + length] * self.choice((2, 3, 400)) + text[at + length :]
        if kind == 5:
            return text[:at]
        return text.swapcase() if kind == 6 else text + chr(self.random.randrange(0x110000))

    def raw(self, data: bytes, other: bytes = b"") -> bytes:
        """Return bytes with one edit: a bit, a byte, a part twice or cut off, or the end of other bytes."""
        at, length = self.random.randrange(len(data) + 1), self.choice((0, 1, 1, 4, 40))
        before, after = data[:at], data[at + length :]
        kind = self.random.randrange(6)
        if kind == 0 and data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ 1 << self.random.randrange(8)]) + data[at + 1 :]
        if kind == 1:
            return before + self.random.randbytes(self.choice((1, 2, 30))) + after
        if kind == 2:
            return before + data[at : at + length] * self.choice((2, 300)) + after
        if kind == 3:
            return before
        if kind == 4:
            return before + other[self.random.randrange(len(other) + 1) :]
        return before + self.choice((b"\x00", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\r\n", b"{", b"}", b'"')) + after

    def encoded(self, value: Any) -> bytes:
        """Return a JSON value as bytes: in nine of ten as one writes it, else nearly so, or nearly a JSON text."""
        plain = json.dumps(value, ensure_ascii=self.often(0.8)).encode("utf-8", "surrogatepass")
        if self.often(0.9):
            return plain
        number = self.choice((b"1" * 5000, b"1e400", b"-0", b"1e-400", b"NaN", b"-Infinity", b"01", b"1.", b"0x1"))
        name = json.dumps(self.choice(list(value) if isinstance(value, dict) and value else _WORDS)).encode()
        depth = self.choice((90, 101, 300, _MAX_DEPTH))
        return self.choice((
            self.raw(plain, plain),
            plain.replace(b"{", b"{" + name + b":null,", 1),
            plain.replace(b"{", b"{" + name + b":" + number + b",", 1),
            plain.replace(b"}", b"," + name + b":" + b"[" * depth + b"]" * depth + b"}", 1),
            plain.replace(b"}", b"," + name + b":" + b'{"a":' * depth + b"1" + b"}" * depth + b"}", 1),
            b"\xef\xbb\xbf" + plain,
            plain.decode("utf-8", "replace").encode("utf-16"),
            self.choice((b" ", b"\n", b"\x0b", b"\xc2\xa0")) + plain + self.choice((b"", b" ", b"\x00", b"{}")),
            b"[" * depth,
            number,
            b"",
        ))  # fmt: skip

    def jwt(self, header: Any, claims: Any, sign: Callable[[bytes], bytes]) -> str:
        """Return a signed compact JWT of any header and claims."""
        signing_input = b64(self.encoded(header)) + b"." + b64(self.encoded(claims))
        return (signing_input + b"." + b64(sign(signing_input))).decode()


_WORDS = ("alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "iss", "sub", "aud", "exp", "iat", "nbf", "cnf", "")


def b64(data: bytes) -> bytes:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")
