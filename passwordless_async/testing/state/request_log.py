"""The requests as the tenant read them, secrets included, for tests."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload
from urllib.parse import parse_qsl

import attrs

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy


@attrs.frozen(repr=False)
class RecordedRequest:
    """One request; its repr shows method, path and status only.

    Attributes:
        method: The method as sent.
        path: The path, percent-encoded as sent, without the query.
        headers: The headers; a name may occur more than once, in any case.
        body: The body; empty where a fault dropped the connection before it was read.
        at: When it arrived, in seconds since the UNIX epoch.
        status: The response's status; None while it is pending, and where the connection was dropped.
    """

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    at: float
    status: int | None = None

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def proof(self) -> str | None:
        """The DPoP proof, or None."""
        return self.headers.get("DPoP")

    def __repr__(self) -> str:
        return f"<RecordedRequest {self.method} {self.path} {self.status or 'unanswered'}>"


class RequestLog(Sequence[RecordedRequest]):
    """The newest requests in the order of their arrival."""

    def __init__(self, max_requests: int) -> None:
        self._max_requests = max_requests
        self._added = 0
        self._requests: OrderedDict[int, RecordedRequest] = OrderedDict()

    def to(self, path: str) -> list[RecordedRequest]:
        """Return the requests to a path."""
        return [request for request in self._requests.values() if request.path == path]

    def clear(self) -> None:
        """Forget the requests so far."""
        self._requests.clear()

    def add(self, request: RecordedRequest) -> int:
        """Store a request and return its number for :meth:`note`."""
        self._added += 1
        self._requests[self._added] = request
        if len(self._requests) > self._max_requests:
            self._requests.popitem(last=False)
        return self._added

    def note(self, number: int, **changes: object) -> None:
        """Change attributes of a request, if it is still stored."""
        request = self._requests.get(number)
        if request is not None:
            self._requests[number] = attrs.evolve(request, **changes)  # type: ignore[arg-type] # attributes by name

    def __len__(self) -> int:
        return len(self._requests)

    @overload
    def __getitem__(self, index: int) -> RecordedRequest: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordedRequest]: ...
    def __getitem__(self, index: int | slice) -> RecordedRequest | list[RecordedRequest]:
        """Return a stored request by its index, or several."""
        return list(self._requests.values())[index]

    def __repr__(self) -> str:
        return f"<RequestLog of {len(self)}>"
