"""Bodies: requests read without trust, responses written as JSON.

A request's body is an object of parameters or a refusal, never another exception.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp import web

from passwordless_async.testing.checks.compact import read_json
from passwordless_async.testing.refusals import bad_start, invalid_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.testing.refusals import Refusal

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749 §5.1
_SHAPES = {
    "error": ("error", "error_description"),
    "code": ("code", "description"),
    "errorCode": ("errorCode", "message"),
}
_MAX_FIELDS = 100


def token_parameters(content_type: str, body: bytes) -> Mapping[str, str]:
    """Return the parameters of a token request, sent as a form or as JSON of strings, none twice (RFC 6749 §3.2)."""
    readers = {"application/json": _json_parameters, "application/x-www-form-urlencoded": _form_parameters}
    if content_type not in readers:
        raise invalid_request("The body must be a form or JSON")
    return readers[content_type](body)


def _json_parameters(body: bytes) -> Mapping[str, str]:
    members = _json_object(body)
    if members is None or not all(isinstance(value, str) for value in members.values()):
        raise invalid_request("The body must be a JSON object of strings")
    return _with_value(members)


def _form_parameters(body: bytes) -> Mapping[str, str]:
    try:
        # RFC 6749 appendix B: application/x-www-form-urlencoded in UTF-8, whatever charset the header names.
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise invalid_request("The form cannot be read") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise invalid_request("A parameter occurs more than once")
    return _with_value(parameters)


def _with_value(parameters: Mapping[str, str]) -> Mapping[str, str]:
    # RFC 6749 §3.2: "Parameters sent without a value MUST be treated as if they were omitted".
    return {name: value for name, value in parameters.items() if value}


def start_parameters(body: bytes) -> Mapping[str, Any]:
    """Return the members of a start request, or refuse a body that is not a JSON object."""
    members = _json_object(body)
    if members is None:
        raise bad_start("request", "the body must be a JSON object")
    return members


def json_parameters(body: bytes) -> Mapping[str, Any]:
    """Return the members of a request, or refuse a body that is not a JSON object."""
    members = _json_object(body)
    if members is None:
        raise invalid_request("The body must be a JSON object")
    return members


def _json_object(body: bytes) -> dict[str, Any] | None:
    """Return the members of an object; those that are null count as absent."""
    try:
        members = read_json(body)
    except ValueError:
        return None
    return without_null(members) if isinstance(members, dict) else None


def without_null(members: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the members that are null."""
    return {name: value for name, value in members.items() if value is not None}


def json_response(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON response that no cache stores."""
    return web.Response(
        body=json.dumps(body, separators=(",", ":")).encode(),
        status=status,
        headers={**NO_STORE, **(headers or {})},
        content_type="application/json",
    )


def refusal_response(refusal: Refusal, shape: str = "error") -> web.Response:
    """Return a refusal as a response, in one of the documented shapes."""
    code, description = refusal.members or _SHAPES[shape]
    body = {code: refusal.error, description: refusal.description, **refusal.more}
    return json_response(body, status=refusal.status, headers=refusal.headers)
