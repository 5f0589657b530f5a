"""An HTTP request and its response as values: flows build and read them, the transport sends them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from codecs import BOM_UTF8
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import attrs
from multidict import CIMultiDict, MultiMapping

from passwordless_async._common.secret import Secret, SecretBytes, SecretDict, SecretList, always_printable, redacted
from passwordless_async.errors import MalformedAnswer, PasswordlessError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping

    from yarl import URL

T = TypeVar("T")


@attrs.frozen(repr=False, eq=False)
class HttpRequest:
    """One transmission; the method is in the case to send, the URL absolute, the body encoded.

    Args:
        secrets: The secrets in it; they are removed from error texts in which the server echoes them.
        shareable: Whether two equal requests in flight may share one response (a plain GET of public data).
        delay: Seconds to wait before it is sent; a shared response is that of a request with the same delay.
    """

    method: str
    url: URL
    headers: Mapping[str, str] = attrs.field(repr=redacted)
    body: SecretBytes = attrs.field(factory=SecretBytes, repr=redacted)
    secrets: tuple[Secret, ...] = attrs.field(default=(), repr=redacted)
    shareable: bool = False
    delay: float = 0.0

    def with_header(self, name: str, value: str) -> HttpRequest:
        """Return the same request with one more header field."""
        headers = {**self.headers, name: value}
        return HttpRequest(self.method, self.url, headers, self.body, self.secrets, self.shareable, self.delay)

    def __repr__(self) -> str:
        return f"<HttpRequest {self.method} {self.url.origin()}{self.url.raw_path}>"


@always_printable
@attrs.frozen(repr=False, eq=False)
class HttpResponse:
    """One response, read to its end; the names of header fields are case-insensitive, the transport bounds the body.

    Args:
        unreadable: Why the body could not be read, such as "is over 10 bytes"; then there is none. Status and header
            fields are still used: a 429 is one, whatever its body is.
    """

    status: int
    headers: MultiMapping[str] = attrs.field(factory=CIMultiDict, repr=redacted)
    body: SecretBytes = attrs.field(factory=SecretBytes, converter=SecretBytes, repr=redacted)
    unreadable: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is no body, or only blanks; an unreadable one is not empty."""
        return not self.unreadable and not self.body.strip()

    @property
    def is_success(self) -> bool:
        """Whether the status is a success (2xx)."""
        return _OK <= self.status < _MULTIPLE_CHOICES

    @property
    def date(self) -> float | None:
        """When the server made the response, by its own clock: seconds since the UNIX epoch (RFC 9110 §6.6.1).

        None if it does not say.
        """
        return http_date(self.headers.get("Date", "").strip())

    def json_value(self) -> SecretDict | SecretList | None:
        """Return the body as a JSON object or array; None if it is neither, or if ``Content-Type`` denies it."""
        return self.json_of_any_type() if _may_be_json(self.headers.get("Content-Type", "")) else None

    def json_of_any_type(self) -> SecretDict | SecretList | None:
        """Return the body as a JSON object or array, whatever ``Content-Type`` says; None if it is neither."""
        try:
            # RFC 8259 §8.1: a byte order mark may be ignored.
            value = _DECODER.decode(self.body.removeprefix(BOM_UTF8).decode())
        except (ValueError, RecursionError):
            return None
        if isinstance(value, list):
            return SecretList(value)
        return SecretDict(value) if isinstance(value, dict) else None

    def json_object(self) -> SecretDict | None:
        """Return the body as a JSON object; None if it is not one."""
        value = self.json_value()
        return value if isinstance(value, SecretDict) else None

    def require_json_object(self) -> SecretDict:
        """Return the body as a JSON object; any other body raises :class:`MalformedAnswer`."""
        value = self.json_object()
        if value is None:
            raise MalformedAnswer(f"the answer {self.unreadable or 'is not a JSON object'}", status=self.status)
        return value

    def __repr__(self) -> str:
        return f"<HttpResponse {self.status}, {len(self.body)} bytes>"


@lru_cache(maxsize=16)  # each second's responses have the same date
def http_date(value: str) -> float | None:
    """Return the seconds since the UNIX epoch of an HTTP date; None if it is none."""
    try:
        date = parsedate_to_datetime(value)
        # The asctime form has no zone and means UTC (RFC 9110 §5.6.7); Python would read it as local time.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def read_segment_leniently(segment: str) -> SecretDict | None:
    """Return the JSON object of a JWT's segment, whatever its padding or encoding; None if it is not one."""
    try:
        value = json.loads(urlsafe_b64decode(segment + "=="))
    except (ValueError, RecursionError):
        return None
    return SecretDict(value) if isinstance(value, dict) else None


def _may_be_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    # Some servers send no type, or text/plain for JSON; an HTML page is not read as tokens.
    return media_type in {"", "application/json", "text/json", "text/plain"} or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


# Named once: in Python 3.11 naming a member of an enumeration takes 0.3 µs, and each response is looked at.
_OK, _MULTIPLE_CHOICES = int(HTTPStatus.OK), int(HTTPStatus.MULTIPLE_CHOICES)
_DECODER = json.JSONDecoder(parse_constant=lambda _name: None)


async def run_flow(
    flow: Generator[HttpRequest, HttpResponse, T], send: Callable[[HttpRequest], Awaitable[HttpResponse]]
) -> T:
    """Run a flow to its end: send each request, and pass the flow the response or error. Raises what the flow raises.

    It sends each request once. The client's own requests use its dispatcher, which decides about retries.
    """
    try:
        request = next(flow)
        while True:
            try:
                response = await send(request)
            except PasswordlessError as error:
                request = flow.throw(error.with_traceback(None))
            else:
                request = flow.send(response)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        flow.close()
