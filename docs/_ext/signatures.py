"""Defaults in signatures, by the name that a caller would write.

Sphinx writes what a default is made of: ``Budgets(starts_per_address=100, ...)`` over a screen, and
``<built-in function time>``. Here they are ``Budgets()``, ``INTERACTIVE`` and ``time.time``.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import attrs
from sphinx.util.inspect import object_description

import passwordless_async

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

_PUBLIC = {name: getattr(passwordless_async, name) for name in vars(passwordless_async)["__all__"]}


def shorten(
    _app: Sphinx, _what: str, _name: str, obj: object, _options: object, text: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Replace the defaults that have a shorter name."""
    if text is None or not callable(obj):
        return None
    for default in _defaults(obj):
        short = short_name(default)
        if short is not None:
            text = text.replace(object_description(default), short)
    return text, returned


def _defaults(of: object) -> Iterator[object]:
    try:
        parameters = inspect.signature(of).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return
    yield from (each.default for each in parameters if each.default is not each.empty)


def short_name(default: object) -> str | None:
    """Return the shorter name of a default; None if it has none."""
    if inspect.isroutine(default):
        is_own = default.__module__.startswith(passwordless_async.__name__)
        return default.__name__ if is_own else f"{default.__module__}.{default.__name__}"
    kind = type(default)
    if not attrs.has(kind):
        return None
    named = (name for name, value in _PUBLIC.items() if value is default)
    return next(named, f"{kind.__name__}()" if _is_plain(default) else None)


def _is_plain(default: object) -> bool:
    """Return whether it is what its class gives without arguments."""
    needs = (each for each in attrs.fields(type(default)) if each.init and each.default is attrs.NOTHING)
    return not any(needs) and default == type(default)()


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect to what autodoc offers."""
    app.connect("autodoc-process-signature", shorten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
