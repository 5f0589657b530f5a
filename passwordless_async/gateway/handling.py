"""Handles one request: route, CSRF check, step, rendering.

Invariants:

- The response is JSON if the request asks for it, otherwise a page. Both are made from one reply.
- A request that changes something is accepted only from a page of this site.
- An unexpected error in a step is shown as a page in plain words, not as a traceback.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.secret import Secret, SecretDict
from passwordless_async.gateway.audit import AuditKind
from passwordless_async.gateway.browser import csrf_token, has_csrf_header, is_from_this_site, page_headers
from passwordless_async.gateway.devices import device_of
from passwordless_async.gateway.error_log import Refusals
from passwordless_async.gateway.forms import JSON, MalformedForm, TooLarge, content_type, read_form
from passwordless_async.gateway.messages import READS, Request, Response
from passwordless_async.gateway.origins import OriginWatch
from passwordless_async.gateway.replies import Keep, Reply
from passwordless_async.gateway.routes import ROUTES, SIGNED
from passwordless_async.gateway.state import LoginState
from passwordless_async.gateway.steps.problem_pages import fault, reply_of, without_form
from passwordless_async.gateway.user_address import user_address_of
from passwordless_async.gateway.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passwordless_async.gateway.cookies import Cookies
    from passwordless_async.gateway.pages.renderer import Pages
    from passwordless_async.gateway.services import Services

_log = logging.getLogger("passwordless_async")
_MAX_SHOWN = 200  # characters of a path


@attrs.frozen
class Handler:
    """Answers requests to the gateway's own routes."""

    _services: Services
    _cookies: Cookies
    _pages: Pages
    _origin_watch: OriginWatch = attrs.field(
        init=False, default=attrs.Factory(lambda self: OriginWatch(self._services.settings), takes_self=True)
    )

    _refusals: Refusals = attrs.field(init=False, factory=Refusals)

    async def handle(self, request: Request) -> Response:
        """Answer a request."""
        static = self._pages.static(request)
        if static is not None:
            return static
        self._origin_watch.look(request)
        form, refusal = SecretDict(), None
        try:
            form = read_form(request)
        except TooLarge:
            refusal = fault("too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except MalformedForm:
            refusal = fault("malformed_form", HTTPStatus.BAD_REQUEST)
        visit = self._visit(request, form)
        reply = refusal or await self._reply(visit)
        if reply.problem is not None and request.method not in READS and reply.status != HTTPStatus.ACCEPTED:
            # Of the user whom the request named.
            visit.audit(AuditKind.REFUSED, login=_login_with_user(reply), reason=reply.problem.key)
        # A step replied, so method and path are in the table: they are not text of the user.
        self._report(f"{request.method} {request.path}", reply)
        return self._response(visit, reply)

    def answer(self, request: Request, reply: Reply) -> Response:
        """Return the response to a request that no step handles, such as a refused call to an upstream."""
        self._report("a call to an upstream", reply)
        return self._response(self._visit(request), reply)

    def _report(self, name: str, reply: Reply) -> None:
        """Log the cause of a problem, if only the operator can correct it."""
        if reply.problem is not None and reply.problem.cause is not None:
            self._refusals.report(name, reply.problem.cause)

    def _visit(self, request: Request, form: SecretDict | None = None) -> Visit:
        services, headers = self._services, request.headers
        chosen = request.query.get("language"), self._cookies.language_of(headers)
        return Visit(
            request=request,
            form=SecretDict() if form is None else form,
            login=self._cookies.login_of(headers, services.clock()),
            session=self._cookies.session_of(headers),
            address=user_address_of(request, services.settings.trusted_proxies),
            device=device_of(headers),
            language=self._pages.texts.language_of(headers, *chosen),
            services=services,
        )

    async def _reply(self, visit: Visit) -> Reply:
        """Return what the step of a request replies."""
        request = visit.request
        steps = ROUTES.get(request.path)
        if steps is None:
            # Not the path: it is of any form, and may hold a code.
            _log.debug(
                "a path below the mount %a is not found: the gateway has no such page, and no upstream has a prefix of "
                "this path. Prefixes are below the mount, too",
                request.mount[:_MAX_SHOWN],
            )
            return fault("not_found", HTTPStatus.NOT_FOUND)
        step = steps.get("GET" if request.method == "HEAD" else request.method)
        if step is None:
            allowed = ", ".join(sorted({*steps, *(("HEAD",) if "GET" in steps else ())}))
            refusal = fault("not_allowed", HTTPStatus.METHOD_NOT_ALLOWED)
            return attrs.evolve(refusal, headers=(("Allow", allowed),))
        if request.method not in READS and not self._may_change(visit):
            _log.debug("%s %s is refused as csrf: %s", request.method, request.path, _csrf_requirement(visit))
            return fault("csrf", HTTPStatus.FORBIDDEN)
        return without_form(await reply_of(visit, step(visit)))

    def _may_change(self, visit: Visit) -> bool:
        request = visit.request
        if request.path in SIGNED:
            return True
        if wants_json(request):
            return has_csrf_header(request.headers) and content_type(request) in {JSON, ""}
        secrets = (None if visit.login is None else visit.login.id, visit.session)
        return is_from_this_site(
            request.headers,
            origin=str(visit.services.settings.base_url),
            token=visit.form.get("csrf"),
            secrets=secrets,
        )

    def _response(self, visit: Visit, reply: Reply) -> Response:
        is_json = reply.is_json or wants_json(visit.request)
        headers = (
            *page_headers(secure=self._services.settings.secure, origins=self._origins(reply)),
            *reply.headers,
            *self._cookie_fields(visit, reply),
            ("Vary", "Accept, Accept-Language, Cookie"),
        )
        if reply.problem is not None and "seconds" in reply.problem.facts:
            headers = (*headers, ("Retry-After", str(reply.problem.facts["seconds"])))
        if reply.location is not None and not is_json:
            # The gateway's own paths are below the mount; ``return_to`` of a login is a path of the site.
            location = reply.location if reply.leaves else f"{visit.request.mount}{reply.location}"
            return Response(HTTPStatus.SEE_OTHER, (*headers, ("Location", location)))
        if is_json:
            body, kind = _json(reply, self._pages.text_of(reply.problem, visit.language)), JSON
        else:
            body, kind = self._pages.render(visit, reply, csrf=_csrf(visit, reply)), "text/html; charset=utf-8"
        return Response(reply.status, (*headers, ("Content-Type", kind)), body)

    def _origins(self, reply: Reply) -> tuple[str, ...]:
        """Return the other sites that a page may use: those of a captcha, if it is shown."""
        captcha = self._services.settings.captcha
        return captcha.origins if captcha is not None and reply.facts.get("captcha") else ()

    def _cookie_fields(self, visit: Visit, reply: Reply) -> Iterator[tuple[str, str]]:
        headers = visit.request.headers
        yield from self._cookies.set_cookie_fields(
            reply,
            login=visit.login,
            headers=headers,
            had_session=visit.session is not None,
            now=self._services.clock(),
        )
        # Remember a language that the user chose by a link, if it exists.
        if visit.request.query.get("language") == visit.language != self._cookies.language_of(headers):
            yield self._cookies.language(visit.language)


def wants_json(request: Request) -> bool:
    """Return whether a request asks for JSON: by ``Accept``, without preferring a page."""
    accepted = ",".join(request.headers.getall("Accept", []))
    return JSON in accepted and "text/html" not in accepted


def _login_with_user(reply: Reply) -> LoginState | None:
    """Return the login of a reply if it has a user."""
    return reply.login if isinstance(reply.login, LoginState) and reply.login.who is not None else None


def _csrf_requirement(visit: Visit) -> str:
    """Return what a request that changes something lacks, without quoting the request."""
    if wants_json(visit.request):
        return "a request for JSON needs the header field X-CSRF: 1, and a body of JSON or none"
    return (
        f"a form needs Sec-Fetch-Site: same-origin; without that field, Origin: {visit.services.settings.base_url}; "
        "without both, its field csrf"
    )


def _csrf(visit: Visit, reply: Reply) -> Secret | None:
    """Return the token for the forms of a page."""
    login = reply.login if not isinstance(reply.login, Keep) else visit.login
    secret = login.id if login is not None else visit.session
    return None if secret is None else csrf_token(secret)


def _json(reply: Reply, text: str | None) -> bytes:
    problem = reply.problem
    told = (
        {}
        if problem is None
        else {"problem": {**problem.facts, "key": problem.key, "text": text, "field": problem.field}}
    )
    return json.dumps({**reply.facts, "step": str(reply.page), **told}).encode()
