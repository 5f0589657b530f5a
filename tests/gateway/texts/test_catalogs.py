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


def test_what_one_caller_changes_is_not_changed_for_others() -> None:
    """The files are read once; what is returned is the caller's own."""
    changed = built_in()
    changed["en"]["page"].clear()
    del changed["de"]
    assert built_in()["en"]["page"] != {}
    assert built_in().keys() - changed.keys() == {"de"}


@pytest.mark.parametrize("language", sorted(built_in()))
def test_languages_are_complete(language: str) -> None:
    """Each has every key of English, and names the same facts."""
    catalogs = built_in()
    assert catalogs[language].keys() == catalogs["en"].keys()
    for section, texts in catalogs["en"].items():
        other = catalogs[language][section]
        assert other.keys() == texts.keys()
        assert {key: set(FACTS.findall(text)) for key, text in other.items()} == {
            key: set(FACTS.findall(text)) for key, text in texts.items()
        }


@pytest.mark.parametrize("language", sorted(built_in()))
def test_one_word_for_one_thing(language: str) -> None:
    """A text of a language does not call by a second name what all its others call by the first."""
    others = {
        "es": ["soporte"],
        "fr": ["'"],  # typed with U+2019
        "ja": ["サインイン"],
        "pt": ["Contacte o apoio", "link "],
    }
    texts = [text for section in built_in()[language].values() for text in section.values()]
    assert [text for text in texts for other in others.get(language, []) if other in text] == []


def test_every_key_of_a_page_is_in_the_catalog() -> None:
    """As templates name them."""
    folder = resources.files("passwordless_async.gateway.pages") / "templates"
    named = {key for file in folder.iterdir() for key in re.findall(r'\bt\("(\w+)"[,)]', file.read_text("utf-8"))}
    assert named - built_in()["en"]["page"].keys() == set()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (59.5, "1 minute"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (3540, "59 minutes"),
        (3541, "1 hour"),
        (3600, "1 hour"),
        (3601, "2 hours"),
        (86_400, "24 hours"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """As people say them, rounded up: who waits so long has waited long enough."""
    text = TEXTS.get("en", "problem", "too_many_requests", {"seconds": seconds})
    assert text == f"Too many requests. Please try again in {words}."


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", ["1 Sekunde", "30 Sekunden", "1 Minute", "5 Minuten", "1 Stunde", "2 Stunden"]),
        ("en", ["1 second", "30 seconds", "1 minute", "5 minutes", "1 hour", "2 hours"]),
        ("es", ["1 segundo", "30 segundos", "1 minuto", "5 minutos", "1 hora", "2 horas"]),
        ("fr", ["1 seconde", "30 secondes", "1 minute", "5 minutes", "1 heure", "2 heures"]),
        ("ja", ["1 秒", "30 秒", "1 分", "5 分", "1 時間", "2 時間"]),
        ("pt", ["1 segundo", "30 segundos", "1 minuto", "5 minutos", "1 hora", "2 horas"]),
    ],
)
def test_plural_forms(language: str, words: list[str]) -> None:
    """One is one, and many are many, in each text that says how long to wait."""
    for section, key in (("problem", "too_many_requests"), ("problem", "cooling_down"), ("page", "resend_in")):
        for seconds, each in zip((1, 30, 60, 300, 3600, 7200), words, strict=True):
            assert each in TEXTS.get(language, section, key, {"seconds": seconds})


def test_a_team_s_language_says_durations_its_way() -> None:
    """Forms for single numbers are its own; without any the English words stand in its text."""
    polish = {
        "problem": {"too_many_requests": "Za {wait}."},
        "duration": {"minutes": "{number} minut", "minutes_2": "2 minuty"},
    }
    texts = Texts().with_catalogs({"pl": polish, "nl": {"problem": {"too_many_requests": "Over {wait}."}}})
    told = [texts.get("pl", "problem", "too_many_requests", {"seconds": seconds}) for seconds in (120, 300)]
    assert told == ["Za 2 minuty.", "Za 5 minut."]
    assert texts.get("nl", "problem", "too_many_requests", {"seconds": 120}) == "Over 2 minutes."


@pytest.mark.parametrize("language", sorted(built_in()))
@pytest.mark.parametrize("key", ["too_many_requests", "upstream_busy"])
def test_an_unknown_time(language: str, key: str) -> None:
    """Then it is a moment, and no gap in the text."""
    assert TEXTS.get(language, "problem", key) == built_in()[language]["problem"][f"{key}_soon"]
