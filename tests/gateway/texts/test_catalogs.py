"""Languages and texts."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async.gateway import Texts
from passwordless_async.gateway.texts.catalogs import built_in

TEXTS = Texts().with_catalogs(
    {"de": {"page": {"sign_in": "Anmelden"}}, "pt-BR": {}, "nl": {"page": {"sign_in": "Inloggen"}}}
)
FACTS = re.compile(r"{(\w+)}")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH, fr;q=0.9", "de"),
        ("fr;q=0.2, de;q=0.9", "de"),
        ("DE", "de"),
        ("pt-br", "pt-BR"),
        ("xx, fr", "fr"),
        ("de;q=0, fr", "fr"),
        ("de;q=x, fr;q=0.1", "fr"),
        ("*", "en"),
        ("de;q=nan", "en"),
        ("a" * 1000, "en"),
    ],
)
def test_accept_language(header: str, language: str) -> None:
    """The most wanted that there is (RFC 9110 §12.5.4)."""
    headers = CIMultiDictProxy(CIMultiDict({"Accept-Language": header}))
    assert TEXTS.language_of(headers) == language
    assert TEXTS.language_of(headers, None, "fr") == "fr"
    assert TEXTS.language_of(headers, "xx") == language


def test_texts() -> None:
    """A key that a language lacks is English; one that none has is itself; facts stand in it."""
    assert TEXTS.get("de", "page", "sign_in") == "Anmelden"
    assert TEXTS.get("nl", "page", "sign_in") == "Inloggen"
    assert TEXTS.get("nl", "page", "sign_out") == "Sign out"
    assert TEXTS.get("nl", "page", "nothing") == "nothing"
    assert TEXTS.get("en", "page", "attempts_left", {"count": 2}) == "Attempts left: 2"
    assert TEXTS.get("en", "page", "home_as", {"user": "{brand}"}) == "Signed in as {brand}"
    assert "sign_in" in Texts().catalogs["en"]["page"]


@pytest.mark.parametrize("language", sorted(built_in()))
def test_languages_are_complete(language: str) -> None:
    """Each has every key of English, and names the same facts."""
    catalogs = built_in()
    for section, texts in catalogs["en"].items():
        other = catalogs[language][section]
        assert other.keys() == texts.keys()
        assert {key: set(FACTS.findall(text)) for key, text in other.items()} == {
            key: set(FACTS.findall(text)) for key, text in texts.items()
        }


def test_every_key_of_a_page_is_in_the_catalog() -> None:
    """As templates name them."""
    folder = resources.files("passwordless_async.gateway.pages") / "templates"
    named = {key for file in folder.iterdir() for key in re.findall(r'\bt\("(\w+)"[,)]', file.read_text("utf-8"))}
    assert named - built_in()["en"]["page"].keys() == set()
