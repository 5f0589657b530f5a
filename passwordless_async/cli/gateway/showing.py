"""Shows the settings to people: no secret, and no URL of a store, which may have a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.cli.gateway.settings import MEMORY, SETTINGS
from passwordless_async.cli.terminal.show import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passwordless_async.cli.gateway.reading import Values


def lines(values: Values) -> Iterator[str]:
    """Yield a line for each setting that has a value, with where it came from."""
    for name in SETTINGS:
        value = values.of[name]
        if value is None or value == ():
            continue
        source = values.sources[name] if name in values.given else "default"
        yield f"{name:<22} {plain(_text_of(name, value))}  ({plain(source)})"


def _text_of(name: str, value: object) -> str:
    if name == "store":
        return MEMORY if value == MEMORY else "Redis"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_item(each)}" for key, each in value.items())
    return ", ".join(map(_item, value)) if isinstance(value, tuple) else _item(value)


def _item(item: object) -> str:
    match item:
        case None:
            return "none"
        case bool():
            return "on" if item else "off"
        case float():
            return f"{item:g}"
        case tuple():
            return " ".join(item)
        case dict():
            return f"{item['prefix']} to {item['url']}"
        case _:
            return str(item)
