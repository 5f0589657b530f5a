"""References to the package's names, wherever the code that they come from lies.

A docstring names what its module knows: ``TokenSet``, ``passwordless_async.auth0.tokens.TokenSet``. The site documents
each name once, by its public path. A reference to a name of the package that is documented nowhere is a warning; one to
another library's name is plain text, as the site links to no inventory of others.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment
    from sphinx.util.typing import ExtensionMetadata

PACKAGE = "passwordless_async"

_logger = logging.getLogger(__name__)


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: TextElement) -> Element | None:
    """Find the one documented object with the last part of the name; outside of the package, give up without a word."""
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"]
    objects = env.domains.python_domain.objects
    name, attribute = _parts(target)
    found = [full for full, entry in objects.items() if full.endswith(f".{name}") and not entry.aliased]
    full = next((full for full in found if full == target), found[0] if len({*found}) == 1 else None)
    if full is not None and attribute and f"{full}.{attribute}" in objects:
        full = f"{full}.{attribute}"
    if full is not None:
        entry = objects[full]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, [content], full)
    explicit = target.startswith(PACKAGE) and isinstance(content, nodes.literal)
    return None if explicit else content


def _parts(target: str) -> tuple[str, str]:
    """Return the name of the class or function, and that of its attribute."""
    parts = target.lstrip(".~").split(".")
    if len(parts) > 1 and parts[-2][:1].isupper():
        return parts[-2], parts[-1]
    return parts[-1], ""


def describe_data(_app: Sphinx, what: str, name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Take the docstring of a constant from the module that it is in."""
    if what == "data":
        lines[:] = _of_constant(name) or lines


def docstring_of(name: str) -> str:
    """Return the docstring of what a public path names; of a constant, that in the module that it is in."""
    value = object_of(name)
    if inspect.isroutine(value) or inspect.isclass(value):
        return inspect.getdoc(value) or ""
    return "\n".join(_of_constant(name))


def _of_constant(name: str) -> list[str]:
    owner, _, attribute = name.rpartition(".")
    value = object_of(name)
    places = [module for module_name, module in sys.modules.items() if module_name.startswith(f"{PACKAGE}.")]
    origins = [module.__name__ for module in places if vars(module).get(attribute, places) is value]
    for origin in origins:
        docs = ModuleAnalyzer.for_module(origin)
        docs.analyze()
        if found := docs.attr_docs.get(("", attribute)):
            return found
    _logger.warning("no docstring of %s below %s", name, owner)
    return []


def object_of(name: str) -> object:
    """Return what a public path names; a part of it may be an attribute that is imported when it is first used."""
    package, *parts = name.split(".")
    value: object = import_module(package)
    for index, part in enumerate(parts):
        if not hasattr(value, part):
            import_module(".".join([package, *parts[: index + 1]]))
        value = getattr(value, part)
    return value


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect to what autodoc and the resolver of references offer."""
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", describe_data)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
