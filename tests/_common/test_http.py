"""Requests and answers as values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from passwordless_async import MalformedAnswer, NotSent
from passwordless_async._common.base64url import encode_text
from passwordless_async._common.http import HttpRequest, HttpResponse, read_segment_leniently, run_flow
from passwordless_async._common.secret import Secret, SecretBytes, SecretDict

if TYPE_CHECKING:
    from collections.abc import Generator

SETTINGS = settings(max_examples=100, deadline=None)
JSON = "application/json"
# RFC 8259 knows no NaN; two numbers of one value are two texts.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def answer(body: bytes, content_type: str | None = JSON, status: int = 200) -> HttpResponse:
    """Return an answer."""
    return HttpResponse(status, CIMultiDict({} if content_type is None else {"Content-Type": content_type}), body)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "APPLICATION/JSON",
        " application/json ",
        "application/problem+json",
        "application/jwk-set+json; a=b",
        None,
        "",
        "text/json",
        "text/plain; charset=utf-8",
    ],
)
def test_json_by_any_of_its_names(content_type: str | None) -> None:
    """JSON is read whatever parameters, case or suffix its name has, as a text, and without a name."""
    assert answer(b'{"a":1}', content_type).json_object() == {"a": 1}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "application/jsonp",
        "application/x-json-not",
        "image/svg+json",
        "application/jwt",
    ],
)
def test_json_by_another_name_is_none(content_type: str) -> None:
    """A body that says that it is something else is not taken for JSON: a proxy's page may look like anything."""
    assert answer(b'{"a":1}', content_type).json_object() is None
    assert answer(b'{"a":1}', content_type).json_of_any_type() == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"1",
        b'"a"',
        b"{",
        b'{"a":1',
        b'{"a":1}x',
        b"{'a':1}",
        b'{"a":"\xff"}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"9" * 10_000 + b"}",
        b'{"a":"\x00"}',
    ],
)
def test_what_is_no_json_object_is_none(body: bytes) -> None:
    """Whatever comes back, it is an object or none: nothing raises."""
    assert answer(body).json_object() is None
    with pytest.raises(MalformedAnswer) as refused:
        answer(body, status=202).require_json_object()
    assert (refused.value.status, str(refused.value)) == (202, "the answer is not a JSON object (status 202)")
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":NaN,"b":Infinity,"c":-Infinity,"d":1}', {"a": None, "b": None, "c": None, "d": 1}),
    ],
)
def test_what_some_servers_write(body: bytes, expected: dict[str, object]) -> None:
    """RFC 8259 §8.1: a byte order mark may be ignored; a number that JSON does not have is none."""
    assert answer(body).json_object() == expected


def test_arrays() -> None:
    """An array is read too, and prints as redacted."""
    read = answer(b'["marker"]').json_value()
    assert (read, repr(read), answer(b"1").json_value()) == (["marker"], "<redacted>", None)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000.0),
        ("Tue Nov 14 22:13:20 2023", 1_700_000_000.0),
        ("", None),
        ("soon", None),
        ("Tue, 99 Nov 2023 22:13:20 GMT", None),
    ],
)
def test_the_servers_clock(date: str, expected: float | None) -> None:
    """RFC 9110 §6.6.1: when the response was made, by its Date; what cannot be read says nothing."""
    assert HttpResponse(200, CIMultiDict({"Date": date})).date == expected
    assert HttpResponse(200).date is None


@pytest.mark.parametrize(("status", "expected"), [(199, False), (200, True), (299, True), (300, False)])
def test_successes(status: int, expected: bool) -> None:  # noqa: FBT001 - a row
    """2xx is a success."""
    assert HttpResponse(status).is_success == expected


@pytest.mark.parametrize("form", ["{0}{1}", "{0}{1}=", " {0}{1}", "{0}{1}\n", "{0} {1}"])
def test_the_lenient_reader_forgives_padding_and_blanks(form: str) -> None:
    """RFC 7515 §2 has neither; what is not checked may be read."""
    segment = encode_text(b'{"a":"x"}')
    assert read_segment_leniently(form.format(segment[:4], segment[4:])) == {"a": "x"}


@SETTINGS
@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_an_object_is_read_as_it_was_written(value: dict[str, object]) -> None:
    """Every JSON object is read as Python's own decoder reads it."""
    assert value == answer(json.dumps(value).encode()).require_json_object()


@SETTINGS
@given(st.binary(max_size=64))
def test_no_bytes_raise(body: bytes) -> None:
    """Any bytes are an object or none."""
    assert isinstance(answer(body).json_object(), dict | None)


