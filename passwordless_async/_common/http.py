"""An HTTP request and its response as values: flows build and read them, the transport sends them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, NoReturn

import attrs
from multidict import CIMultiDict, MultiMapping

from passwordless_async._common.secret import Secret, SecretBytes, SecretDict, redacted
from passwordless_async.errors import MalformedAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL


@attrs.frozen(repr=False, eq=False)
class HttpRequest:
    """One transmission; the method is in the case to send, the URL absolute, the body encoded.

    Args:
        secrets: The secrets in it; they are removed from error texts in which the server echoes them.
        shareable: Whether two equal requests in flight may share one response (a plain GET of public data).
    """

    method: str
    url: URL
    headers: Mapping[str, str] = attrs.field(repr=redacted)
    body: SecretBytes = attrs.field(factory=SecretBytes, repr=redacted)
    secrets: tuple[Secret, ...] = attrs.field(default=(), repr=redacted)
    shareable: bool = False

    def with_header(self, name: str, value: str) -> HttpRequest:
        """Return the same request with one more header field."""
        headers = {**self.headers, name: value}
        return HttpRequest(self.method, self.url, headers, self.body, self.secrets, self.shareable)

    def __repr__(self) -> str:
        return f"<HttpRequest {self.method} {self.url.origin()}{self.url.raw_path}>"


@attrs.frozen(repr=False, eq=False)
class HttpResponse:
    """One response, read to its end; the names of header fields are case-insensitive, the transport bounds the body."""

    status: int
    headers: MultiMapping[str] = attrs.field(factory=CIMultiDict, repr=redacted)
    body: SecretBytes = attrs.field(factory=SecretBytes, converter=SecretBytes, repr=redacted)

    def json_object(self) -> SecretDict | None:
        """Return the body as a JSON object; None if it is not one, or if ``Content-Type`` is not JSON."""
        if not _is_json(self.headers.get("Content-Type", "")):
            return None
        try:
            value = _DECODER.decode(self.body.decode())
        except (ValueError, RecursionError):
            return None
        return SecretDict(value) if isinstance(value, dict) else None

    def require_json_object(self) -> SecretDict:
        """Return the body as a JSON object; any other body raises :class:`MalformedAnswer`."""
        value = self.json_object()
        if value is None:
            raise MalformedAnswer("the answer is not a JSON object", status=self.status)
        return value

    def __repr__(self) -> str:
        return f"<HttpResponse {self.status}, {len(self.body)} bytes>"


def read_json(data: str | bytes) -> object:
    """Return what JSON text holds; None if it is not JSON."""
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value


def read_segment(segment: str) -> object:
    """Return what a segment of a JWT holds, whatever its padding; None if it is not JSON in base64url."""
    try:
        return read_json(urlsafe_b64decode(segment + "=="))
    except ValueError:
        return None


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _refuse_constant(name: str) -> NoReturn:
    # RFC 8259 §6 has no NaN and no Infinity; Python's decoder accepts them by default.
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
