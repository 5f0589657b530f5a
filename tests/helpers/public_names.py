"""The public names of the package, and which of them have no docstring."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ADAPTERS = ("aiohttp_web", "asgi", "fastapi", "httpx2", "opentelemetry", "starlette")
MODULES = (
    *("passwordless_async", "passwordless_async.errors", "passwordless_async.client.events"),
    *("passwordless_async.dpop", "passwordless_async.stores", "passwordless_async.stores.redis"),
    *("passwordless_async.testing", "passwordless_async.gateway"),
    *(f"passwordless_async.adapters.{name}" for name in ADAPTERS),
)


def _names(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the public names of a module, without those of other modules."""
    listed = vars(module).get("__all__")
    for name in listed or vars(module):
        value = getattr(module, name)
        if listed or (inspect.isclass(value) and value.__module__ == module.__name__):  # the errors have no list
            yield name, value


def _public() -> dict[str, tuple[Any, list[str]]]:
    """Return each public object by one of its paths, with all paths; modules aside."""
    found: dict[object, tuple[Any, list[str]]] = {}
    for module in map(importlib.import_module, MODULES):
        path = module.__name__.replace(".client.events", ".events")
        for name, value in _names(module):
            if not inspect.ismodule(value):
                key = (name, value) if isinstance(value, str) else id(value)
                found.setdefault(key, (value, []))[1].append(f"{path}.{name}")
    return {paths[0]: (value, paths) for value, paths in found.values()}


PUBLIC = _public()


def undocumented(value: Any) -> list[str]:
    """Return what has no docstring: a class or function itself, and the public methods and properties of a class."""
    members = vars(value) if inspect.isclass(value) else {}
    documentable = (property, classmethod, staticmethod)
    lacking = [
        member
        for member, of in members.items()
        if not member.startswith("_") and (inspect.isroutine(of) or isinstance(of, documentable))
        if not inspect.getdoc(getattr(value, member))
    ]
    has_none = value.__module__ != "typing" and not inspect.getdoc(value)
    return [*([value.__name__] if has_none else []), *lacking]
