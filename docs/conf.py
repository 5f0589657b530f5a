"""The site: Sphinx, MyST and Furo. Build it with ``sphinx-build -W --keep-going docs docs/_build/html``."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "passwordless-async"
author = "The authors of passwordless-async"
project_copyright = author
release = version = version_of("passwordless-async")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docstrings",  # of attributes, which Napoleon misreads
    "signatures",  # with defaults that can be read
    "repository_links",  # links to files beside the site
    "public_names",  # references to names of the package
    "generated",  # parts of pages that are made from the code
]
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
exclude_patterns = ["_build"]
nitpicky = True

# Headings have anchors, so that a link to a section is checked as a link to a page is.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "fieldlist", "substitution"]

html_theme = "furo"
html_title = f"passwordless-async {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("copy.js", {"defer": "defer"})]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "source_repository": "https://github.com/passwordless-async/passwordless-async/",
    "source_branch": "main",
    "source_directory": "docs/",
}
pygments_style = "tango"
