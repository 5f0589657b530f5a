"""What would run, for people: no secret, and no URL of a store, which may have a password."""

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
        yield f"{name:<22} {plain(_shown(name, value))}  ({plain(source)})"


def _shown(name: str, value: object) -> str:
    if name == "store":
        return MEMORY if value == MEMORY else "Redis"
    if isinstance(value, dict):
        return ", ".join(f"{key}={'none' if limit is None else limit}" for key, limit in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(_item, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _item(item: object) -> str:
    return f"{item['prefix']} to {item['url']}" if isinstance(item, dict) else str(item)
