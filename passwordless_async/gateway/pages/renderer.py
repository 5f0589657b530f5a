"""Pages by Jinja2, and the files that they need.

Invariants:

- Every value is escaped (``autoescape``); a template that uses an unknown name fails (``StrictUndefined``).
- A page that is the same for many users is rendered once and cached, without any user's values. These are inserted
  afterwards, escaped, in one pass that does not read inserted text again. A team's own templates may do anything with a
  value, so their pages are not cached.
- Static files have the hash of their content in their names: a browser keeps them forever, and gets new ones at once.
  During an update, pages may name another version's files: the response is this version's file, not to be cached.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from passwordless_async._common import arguments as _check
from passwordless_async._common.base64url import encode_text
from passwordless_async._common.bounded import Bounded
from passwordless_async._common.extras import missing_extra
from passwordless_async._common.secret import type_name
from passwordless_async.errors import UsageError
from passwordless_async.gateway.messages import READS, Request, Response
from passwordless_async.gateway.replies import Page
from passwordless_async.gateway.texts.catalogs import Texts

try:
    import jinja2
    import segno
    from markupsafe import Markup, escape
except ModuleNotFoundError as _missing:
    raise missing_extra("gateway", _missing, library=_missing.name or "") from None

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from passwordless_async._common.secret import Secret
    from passwordless_async.gateway.replies import Problem, Reply
    from passwordless_async.gateway.visit import Visit

_FILES = {"style.css": "text/css; charset=utf-8", "script.js": "text/javascript; charset=utf-8"}
_FOREVER = "public, max-age=31536000, immutable"
_HASH_CHARACTERS = 12
# The parameters that the language links keep: none that is valid only once, such as the code of a link.
_KEPT = frozenset({"acr_values", "kind", "language", "max_age", "return_to", "unsent"})
# The path at which a GET shows the page of a POST's reply; pages that are missing here are shown once.
_SHOWN_AT: Mapping[Page, str] = {
    Page.IDENTIFIER: "/login",
    Page.CODE: "/code",
    Page.LINK_SENT: "/link-sent",
    Page.FACTOR: "/factor",
    Page.FACTORS: "/factors",
    Page.ENROLMENT_CHOICE: "/enrolment",
    Page.ENROLMENT_PHONE: "/enrolment",
    Page.ENROLMENT: "/enrolment",
    Page.RECOVERY_CODES: "/recovery-codes",
    Page.SESSIONS: "/sessions",
    Page.STEP_UP: "/step-up",
    Page.LOGGED_OUT: "/logged-out",
}
_OWN = frozenset(_SHOWN_AT.values())
_ALIKE = frozenset({Page.IDENTIFIER, Page.CODE})
_MAX_ALIKE = 512  # pages that are kept, of some 2 kB: by language, and by how many seconds they name
_OF_ONE_USER = ("csrf", "sent_to")  # names that those pages print and do nothing else with
_PLACE = re.compile(f"\0({'|'.join(_OF_ONE_USER)})\0")
_NAME = re.compile(rf"/static/([a-z]+)-[A-Za-z0-9_-]{{{_HASH_CHARACTERS}}}\.(css|js)")


class Pages:
    """Renders replies.

    Args:
        texts: The texts.
        brand: The name at the top of each page.
        templates: A folder with templates that replace those of the same name, or extend them.
        css: A style sheet that is added to the page's own.
        home: The path of the application's home, for links to it; None: it has none.

    Raises:
        UsageError: The folder is not there.
    """

    def __init__(
        self,
        *,
        texts: Texts | None = None,
        brand: str = "",
        templates: str | None = None,
        css: str | None = None,
        home: str | None = None,
    ) -> None:
        _require_folder(templates)
        _check.instance("brand", brand, str, named="a str")
        _check.instance("css", "" if css is None else css, str, named="a str")
        self.texts: Texts = Texts() if texts is None else _check.instance("texts", texts, Texts, named="a Texts")
        self._brand, self._home = brand, home
        self._alike: Bounded[Hashable, str] | None = None if templates else Bounded(_MAX_ALIKE)
        built_in = jinja2.PackageLoader("passwordless_async.gateway.pages")
        own = [jinja2.FileSystemLoader(templates)] if templates else []
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([*own, jinja2.PrefixLoader({"built-in": built_in}), built_in]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(iso=_iso, readable=_readable, qr=_qr)
        folder = resources.files(__package__) / "static"
        contents = {name: (folder / name).read_bytes() for name in _FILES}
        contents["style.css"] += (css or "").encode()
        self._static = contents
        self._paths = {name: f"/static/{_hashed_name(name, content)}" for name, content in contents.items()}

    def static(self, request: Request) -> Response | None:
        """Return a static file; None if the request is for something else."""
        match = _NAME.fullmatch(request.path)
        name = "" if match is None else f"{match[1]}.{match[2]}"
        if name not in self._static or request.method not in READS:
            return None
        headers = (
            ("Content-Type", _FILES[name]),
            ("Cache-Control", _FOREVER if request.path == self._paths[name] else "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        )
        return Response(HTTPStatus.OK, headers, self._static[name])

    def text_of(self, problem: Problem | None, language: str) -> str | None:
        """Return the text of a problem in a language."""
        return None if problem is None else self.texts.get(language, "problem", problem.key, problem.facts)

    def render(self, visit: Visit, reply: Reply, *, csrf: Secret | None) -> bytes:
        """Return the page of a reply."""
        facts = {**reply.facts, "csrf": csrf or ""}
        if self._alike is None or not _is_alike(visit, reply):
            return self._render_template(visit, reply, facts).encode()
        of_user = {name: facts[name] for name in _OF_ONE_USER if name in facts}
        others, asked = tuple(pair for pair in facts.items() if pair[0] not in of_user), visit.request
        # All values that the rendering below reads.
        key = (reply.page, visit.language, asked.mount, tuple(asked.query.items()), others)
        page = self._alike.get(key)
        if page is None:
            page = self._render_template(visit, reply, {**facts, **{name: f"\0{name}\0" for name in of_user}})
            self._alike[key] = page
        return _PLACE.sub(lambda place: escape(of_user[place[1]]), page).encode()

    def _render_template(self, visit: Visit, reply: Reply, facts: Mapping[str, Any]) -> str:
        language = visit.language

        def text(key: str, **facts: object) -> str:
            return self.texts.get(language, "page", key, facts)

        names: Mapping[str, Any] = {
            "t": text,
            "brand": self._brand,
            "home": self._home,
            "language": language,
            "languages": self._languages(visit, reply),
            "mount": visit.request.mount,
            "static": {name: f"{visit.request.mount}{path}" for name, path in self._paths.items()},
            "problem": reply.problem,
            "problem_text": self.text_of(reply.problem, language),
            "page": str(reply.page),
            "retry_to": _retry_to(visit, reply),
            "user": "",
            **facts,
        }
        return self._environment.get_template(f"{reply.page}.html").render(names)

    def _languages(self, visit: Visit, reply: Reply) -> list[Mapping[str, str]]:
        """Return the links to the same page in each language; none if another GET would not show the page again."""
        path, tags = _shown_at(visit, reply), sorted(self.texts.catalogs)
        if path is None or len(tags) == 1:
            return []
        query = visit.request.query if visit.request.method in READS else _query_of(reply)
        # A language that a team added without its own name is shown by its tag.
        names = {tag: self.texts.catalogs[tag].get("page", {}).get("language_name", tag) for tag in tags}
        return [
            {"tag": tag, "name": names[tag], "href": f"{path}?{urlencode({**query, 'language': tag})}"} for tag in tags
        ]


def _require_folder(templates: str | None) -> None:
    if templates is None:
        return
    if not isinstance(templates, str | os.PathLike):
        raise UsageError("templates", f"must be the path of a folder, not {type_name(templates)}")
    if not templates or not Path(templates).is_dir():
        raise UsageError("templates", "must be a folder that is there: without it all pages would be the built-in ones")


def _shown_at(visit: Visit, reply: Reply) -> str | None:
    """Return the path at which a GET shows a reply's page again; empty: the requested one; None: none does."""
    request, is_fault = visit.request, reply.page is Page.FAULT
    if request.method in READS:
        # Faults only for the gateway's own pages: it must not send an upstream requests that the user did not make.
        return "" if request.query.keys() <= _KEPT and (not is_fault or request.path in _OWN) else None
    if is_fault and visit.session is None:
        return f"{request.mount}/login"
    return f"{request.mount}{_SHOWN_AT[reply.page]}" if reply.page in _SHOWN_AT else None


