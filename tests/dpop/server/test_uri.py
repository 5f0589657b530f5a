"""RFC 3986 normalisation, by its laws and against the standard's own algorithm written out."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from passwordless_async.dpop.server.uri import normalize, normalize_path, path_of

UNRESERVED = "ABCXYZabcxyz0189-._~"
RESERVED = "!$&'()*+,;=:@"
ESCAPES = [f"%{code:02X}" for code in (0x00, 0x20, 0x25, 0x2F, 0x3F, 0x40, 0x5C, 0x7F, 0xC3, 0xFF)]
segments = st.lists(st.sampled_from([*UNRESERVED, *RESERVED, *ESCAPES]), max_size=6).map("".join)
paths = st.lists(segments | st.sampled_from([".", ".."]), max_size=6).map(lambda parts: "/" + "/".join(parts))
urls = paths.map(lambda path: f"https://api.example{path}")


def by_the_standard(path: str) -> str:
    """Remove dot segments as RFC 3986 §5.2.4 writes it, step by step."""
    output = ""
    while path:
        if path.startswith("/./"):
            path = path[2:]
        elif path == "/.":
            path = "/"
        elif path.startswith("/../"):
            path, output = path[3:], output.rpartition("/")[0]
        elif path == "/..":
            path, output = "/", output.rpartition("/")[0]
        else:
            match = re.match(r"/?[^/]*", path)
            assert match is not None
            segment = match[0]
            path, output = path[len(segment) :], output + segment
    return output


@given(st.lists(st.sampled_from(["a", "b", "", ".", "..", "...", ".a"]), max_size=8))
@example(["a", "b", "c", ".", "..", "..", "g"])
def test_dot_segments(parts: list[str]) -> None:
    """RFC 3986 §5.2.4: dot segments go as the standard's algorithm says."""
    path = "/" + "/".join(parts)
    assert normalize_path(path) == by_the_standard(path)


@given(urls)
def test_is_idempotent(url: str) -> None:
    """A normal form is its own normal form."""
    normal = normalize(url)
    assert normal is not None
    assert normalize(normal) == normal


@given(urls, st.data())
def test_equivalent_spellings(url: str, data: st.DataObject) -> None:
    """RFC 3986 §6.2.2: escaping an unreserved character, or the case of an escape, changes nothing."""
    spelled = "".join(
        f"%{ord(character):02x}" if character in UNRESERVED and data.draw(st.booleans()) else character
        for character in url[len("https://api.example") :]
        if character != "%"
    )
    plain = url[len("https://api.example") :].replace("%", "")
    assert normalize_path(spelled) == normalize_path(plain)
    lowered = re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), url)
    assert normalize(lowered) == normalize(url)


@given(urls, st.sampled_from(["HTTPS://api.example", "https://API.EXAMPLE:443", "https://Api%2eexample:"]))
def test_equivalent_authorities(url: str, authority: str) -> None:
    """RFC 3986 §6.2.2.1, §6.2.3: case of scheme and host, and the default port, change nothing."""
    assert normalize(authority + url[len("https://api.example") :]) == normalize(url)


@given(urls, st.text(max_size=5), st.booleans())
def test_query_and_fragment_do_not_count(url: str, text: str, query: bool) -> None:  # noqa: FBT001 - drawn
    """RFC 9449 §4.3 (9): query and fragment are left out."""
    assert normalize(f"{url}{'?' if query else '#'}{text}") == normalize(url)


@given(segments.filter(bool), segments, st.sampled_from(sorted({*RESERVED, "/"})))
def test_reserved_characters_are_not_their_escapes(before: str, after: str, reserved: str) -> None:
    """RFC 3986 §2.2: a reserved character and its escape are different URLs."""
    escaped = f"%{ord(reserved):02X}"
    assert normalize_path(f"/x{before}{reserved}{after}x") != normalize_path(f"/x{before}{escaped}{after}x")


@given(segments)
def test_trailing_slash_counts(segment: str) -> None:
    """A path and the path with a slash after it are different URLs."""
    assert normalize_path(f"/x{segment}") != normalize_path(f"/x{segment}/")


@given(st.text() | st.text("htps:/@[]%.?#aA1", max_size=20))
def test_never_raises(text: str) -> None:
    """Any text has a normal form or none; nothing raises."""
    for read in (normalize, normalize_path, path_of):
        assert isinstance(read(text), str | None)
    for prefix in ("https://", "/", "https://api.example/", "https://api.example:"):
        assert isinstance(normalize(prefix + text), str | None)


def test_examples_of_the_standard() -> None:
    """RFC 3986 §6.2.2: the standard's own example, and the ways that §6.2.3 spells a root."""
    assert normalize("HTTP://a/./b/../b/%63/%7bfoo%7d") == "http://a/b/c/%7Bfoo%7D"
    for url in ("http://example.com", "http://example.com/", "http://example.com:/", "http://example.com:80/"):
        assert normalize(url) == "http://example.com/"


def test_what_has_no_normal_form() -> None:
    """RFC 3986 §2: beyond ASCII there is no URL, and a letter that folds into ASCII is not that letter."""
    assert normalize("https://\u212aelvin.example/") is None
    assert normalize_path("/\u00e9") is None
    assert normalize("https://api.example/%zz") is None
    assert normalize("https://api%zz.example/") is None