def test_an_object_is_hidden() -> None:
    """The members of an answer may be tokens: the object prints redacted, and so does the body."""
    response = answer(b'{"access_token":"marker"}')
    assert isinstance(response.json_object(), SecretDict)
    assert isinstance(response.body, SecretBytes)
    assert repr(response.json_object()) == repr(response.body) == "<redacted>"


def test_an_answer_prints_its_status_and_size() -> None:
    """The repr of an answer shows neither header fields nor body."""
    response = HttpResponse(200, CIMultiDict({"Set-Cookie": "marker"}), b"marker")
    assert repr(response) == "<HttpResponse 200, 6 bytes>"
    assert repr(HttpResponse(204)) == "<HttpResponse 204, 0 bytes>"


def test_a_request_prints_where_it_goes() -> None:
    """The repr of a request shows neither query nor header fields nor body."""
    url = URL("https://u:marker@Tenant.example/oauth/token?code=marker#marker")
    request = HttpRequest("POST", url, {"Authorization": "marker"}, SecretBytes(b"marker"), (Secret("marker"),))
    assert repr(request) == "<HttpRequest POST https://tenant.example/oauth/token>"


def test_a_header_field_is_added_to_a_copy() -> None:
    """A request with a proof is another request: the one without stays as it was."""
    request = HttpRequest("POST", URL("https://tenant.example/"), {"A": "1"}, SecretBytes(b"x"), (Secret("s"),))
    proven = request.with_header("DPoP", "proof")
    assert request.headers == {"A": "1"}
    assert proven.headers == {"A": "1", "DPoP": "proof"}
    assert (request.method, request.url, request.body, request.secrets, request.shareable) == (
        proven.method,
        proven.url,
        proven.body,
        proven.secrets,
        proven.shareable,
    )


def test_a_request_is_bare_unless_told() -> None:
    """Body, secrets and sharing have to be asked for."""
    request = HttpRequest("GET", URL("https://tenant.example/"), {})
    assert (request.body, request.secrets, request.shareable) == (b"", (), False)


def test_transmissions_are_not_compared() -> None:
    """Two transmissions of the same words are two: equality is identity."""
    one, two = (HttpRequest("GET", URL("https://tenant.example/"), {}) for _ in range(2))
    assert one != two
    assert HttpResponse(200) != HttpResponse(200)
    assert len({one, two}) == 2


@pytest.mark.parametrize("value", [HttpRequest("GET", URL("https://tenant.example/"), {}), HttpResponse(200)])
def test_transmissions_cannot_be_changed(value: object) -> None:
    """What flows is frozen."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.body = b""  # type: ignore[attr-defined]


def test_header_fields_are_matched_without_regard_to_case() -> None:
    """The header of an answer says its type in any case."""
    assert HttpResponse(200, CIMultiDict({"content-TYPE": JSON}), b'{"a":1}').json_object() == {"a": 1}


async def test_a_flow_is_sent_each_response_or_error() -> None:
    """In the order of its requests; its result is returned, and it is closed."""
    ended = []

    def flow() -> Generator[HttpRequest, HttpResponse, list[object]]:
        seen: list[object] = []
        try:
            for path in ("/good", "/bad", "/good"):
                try:
                    seen.append((yield HttpRequest("GET", URL(f"https://a.example{path}"), {})).status)
                except NotSent as error:
                    seen.append(str(error))
            return seen
        finally:
            ended.append(True)

    async def send(request: HttpRequest) -> HttpResponse:
        if request.url.path == "/bad":
            raise NotSent("no route")
        return answer(b"{}")

    assert (await run_flow(flow(), send), ended) == ([200, "no route", 200], [True])


async def test_a_flow_raises_what_it_does_not_handle() -> None:
    """An error of its own, one of the sending, and a foreign one, after which it is closed."""
    ended = []

    def flow() -> Generator[HttpRequest, HttpResponse, None]:
        try:
            yield HttpRequest("GET", URL("https://a.example/"), {})
        finally:
            ended.append(True)

    async def refuse(_request: HttpRequest) -> HttpResponse:
        raise NotSent("no route")

    async def fail(_request: HttpRequest) -> HttpResponse:
        raise LookupError

    with pytest.raises(NotSent, match="no route"):
        await run_flow(flow(), refuse)
    with pytest.raises(LookupError):
        await run_flow(flow(), fail)
    assert ended == [True, True]
