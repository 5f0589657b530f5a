"""Names that are imported when they are first used: look-up, storage and listing."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from passwordless_async._common.lazy import lazy, module_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def package() -> Iterator[ModuleType]:
    """Return an empty package that is being imported."""
    module = ModuleType("package_of_this_test")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_a_name_is_imported_from_its_module_and_stored(package: ModuleType) -> None:
    """The second look-up finds the name in the package."""
    look_up, _ = lazy(package.__name__, {"sqrt": "math"})
    assert look_up("sqrt") is sys.modules["math"].sqrt
    assert vars(package)["sqrt"] is look_up("sqrt")


def test_a_name_may_be_a_submodule(package: ModuleType) -> None:
    """What the module does not have is imported below it."""
    look_up, _ = lazy(package.__name__, {"tool": "json"})
    assert look_up("tool") is sys.modules["json.tool"]


def test_an_unknown_name_is_an_attribute_error(package: ModuleType) -> None:
    """It names package and attribute, as that of any module."""
    look_up, _ = lazy(package.__name__, {"sqrt": "math"})
    with pytest.raises(AttributeError, match="has no attribute 'cube'") as missing:
        look_up("cube")
    assert (missing.value.name, missing.value.obj) == ("cube", package)


def test_names_are_listed_before_they_are_imported(package: ModuleType) -> None:
    """Editors find them."""
    _, listing = lazy(package.__name__, {"sqrt": "math", "tool": "json"})
    assert set(listing()) >= {"sqrt", "tool", "__name__"}
    assert listing() == sorted(listing())


def test_the_module_of_each_name() -> None:
    """By a table of modules, each with its names."""
    assert module_of("package", {"a": "One Two", "b.c": "Three"}) == {
        "One": "package.a",
        "Two": "package.a",
        "Three": "package.b.c",
    }
