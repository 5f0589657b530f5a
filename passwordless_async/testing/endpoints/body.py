"""Reading request bodies without trust: an object of parameters, or a refusal, never another exception."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from passwordless_async.testing.endpoints.answers import bad, invalid_request

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_FIELDS = 100


def token_parameters(content_type: str, body: bytes) -> Mapping[str, str]:
    """Return the parameters of a token request, sent as a form or as JSON.

    Raises:
        Refused: It is neither, a parameter stands twice (RFC 6749 §3.2), or a value is no text.
    """
    if content_type == "application/json":
        members = json_object(body)
        if members is None or not all(isinstance(value, str) for value in members.values()):
            raise invalid_request("The body must be a JSON object of strings")
        return members
    if content_type != "application/x-www-form-urlencoded":
        raise invalid_request("The body must be a form or JSON")
    try:
        # RFC 6749 appendix B: application/x-www-form-urlencoded in UTF-8, whatever charset the header names.
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise invalid_request("The form cannot be read") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise invalid_request("A parameter stands more than once")
    # RFC 6749 §3.2: "Parameters sent without a value MUST be treated as if they were omitted".
    return {name: value for name, value in parameters.items() if value}


def start_parameters(body: bytes) -> Mapping[str, Any]:
    """Return the members of a start request.

    Raises:
        Refused: The body is no JSON object.
    """
    members = json_object(body)
    if members is None:
        raise bad("request", "the body must be a JSON object")
    return members


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return a JSON object, or None where the bytes hold none that can be written back as UTF-8."""
    try:
        members = json.loads(body)
        # A lone surrogate ("\\ud800") is legal JSON and cannot be encoded: refused here, not wherever it ends up.
        json.dumps(members, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None
