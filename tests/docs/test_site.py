"""The site: it builds without a warning, documents each public name once, and needs nothing from elsewhere."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest

import passwordless_async
from helpers.pages import DOCS, PAGES, ROOT, hidden_blocks
from helpers.public_names import PUBLIC, undocumented

if TYPE_CHECKING:
    from pathlib import Path


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build the site; a warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(target / "doctrees")]
    return subprocess.run(  # noqa: S603 - our own site
        [*command, str(source), str(target / "html")], capture_output=True, text=True, check=False, cwd=ROOT
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site."""
    target = tmp_path_factory.mktemp("site")
    done = build(DOCS, target)
    assert (done.returncode, done.stderr) == (0, "")
    return target / "html"


@pytest.fixture(scope="module")
def documented(site: Path) -> dict[str, set[str]]:
    """Return the pages on which each name is documented, from the site's inventory."""
    inventory = (site / "objects.inv").read_bytes()
    lines = zlib.decompress(inventory[inventory.index(b"zlib.\n") + 6 :]).decode().splitlines()
    pages: dict[str, set[str]] = {}
    for line in lines:
        name, kind, priority, uri, _ = line.split(maxsplit=4)
        if kind.startswith("py:") and priority != "-1":  # one of -1 is the same entry under its private path
            pages.setdefault(name, set()).add(uri.partition("#")[0])
    return pages


@pytest.mark.slow
def test_each_public_name_is_on_one_page(documented: dict[str, set[str]]) -> None:
    """By one of its public paths."""
    found = {name: [documented[path] for path in paths if path in documented] for name, (_, paths) in PUBLIC.items()}
    assert {name: pages for name, pages in found.items() if len(pages) != 1 or len(pages[0]) != 1} == {}


@pytest.mark.slow
def test_what_is_documented_is_public(documented: dict[str, set[str]]) -> None:
    """A page documents no name that may change without notice; members belong to a public class."""
    paths = {path for _, all_paths in PUBLIC.values() for path in all_paths} | {"passwordless_async.events"}
    members = {name for name in documented if name.rpartition(".")[0] in paths}
    assert documented.keys() - paths - members == set()


def test_a_page_of_many_names_begins_with_a_table_of_them() -> None:
    """Before its first name, so that a reader finds it without the whole page."""
    pages = {path.name: path.read_text(encoding="utf-8") for path in sorted((DOCS / "reference").glob("*.md"))}
    many = {name: text.partition("\n.. auto")[0] for name, text in pages.items() if text.count("\n.. auto") >= 4}
    assert len(many) >= 10
    assert [name for name, before in many.items() if "\n<!-- generated: names -->\n" not in before] == []


@pytest.mark.slow
def test_the_tables_of_names_lead_to_each_name(site: Path, documented: dict[str, set[str]]) -> None:
    """A row for each name that a page documents, a link to it that leads there, and a line on it."""
    row = re.compile(r'<tr[^>]*><td><p><a class="[^"]*" href="#(passwordless_async[.\w]+)".*?</td>\s*<td><p>(.*?)</p>')
    rows: dict[str, dict[str, str]] = {}
    for page in sorted((site / "reference").glob("*.html")):
        text = page.read_text(encoding="utf-8")
        rows[f"reference/{page.name}"] = found = dict(row.findall(text))
        assert [name for name in found if f'id="{name}"' not in text] == []
        assert [name for name, line in found.items() if len(line) < 8 or ":`" in line] == []
    top = {name for name in documented if name.rpartition(".")[0] not in documented} - {"passwordless_async.events"}
    pages = {name: next(iter(documented[name])) for name in top}
    assert {name for name, page in pages.items() if rows.get(page) and name not in rows[page]} == set()
    assert len(set().union(*rows.values())) > 200


@pytest.mark.slow
def test_a_docstring_is_shown_as_it_is_written(site: Path) -> None:
    """Of "A: b" no part is taken for the type of an attribute; types are in the signatures."""
    pages = sorted((site / "reference").glob("*.html"))
    field = re.compile(r"<dt[^>]*>Type<span")
    assert len(pages) >= 10
    assert {page.name: found for page in pages if (found := len(field.findall(page.read_text(encoding="utf-8"))))} == {}


