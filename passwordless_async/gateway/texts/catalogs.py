"""Choosing a language, and looking a text up in it.

Invariants:

- Every language has every key of English; a test compares them. A key that a team's own catalog lacks is English.
- A text is plain: values are inserted by name, and the page escapes the whole text.
- Waiting times are given in words and rounded up: in seconds, from a minute on in minutes, from an hour on in hours.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import attrs

from passwordless_async._common.secret import always_printable
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

FALLBACK = "en"
_MINUTE = 60  # seconds
_HOUR_MINUTES = 60
_LEVELS = 3  # language, section, key
_MAX_HEADER = 256  # characters of Accept-Language that are read
Catalog = dict[str, dict[str, str]]


def built_in() -> dict[str, Catalog]:
    """Return the catalogs of this library, by language; each caller gets its own copy."""
    return {
        language: {section: dict(texts) for section, texts in catalog.items()}
        for language, catalog in _read_catalogs().items()
    }


@lru_cache(maxsize=1)
def _read_catalogs() -> dict[str, Catalog]:
    files = (file for file in resources.files(__package__).iterdir() if file.name.endswith(".toml"))
    return {file.name.removesuffix(".toml"): tomllib.loads(file.read_text(encoding="utf-8")) for file in files}


def _catalogs(given: object) -> Mapping[str, Catalog]:
    checked = _checked_texts("catalogs", given)
    if FALLBACK not in checked:
        raise UsageError("catalogs", f"must have {FALLBACK}: its texts stand for those that a language lacks")
    return checked


def _checked_texts(argument: str, given: object) -> Mapping[str, Catalog]:
    if not _are_texts(given, _LEVELS):
        raise UsageError(argument, "must be a mapping of strings by language, section and key")
    return cast("Mapping[str, Catalog]", given)


def _are_texts(given: object, levels: int) -> bool:
    """Return whether texts are nested in this many levels of mappings."""
    if levels == 0:
        return isinstance(given, str)
    return isinstance(given, Mapping) and all(_are_texts(each, levels - 1) for each in given.values())


@always_printable
@attrs.frozen
class Texts:
    """The texts of all languages.

    Args:
        catalogs: Each language's texts, by section and key.

    Raises:
        UsageError: They are something else.
    """

    catalogs: Mapping[str, Catalog] = attrs.field(factory=built_in, converter=_catalogs)
    _by_tag: Mapping[str, str] = attrs.field(init=False, repr=False, eq=False)

    @_by_tag.default
    def _languages(self) -> Mapping[str, str]:
        return {language.lower(): language for language in self.catalogs}

    def with_catalogs(self, added: Mapping[str, Mapping[str, Mapping[str, str]]]) -> Texts:
        """Return the texts with some replaced, and with further languages.

        Raises:
            UsageError: They are not texts by language, section and key.
        """
        checked = _checked_texts("added", added)
        merged = {
            language: {section: dict(each) for section, each in self.catalogs[language].items()}
            for language in self.catalogs
        }
        for language, sections in checked.items():
            known = merged.setdefault(language, {})
            for section, texts in sections.items():
                known.setdefault(section, {}).update(texts)
        return Texts(merged)

    def get(self, language: str, section: str, key: str, facts: Mapping[str, Any] | None = None) -> str:
        """Return a text in a language, else in English; the key itself if there is none.

        The fact ``seconds`` is also available as ``{wait}``, in words. Without it, the text of the key with ``_soon``
        is used, if there is one.
        """
        named = dict(facts or {})
        keys = (key,) if "seconds" in named else (f"{key}_soon", key)
        for catalog in (self.catalogs.get(language, {}), self.catalogs[FALLBACK]):
            text = next(filter(None, (catalog.get(section, {}).get(each) for each in keys)), None)
            if text is not None:
                if "seconds" in named:
                    named["wait"] = self._wait(catalog, named["seconds"])
                return text.format_map(_Facts(named))
        return key

    def _wait(self, catalog: Catalog, seconds: float) -> str:
        """Return a duration in words."""
        unit, number = _rounded_duration(seconds)
        words = {**self.catalogs[FALLBACK]["duration"], **catalog.get("duration", {})}
        return words.get(f"{unit}_{number}", words[unit]).format(number=number)

    def language_of(self, headers: CIMultiDictProxy[str], *chosen: str | None) -> str:
        """Return the language of a response: the chosen one, else by ``Accept-Language`` (RFC 9110 §12.5.4)."""
        accepted = _accepted_tags(",".join(headers.getall("Accept-Language", []))[:_MAX_HEADER])
        return next(filter(None, map(self._nearest, [*filter(None, chosen), *accepted])), FALLBACK)

    def _nearest(self, tag: str) -> str | None:
        lower = tag.lower()
        return self._by_tag.get(lower) or self._by_tag.get(lower.partition("-")[0])


def _rounded_duration(seconds: float) -> tuple[str, int]:
    """Return a duration as people say it, rounded up: its unit, and how many of it."""
    whole = max(math.ceil(seconds), 1)
    if whole < _MINUTE:
        return "seconds", whole
    minutes = math.ceil(whole / _MINUTE)
    return ("minutes", minutes) if minutes < _HOUR_MINUTES else ("hours", math.ceil(minutes / _HOUR_MINUTES))


class _Facts(dict[str, Any]):
    def __missing__(self, _key: str) -> str:
        return ""


@lru_cache(maxsize=256)  # browsers of one language and version say the same
def _accepted_tags(text: str) -> tuple[str, ...]:
    """Return the tags of ``Accept-Language``, the most wanted first."""
    weighed = [entry.partition(";q=") for entry in text.replace(" ", "").split(",") if entry]
    wanted = sorted(((-_weight(q), tag) for tag, _, q in weighed if _weight(q) > 0), key=lambda entry: entry[0])
    return tuple(tag for _, tag in wanted)


def _weight(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
