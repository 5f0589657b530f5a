"""Links from a page to a file of the repository that is not of the site: to GitHub, if the file exists.

A page is read on GitHub too, where ``../../examples/mcp-server/server.py`` leads to the file. On the site the same
link leads to the file on GitHub. One that leads nowhere is a warning, so the build fails.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

REPOSITORY = "https://github.com/passwordless-async/passwordless-async"

_logger = logging.getLogger(__name__)


class RepositoryLinks(SphinxTransform):
    """Point links that leave the site's folder to the repository."""

    default_priority = 5  # before anything else looks for the targets

    def apply(self, **kwargs: object) -> None:
        """Replace each such link of one page."""
        del kwargs
        page = Path(self.env.doc2path(self.env.docname))
        site = Path(self.app.srcdir)
        links = [*self.document.findall(addnodes.pending_xref), *self.document.findall(addnodes.download_reference)]
        for link in links:
            target = urlsplit(_as_written(link, page))
            file = Path(posixpath.normpath(page.parent / target.path))
            if not target.path or target.scheme or file.is_relative_to(site) or not _is_path(target.path):
                continue
            if not file.exists():
                _logger.warning("no such file: %s", target.path, location=link, type="repository")
                continue
            kind = "tree" if file.is_dir() else "blob"
            url = f"{REPOSITORY}/{kind}/main/{file.relative_to(site.parent).as_posix()}"
            url += f"#{target.fragment}" if target.fragment else ""
            link.replace_self(nodes.reference("", "", *link.children, refuri=url, internal=False))


def _as_written(link: nodes.Element, page: Path) -> str:
    """Return where a link leads; MyST makes paths of Markdown files absolute, without their suffix."""
    target = str(link.get("reftarget", ""))
    if link.get("refdomain") != "doc" or not target.startswith("/"):
        return target
    fragment = link.get("reftargetid")
    return posixpath.relpath(f"{target}.md", page.parent) + (f"#{fragment}" if fragment else "")


def _is_path(target: str) -> bool:
    return target.startswith("../")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the transform."""
    app.add_transform(RepositoryLinks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
