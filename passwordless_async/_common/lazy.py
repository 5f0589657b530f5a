"""Names of a package that are imported when they are first used (PEP 562).

``import passwordless_async`` loads this module, so it imports nothing slow.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def module_of(package: str, names: Mapping[str, str]) -> dict[str, str]:
    """Return the module of each name; ``names`` has a package's modules, each with its names."""
    return {name: f"{package}.{module}" for module, given in names.items() for name in given.split()}


def lazy(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and the ``__dir__`` of a package that is being imported.

    ``modules`` has the module of each name; a name may be a submodule.
    """
    module = sys.modules[package]

    def getattr_(name: str) -> object:
        source = modules.get(name)
        if source is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        # Stored, so that the next look-up does not call this. Threads that race here find the same object.
        owner = import_module(source)
        value: object = getattr(owner, name) if hasattr(owner, name) else import_module(f"{source}.{name}")
        vars(module)[name] = value
        return value

    def dir_() -> list[str]:
        return sorted({*vars(module), *modules})

    return getattr_, dir_