@pytest.mark.slow
def test_a_signature_has_defaults_that_can_be_typed(site: Path) -> None:
    """A default is named as a caller would name it, not by its parts or by an address in memory."""
    parameters = re.compile(r'<em class="sig-param">.*?</em>', re.DOTALL)
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((site / "reference").glob("*.html")))
    shown = [html.unescape(re.sub(r"<[^>]+>|\s", "", each)) for each in parameters.findall(text)]
    unreadable = re.compile(r"=<| at 0x|attr_dict|=(Budgets|Sms|Profile|Lifetimes)\(\w")
    assert [each for each in shown if unreadable.search(each)] == []
    for default in ("=Budgets()", "=Sms()", "=INTERACTIVE", "=Lifetimes()", "=time.time"):
        assert any(default in each for each in shown), default


@pytest.mark.parametrize("name", [name for name, (value, _) in PUBLIC.items() if callable(value)])
def test_a_public_name_has_a_docstring(name: str) -> None:
    """So have its public methods and properties. The build fails for a constant that has none."""
    assert undocumented(PUBLIC[name][0]) == []


@pytest.mark.slow
def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    """Fonts, scripts, images and styles are the site's own; search works without a network."""
    loads = re.compile(r"""<(?:script|img|iframe|source)[^>]+src=["']https?:|<link[^>]+href=["']https?:""")
    styles = re.compile(r"""url\(["']?https?:|@import""")
    pages, css = sorted(site.rglob("*.html")), sorted(site.rglob("*.css"))
    assert len(pages) >= len(PAGES)
    assert [path.name for path in pages if loads.search(path.read_text(encoding="utf-8"))] == []
    assert [path.name for path in css if styles.search(path.read_text(encoding="utf-8"))] == []
    assert "passwordlesscli" in (site / "searchindex.js").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_page_shows_no_code_of_its_tests(site: Path) -> None:
    """A comment that ends early would show the rest of the code in it."""
    hidden, shown = 0, []
    for page in PAGES:
        if DOCS not in page.parents:
            continue
        source = page.read_text(encoding="utf-8")
        text = _without_spaces(_text_of((site / page.relative_to(DOCS)).with_suffix(".html")))
        for block in hidden_blocks(source):
            visible = _without_spaces(source.replace(block, ""))
            lines = [
                line for line in map(_without_spaces, block.splitlines()) if len(line) > 12 and line not in visible
            ]
            hidden += len(lines)
            shown += [(page.name, line) for line in lines if line in text]
    assert shown == []
    assert hidden > 500


def _text_of(path: Path) -> str:
    """Return what a browser shows of a file."""
    source = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", source))


def _without_spaces(text: str) -> str:
    return re.sub(r"\s", "", text)


BAD = """\
# A page

[no page](nothing.md), [no section](index.md#nothing), [no file](../nothing.py), {py:class}`passwordless_async.Nothing`
"""


@pytest.mark.slow
def test_the_build_fails_for_what_leads_nowhere(tmp_path: Path) -> None:
    """Links to pages, sections, files and names are checked."""
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(DOCS / '_ext')!r})\nnitpicky = True\nmyst_heading_anchors = 4\n"
        'extensions = ["myst_parser", "sphinx.ext.autodoc", "repository_links", "public_names"]\n',
        encoding="utf-8",
    )
    (source / "index.md").write_text(BAD, encoding="utf-8")
    done = build(source, tmp_path / "out")
    assert done.returncode == 1
    for lost in ("'nothing.md'", "'nothing'", "../nothing.py", "passwordless_async.Nothing"):
        assert lost in done.stderr, done.stderr


def test_the_package_says_where_its_names_are_from() -> None:
    """The table that the site is checked with is that of the package."""
    assert {f"passwordless_async.{name}" for name in vars(passwordless_async)["__all__"]} - PUBLIC.keys() == {
        "passwordless_async.events"  # a module
    }
