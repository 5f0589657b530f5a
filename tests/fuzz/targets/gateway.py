"""Requests to a gateway through both of its mounts: paths, queries, header fields, cookies, forms and JSON."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode

import attrs
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from fuzz.engine import Target
from helpers.hostile import Transport
from passwordless_async import TESTING, DPoPKey, Email, MemoryStore, PasswordlessClient, PendingLink, TokenSet
from passwordless_async._common.secret import Secret
from passwordless_async.gateway import Budgets, Gateway, Sms
from passwordless_async.gateway.browser import csrf_token
from passwordless_async.gateway.replies import Page, Reply
from passwordless_async.gateway.routes import ROUTES
from passwordless_async.gateway.state import LoginState
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fuzz.mutator import Mutator

SITE = "https://app.example"
ADA = Email("ada@example.com")
END = 253_402_300_799
METHODS = ("GET",) * 10 + ("POST",) * 10 + ("HEAD", "OPTIONS", "PUT", "DELETE", "get", "CONNECT", "TRACE")
PATHS = (*ROUTES, "/static/style.css", "/static/../login", "/api/me", "/%6cogin", "//login", "/nowhere", "/login/")
TEXTS = (
    *("ada@example.com", "bob@example.com", "+4930901820", "123456", "0", "otp", "sms", "voice", "push", "recovery"),
    *(
        "/",
        "/app",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/%0d%0aX: y",
        "javascript:x",
        "de",
        "xx",
    ),
    *("email", "phone", "true", "1", "", " ", "\x00", "é" * 200, "a" * 3000, "\udcff", "\u202e", "<script>", "'\""),
)
NAMES = (
    *("identifier", "code", "csrf", "return_to", "remember", "language", "factor", "recovery_code", "state", "iss"),
    *("session", "kind", "email", "phone", "captcha", "logout_token", "error", "error_description", "max_age"),
    *("acr_values", "password", "method", "name", "link", "x"),
)
FIELDS: dict[str, tuple[str, ...]] = {
    "Host": ("app.example", "evil.example", "app.example:443", "[::1", ""),
    "Origin": (SITE, "null", "https://evil.example", f"{SITE}:443"),
    "Sec-Fetch-Site": ("same-origin", "cross-site", "none"),
    "Accept": ("application/json", "text/html", "*/*", "application/json;q=0", ""),
    "Accept-Language": ("de", "de;q=0.5, en", "*;q=0", "zh-Hant-x-y", "de;q=x", ",;=" * 50),
    "X-CSRF": ("1", "0"),
    "X-Forwarded-For": ("203.0.113.1", "::1, 203.0.113.1", "unknown", "[::1]:80", "999.1.1.1", "," * 50),
    "Forwarded": ("for=203.0.113.1", 'for="[2001:db8::1]:80"', 'for="', "host=evil.example"),
    "User-Agent": ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "(" * 300, "\x7f"),
    "Sec-Purpose": ("prefetch",),
    "Content-Encoding": ("gzip", "identity"),
    "Transfer-Encoding": ("chunked", "gzip, chunked", "identity"),
    "Upgrade": ("websocket", "h2c"),
    "Range": ("bytes=0-1", "bytes=x"),
    "If-None-Match": ('"x"', "*", "W/"),
    "Expect": ("100-continue", "x"),
}
TYPES = ("application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x", "text/plain", "")


@attrs.frozen
class Given:
    """A request, and the mount that it goes to."""

    mount: str
    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes


@contextmanager
def _silenced(log: logging.Logger) -> Iterator[None]:
    """Let a logger say nothing until the target is closed: other tests of this process read it."""
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


class GatewayTarget:
    """A gateway with a tenant of its own, and a browser at each step of a login."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._log = logging.getLogger("fuzz.gateway")
        self._log.disabled = True
        self._runner.run(self._open())

    async def _open(self) -> None:
        self._stack.enter_context(_silenced(logging.getLogger("passwordless_async")))
        tenant = await self._stack.enter_async_context(LocalTenant())
        client = await self._stack.enter_async_context(
            PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=MemoryStore())
        )
        unlimited = Budgets(**dict.fromkeys((field.name for field in attrs.fields(Budgets)), None))
        sms = Sms(per_address=None, per_hour=None, per_day=None)
        gateway = Gateway(client, base_url=SITE, budgets=unlimited, sms=sms, magic_link=True, trusted_proxies=1)
        self._asgi = gateway.asgi()
        web_app = web.Application()
        web_app.add_subapp("/auth", gateway.aiohttp())
        runner = web.AppRunner(web_app, access_log=None, logger=self._log)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        assert runner.server is not None
        self._web = runner.server
        key = DPoPKey.generate()
        tokens = TokenSet(
            Secret("a"), "DPoP", END, "openid", Secret("r"), None, None, key, client_id=tenant.public_client_id
        )
        session = await client.sessions.open(tokens, user="ada")
        self._cookies = [*self._logins(gateway, client, key), f"__Host-session={session}"]
        self._tokens = [str(csrf_token(Secret("id"))), str(csrf_token(session)), "x"]

    def _logins(self, gateway: Gateway, client: PasswordlessClient, key: DPoPKey) -> Iterable[str]:
        """Return the cookies of logins at each step."""
        link = PendingLink(ADA, f"{SITE}/link", "openid", None, key, issuer=client.issuer, client_id=client.client_id)
        begun = LoginState(id=Secret("id"), expires_at=END)
        named = attrs.evolve(begun, who=ADA, sent_at=1.0, attempts_left=3)
        keys = client.sessions._records.keys
        for state in (
            *(begun, named, attrs.evolve(named, link=Secret(link.seal(keys)))),
            attrs.evolve(named, mfa=Secret("x"), factor="otp"),
            attrs.evolve(named, mfa=Secret("x"), factor="sms", factor_name="XXX"),
            attrs.evolve(named, recovery_codes=Secret('["a"]')),
            attrs.evolve(named, enrolment=Secret('{"recovery_codes":["a"]}'), mfa=Secret("x")),
            attrs.evolve(named, stepping_up="name", demands={"max_age": 1}),
        ):
            fields = gateway._handler._cookies.set_cookie_fields(
                Reply(page=Page.CODE, login=state),
                headers=CIMultiDictProxy(CIMultiDict[str]()),
                had_session=False,
                now=1.0,
            )
            yield "; ".join(field.partition(";")[0] for _, field in fields)

    def draw(self, mutator: Mutator) -> Given:
        path = mutator.choice(PATHS) if mutator.often(0.95) else mutator.text(mutator.choice(PATHS))
        query = self._members(mutator) if mutator.often(0.3) else {}
        target = path + (f"?{urlencode(query, errors='surrogatepass')}" if query else "")
        method, members = mutator.choice(METHODS), self._members(mutator)
        fields = [(name, mutator.choice(values)) for name, values in FIELDS.items() if mutator.often(0.04)]
        kind = mutator.choice(TYPES) if mutator.often(0.2) else TYPES[mutator.often(0.3)]
        body = b""
        if method not in {"GET", "HEAD"} and mutator.often(0.95):
            is_json = "json" in kind
            body = (
                mutator.encoded(mutator.value(members) if mutator.often(0.3) else members)
                if is_json
                else urlencode(members, errors="surrogatepass").encode()
            )
            body = body if mutator.often(0.9) else mutator.raw(body, b"code=1") * mutator.choice((1, 1, 1, 3000))
            same = mutator.often(0.8)
            fields += [("Sec-Fetch-Site", "same-origin")] * (same and not is_json)
            fields += [("X-CSRF", "1"), ("Accept", "application/json")] * (same and is_json)
        cookie = "; ".join(mutator.choice(self._cookies) for _ in range(mutator.choice((0, 1, 1, 1, 2))))
        if cookie:
            fields.append(("Cookie", cookie if mutator.often(0.9) else mutator.text(cookie)))
        if mutator.often(0.1) and fields:
            at = mutator.random.randrange(len(fields))
            fields[at] = fields[at][0], mutator.text(fields[at][1])
        fields += [("Content-Type", kind)] * mutator.choice((1, 1, 1, 0))
        return Given(
            mutator.choice(("asgi", "aiohttp")),
            method,
            mutator.text(target) if mutator.often(0.05) else target,
            fields,
            body,
        )

    def _members(self, mutator: Mutator) -> dict[str, Any]:
        members: dict[str, Any] = {
            mutator.choice(NAMES): mutator.choice(TEXTS) for _ in range(mutator.choice((0, 1, 2, 3)))
        }
        for name, right in (("identifier", TEXTS[:3]), ("code", TEXTS[3:5]), ("csrf", self._tokens)):
            if mutator.often(0.4):
                members[name] = mutator.choice(right)
        return members

    def check(self, given: Given) -> str:
        send = self._by_asgi if given.mount == "asgi" else self._by_aiohttp
        status, fields = self._runner.run(self._within(send, given))
        assert status not in {500, 501, 502}, status
        for name, value in fields:
            assert "\r" not in name + value
            assert "\n" not in name + value
            if name.lower() == "location":
                # Within the site: no other host, by a slash or a backslash too.
                assert value.startswith(("/", SITE))
                assert not value.startswith(("//", "/\\"))
        return f"{given.mount} {status}"

    async def _within(self, send: Any, given: Given) -> tuple[int, list[tuple[str, str]]]:
        async with asyncio.timeout(60):
            answer: tuple[int, list[tuple[str, str]]] = await send(given)
            return answer

    async def _by_asgi(self, given: Given) -> tuple[int, list[tuple[str, str]]]:
        path, _, query = given.target.encode("utf-8", "replace").partition(b"?")
        scope = {
            "type": "http",
            "method": given.method,
            "scheme": "https",
            "server": None,
            "root_path": "",
            "path": unquote(path.decode(), errors="replace"),
            "raw_path": path,
            "query_string": query,
            "headers": [
                (name.lower().encode(), value.encode("utf-8", "surrogatepass")) for name, value in given.fields
            ],
            "client": ("203.0.113.7", 1),
        }
        pieces = [given.body[:100], given.body[100:]]
        answer: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not pieces:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            answer.append(message)

        await self._asgi(scope, receive, send)
        assert [message["type"] for message in answer] == ["http.response.start", "http.response.body"]
        return answer[0]["status"], [(name.decode(), value.decode("latin-1")) for name, value in answer[0]["headers"]]

    async def _by_aiohttp(self, given: Given) -> tuple[int, list[tuple[str, str]]]:
        fields = [("Host", "app.example"), *given.fields, ("Content-Length", str(len(given.body)))]
        lines = [
            f"{given.method} /auth{given.target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in fields),
            "",
            "",
        ]
        protocol, transport = self._web(), Transport()
        protocol.connection_made(transport)
        protocol.data_received("\r\n".join(lines).encode("utf-8", "surrogatepass") + given.body)
        try:
            head = await transport.head
        finally:
            protocol.connection_lost(None)
        first, *rest = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        answered = [(name, value.strip()) for name, _, value in (line.partition(":") for line in rest)]
        return int(first.split(" ")[1]), answered

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


def make() -> Target:
    """Return the target."""
    gateway = GatewayTarget()
    return Target(gateway.draw, gateway.check, gateway.close)
