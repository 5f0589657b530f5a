"""Docstrings of attributes and properties are sentences.

Napoleon takes what is before the first colon of such a docstring for a type: of "Whether it is open: a closed one
answers nothing" it would make the text "a closed one answers nothing" and the type "Whether it is open". No docstring
of the package names a type so, as the annotations do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

_KINDS = {"attribute", "data", "property"}
_BEFORE_NAPOLEON = 400  # which has Sphinx's default, 500


def keep_colon(_app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Put an empty comment first: Napoleon looks for a type in the first line alone."""
    if what in _KINDS and lines:
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Come before Napoleon."""
    app.connect("autodoc-process-docstring", keep_colon, priority=_BEFORE_NAPOLEON)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