def _query_of(reply: Reply) -> Mapping[str, str]:
    """Return the query of a page."""
    if reply.page is Page.ENROLMENT_CHOICE:
        return {"kind": "other"}
    return {"kind": reply.facts["kind"]} if reply.page is Page.ENROLMENT_PHONE else {}


def _retry_to(visit: Visit, reply: Reply) -> str:
    """Return the path below the mount that the page of a fault links to; empty: the requested page."""
    may_pass = reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status == HTTPStatus.TOO_MANY_REQUESTS
    if visit.request.method in READS and may_pass:
        return ""
    # A user who is logged in need not do so again.
    return "/login" if visit.session is None and reply.status != HTTPStatus.NOT_FOUND else "/"


def _is_alike(visit: Visit, reply: Reply) -> bool:
    """Return whether a reply's page is the same for many users."""
    request = visit.request
    is_get = request.method == "GET" and request.query.keys() <= _KEPT
    return is_get and reply.page in _ALIKE and reply.problem is None


def _hashed_name(name: str, content: bytes) -> str:
    stem, _, kind = name.partition(".")
    return f"{stem}-{encode_text(hashlib.sha256(content).digest())[:_HASH_CHARACTERS]}.{kind}"


def _qr(text: str) -> Markup:
    """Return a QR code as SVG, black on white whatever the colours of the page."""
    return Markup(segno.make(text, micro=False).svg_inline(border=4, omitsize=True, light="#fff"))  # noqa: S704 - made here


def _iso(time: float) -> str:
    return dt.datetime.fromtimestamp(time, dt.UTC).isoformat(timespec="seconds")


def _readable(time: float) -> str:
    return dt.datetime.fromtimestamp(time, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
