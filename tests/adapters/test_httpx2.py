"""API calls by httpx2, sync and async, of servers behind our own middleware that demands nonces."""

from __future__ import annotations

import asyncio
import copy
import io
import logging
import pickle
import socket
import ssl
import traceback
from typing import TYPE_CHECKING, Any

import attrs
import httpx2
import pytest
from aiohttp import ClientSession, web
from multidict import CIMultiDict

from helpers.challenges import UNANSWERABLE
from helpers.values import present
from passwordless_async import (
    DPoPKey,
    DPoPMiddleware,
    DPoPVerifier,
    Email,
    KeyMismatch,
    MemoryReplayStore,
    NonceCache,
    NonceChallengeRepeated,
    NonceIssuer,
    PasswordlessClient,
    TokenSet,
    UsageError,
    UseDPoPNonce,
)
from passwordless_async._common.secret import Secret
from passwordless_async.adapters.aiohttp_web import TOKEN, dpop_middleware
from passwordless_async.adapters.httpx2 import DPoPAuth
from passwordless_async.testing import BOUND_API, LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # one for all: loading the certificates takes long
STEP = 60  # seconds for which the API's nonce stays the same


@attrs.define
class Api:
    """An API behind the middleware: what arrived, and which tokens it accepts."""

    url: str = attrs.field(init=False)
    jkt: str | None = None
    tokens: set[str] = attrs.field(factory=set)
    open: bool = False
    now: float = 1_000_000.0
    challenge: dict[str, str] | None = None  # of every answer, in place of the middleware's
    requests: list[web.Request] = attrs.field(factory=list)
    bodies: list[bytes] = attrs.field(factory=list)

    @property
    def targets(self) -> list[tuple[str, str, bool]]:
        """Method, path, and whether a token came, of each request."""
        return [(r.method, r.path, "Authorization" in r.headers) for r in self.requests]

    async def start(self) -> web.AppRunner:
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        verifier = DPoPVerifier(
            replay=MemoryReplayStore(),
            base_url=self.url,
            nonces=NonceIssuer(step=STEP, clock=lambda: self.now),
        )
        guard = dpop_middleware(verifier, self.token_info, allow_bearer=True, exempt=lambda _request: self.open)
        app = web.Application(middlewares=[self.record, guard], client_max_size=2**24)
        app.router.add_route("*", "/moved", self.moved)
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        return runner

    def token_info(self, token: str) -> dict[str, Any] | None:
        claims = {"cnf": {"jkt": self.jkt}} if self.jkt else {"sub": "ada"}
        return claims if token in self.tokens else None

    @web.middleware
    async def record(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        if self.challenge is not None:
            return web.Response(status=401, headers=self.challenge)
        response: web.StreamResponse = await handler(request)
        return response

    async def answer(self, request: web.Request) -> web.Response:
        return web.json_response({"known": TOKEN in request, "proof": "DPoP" in request.headers})

    async def moved(self, request: web.Request) -> web.Response:
        return web.Response(
            status=int(request.query["status"]), headers={"Location": request.query.get("to", str(request.url))}
        )


@pytest.fixture
async def make_api(tokens: TokenSet) -> AsyncIterator[Callable[..., Awaitable[Api]]]:
    """Start APIs on free loopback ports."""
    started: list[web.AppRunner] = []

    async def make(**settings: Any) -> Api:
        api = Api(**{"jkt": present(tokens.key).thumbprint, "tokens": {str(tokens.access_token)}, **settings})
        started.append(await api.start())
        return api

    yield make
    for runner in started:
        await runner.cleanup()


@pytest.fixture
async def api(make_api: Callable[..., Awaitable[Api]]) -> Api:
    """Start one that demands nonces and the token."""
    return await make_api()


@pytest.fixture
def tokens() -> TokenSet:
    """Make tokens that are bound to a key."""
    return TokenSet(Secret("an-access-token"), "DPoP", None, "", None, None, None, DPoPKey.generate())


def bearer(tokens: TokenSet) -> TokenSet:
    return attrs.evolve(tokens, token_type="Bearer", key=None)


async def send_async(auth: httpx2.Auth, method: str, url: str, **parameters: Any) -> httpx2.Response:
    client = parameters.pop("client", {})
    async with httpx2.AsyncClient(auth=auth, trust_env=False, verify=PLAIN, **client) as http:
        return await http.request(method, url, **parameters)


async def send_sync(auth: httpx2.Auth, method: str, url: str, **parameters: Any) -> httpx2.Response:
    client = parameters.pop("client", {})

    def call() -> httpx2.Response:
        with httpx2.Client(auth=auth, trust_env=False, verify=PLAIN, **client) as http:
            return http.request(method, url, **parameters)

    return await asyncio.to_thread(call)


@pytest.fixture(params=[send_sync, send_async], ids=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Any:
    """Send a request by either client."""
    return request.param


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_a_challenge_is_answered_once(send: Any, api: Api, tokens: TokenSet, method: str) -> None:
    """A 401 that demands a nonce is answered with it; the next request has it from the start."""
    auth = DPoPAuth(tokens, origins=[api.url])
    for path in ("/me", "/a%2Fb/%7Ec/ü?page=2#top"):
        response = await send(auth, method, f"{api.url}{path}")
        assert (response.status_code, response.json()) == (200, {"known": True, "proof": True})
    assert [request.method for request in api.requests] == [method] * 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": b"some bytes"},
        {"json": {"some": ["json"]}},
        {"data": {"a": "1"}},
        {"files": {"one": b"in memory"}, "data": {"two": "2"}},
        {"files": {"one": ("name", io.BytesIO(b"y" * 200_000))}},
    ],
    ids=["none", "bytes", "json", "form", "multipart", "file"],
)
async def test_bodies_are_sent_again_whole(send: Any, api: Api, tokens: TokenSet, body: dict[str, Any]) -> None:
    """The second transmission carries the same body as the first."""
    response = await send(DPoPAuth(tokens, origins=[api.url]), "POST", f"{api.url}/things", **body)
    assert response.status_code == 200
    first, second = api.bodies
    assert first == second
    assert bool(first) == bool(body)


class OneWay(io.RawIOBase):
    """A pipe: it cannot be rewound."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part, self._data = self._data[: len(buffer)], self._data[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def pieces() -> Iterator[bytes]:
    yield b"only "
    yield b"once"


async def async_pieces() -> AsyncIterator[bytes]:
    for piece in pieces():
        yield piece


@pytest.mark.parametrize(
    ("sender", "make"),
    [
        (send_sync, lambda: {"content": pieces()}),
        (send_sync, lambda: {"content": iter([b"only ", b"once"])}),
        (send_sync, lambda: {"content": io.BytesIO(b"only once")}),
        (send_sync, lambda: {"files": {"one": OneWay(b"only once")}}),
        (send_async, lambda: {"content": async_pieces()}),
        (send_async, lambda: {"files": {"one": OneWay(b"only once")}}),
    ],
    ids=["generator", "iterator", "file", "pipe", "async generator", "async pipe"],
)
async def test_a_stream_is_not_sent_again_empty(
    api: Api, tokens: TokenSet, sender: Any, make: Callable[[], dict[str, Any]]
) -> None:
    """A body that is used up is refused; the nonce is kept, so the next try passes."""
    auth = DPoPAuth(tokens, origins=[api.url])
    with pytest.raises(UseDPoPNonce, match="used up") as caught:
        await sender(auth, "POST", f"{api.url}/things", **make())
    assert caught.value.retryable
    assert caught.value.nonce is not None
    assert len(api.requests) == 1
    response = await sender(auth, "POST", f"{api.url}/things", **make())
    assert response.status_code == 200
    assert [b"only once" in body for body in api.bodies] == [True, True]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_redirect_inside_the_origin(send: Any, api: Api, tokens: TokenSet, method: str, status: int) -> None:
    """Each hop is sent with a proof of its own, for its own method and URL; the copy that httpx2 sends has none."""
    url = f"{api.url}/moved?status={status}&to=/end"
    auth = DPoPAuth(tokens, origins=[api.url])
    response = await send(auth, method, url, content=b"x", client={"follow_redirects": True})
    assert (response.status_code, response.url.path) == (200, "/end")
    last = method if status in {307, 308} else "GET"
    moved = (method, "/moved", True)
    assert api.targets == [moved, moved, (last, "/end", False), (last, "/end", True)]


async def test_a_hop_that_answers_everybody_is_told_who_asks(
    send: Any, make_api: Callable[..., Awaitable[Api]], api: Api, tokens: TokenSet
) -> None:
    """A safe request is sent again even if it was answered without a token; another one is not."""
    public = await make_api(open=True)
    auth = DPoPAuth(tokens, origins=[api.url, public.url])
    for method, calls in (("GET", [False, True]), ("POST", [False])):
        public.requests.clear()
        url = f"{api.url}/moved?status=307&to={public.url}/b"
        response = await send(auth, method, url, client={"follow_redirects": True})
        assert response.status_code == 200
        assert public.targets == [(method, "/b", token) for token in calls]


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_to_another_origin(
    send: Any, make_api: Callable[..., Awaitable[Api]], api: Api, tokens: TokenSet, status: int
) -> None:
    """The token and the proof do not follow."""
    other = await make_api(open=True)
    url = f"{api.url}/moved?status={status}&to={other.url}/b"
    auth = DPoPAuth(tokens, origins=[api.url])
    response = await send(auth, "POST", url, content=b"x", client={"follow_redirects": True})
    assert response.json() == {"known": False, "proof": False}
    assert [token for _method, _path, token in other.targets] == [False]


async def test_a_challenge_that_a_gateway_renamed_is_answered(send: Any, api: Api, tokens: TokenSet) -> None:
    """Amazon API Gateway renames WWW-Authenticate; the second request has the nonce all the same."""
    api.challenge = {"x-amzn-remapped-www-authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "same"}
    with pytest.raises(NonceChallengeRepeated):  # the API challenges whatever comes
        await send(DPoPAuth(tokens, origins=[api.url]), "GET", f"{api.url}/me")
    assert len(api.requests) == 2


async def test_a_challenge_of_another_origin_is_not_answered(
    send: Any, make_api: Callable[..., Awaitable[Api]], api: Api, tokens: TokenSet
) -> None:
    """What a hop to another origin answers is the caller's: it says nothing about the API's nonces or tokens."""
    headers = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "of-another-origin"}
    other = await make_api(challenge=headers)
    auth = DPoPAuth(tokens, origins=[api.url])
    url = f"{api.url}/moved?status=302&to={other.url}/b"
    for transmissions in (2, 3):
        assert (await send(auth, "GET", url, client={"follow_redirects": True})).status_code == 401
        assert len(api.requests) == transmissions


async def test_a_redirect_through_another_origin(
    send: Any, make_api: Callable[..., Awaitable[Api]], api: Api, tokens: TokenSet
) -> None:
    """On the way back to the API the request has token and proof again."""
    other = await make_api(open=True)
    back = httpx2.URL(f"{other.url}/moved", params={"status": "302", "to": f"{api.url}/end"})
    url = str(httpx2.URL(f"{api.url}/moved", params={"status": "302", "to": str(back)}))
    auth = DPoPAuth(tokens, origins=[api.url])
    response = await send(auth, "GET", url, client={"follow_redirects": True})
    assert response.json() == {"known": True, "proof": True}
    assert other.targets == [("GET", "/moved", False)]


async def test_a_redirect_that_the_application_follows(
    send: Any, make_api: Callable[..., Awaitable[Api]], api: Api, tokens: TokenSet
) -> None:
    """``next_request`` carries neither token nor proof of the first."""
    other = await make_api(open=True)
    response = await send(DPoPAuth(tokens, origins=[api.url]), "GET", f"{api.url}/moved?status=302&to={other.url}/b")
    assert {"authorization", "dpop"} & set(response.next_request.headers) == set()
    assert {b"authorization", b"dpop"} & {name.lower() for name, _value in response.next_request.headers.raw} == set()


@pytest.mark.parametrize("is_open", [True, False])
async def test_redirects_in_a_circle_end(send: Any, api: Api, tokens: TokenSet, *, is_open: bool) -> None:
    """By httpx2's own limit, be the hops sent again or not."""
    api.open = is_open
    client = {"follow_redirects": True, "max_redirects": 5}
    with pytest.raises(httpx2.TooManyRedirects):
        await send(DPoPAuth(tokens, origins=[api.url]), "GET", f"{api.url}/moved?status=302", client=client)
    assert len(api.requests) <= 12


async def test_another_origin_gets_neither_token_nor_proof(
    send: Any, make_api: Callable[..., Awaitable[Api]], tokens: TokenSet, caplog: pytest.LogCaptureFixture
) -> None:
    """A request to an origin that was not named goes out without either, even where the caller put them in.

    The log says so.
    """
    caplog.set_level(logging.DEBUG, "passwordless_async")
    other = await make_api(open=True)
    auth = DPoPAuth(tokens, origins=["https://api.example"])
    headers = {"Authorization": f"Bearer {tokens.access_token}", "DPoP": "a proof"}
    response = await send(auth, "GET", f"{other.url}/", headers=headers)
    assert response.json() == {"known": False, "proof": False}
    await send(auth, "GET", f"{other.url}/", headers={"Authorization": "Basic eDp5"})
    assert [request.headers.get("Authorization") for request in other.requests] == [None, "Basic eDp5"]
    lines = [record.getMessage() for record in caplog.records if record.name == "passwordless_async"]
    assert lines == [f"sent without a token: {other.url} is not among origins (https://api.example)"] * 2


async def test_a_bound_token_never_goes_out_as_bearer(send: Any, api: Api, tokens: TokenSet) -> None:
    """Whatever the caller puts in the header fields, the origin gets the DPoP scheme and one fresh proof."""
    headers = [("Authorization", f"Bearer {tokens.access_token}"), ("DPoP", "stale"), ("dpop", "staler")]
    response = await send(DPoPAuth(tokens, origins=[api.url]), "GET", f"{api.url}/", headers=headers)
    assert response.status_code == 200
    for request in api.requests:
        assert request.headers.getall("Authorization") == [f"DPoP {tokens.access_token}"]
        assert len(request.headers.getall("DPoP")) == 1


async def test_an_unbound_token_goes_out_as_bearer(
    send: Any, make_api: Callable[..., Awaitable[Api]], tokens: TokenSet
) -> None:
    """Without a proof, in one transmission."""
    api = await make_api(jkt=None)
    response = await send(DPoPAuth(bearer(tokens), origins=[api.url]), "GET", f"{api.url}/me")
    assert response.json() == {"known": True, "proof": False}
    assert api.requests[0].headers["Authorization"] == f"Bearer {tokens.access_token}"


async def test_each_transmission_has_a_new_proof(send: Any, api: Api, tokens: TokenSet) -> None:
    """A request object that is sent again as well."""
    auth = DPoPAuth(tokens, origins=[api.url])
    request = httpx2.Request("GET", f"{api.url}/me")
    async with httpx2.AsyncClient(auth=auth, trust_env=False, verify=PLAIN) as http:
        for _ in range(2):
            assert (await http.send(request)).status_code == 200
    assert (await send(auth, "GET", f"{api.url}/me")).status_code == 200
    assert len({r.headers["DPoP"] for r in api.requests}) == len(api.requests) == 4


async def test_a_rotated_nonce_costs_one_challenge(send: Any, api: Api, tokens: TokenSet) -> None:
    """An expired nonce is replaced, and a new one that an answer offers is taken."""
    auth = DPoPAuth(tokens, origins=[api.url])
    for passed, transmissions in ((0, 2), (STEP, 3), (STEP, 4), (3 * STEP, 6)):
        api.now += passed
        assert (await send(auth, "GET", f"{api.url}/me")).status_code == 200
        assert len(api.requests) == transmissions


async def test_fifty_at_once_on_a_cold_cache(api: Api, tokens: TokenSet) -> None:
    """One asks for the nonce and the others wait for it: N + 1 transmissions."""
    async with httpx2.AsyncClient(auth=DPoPAuth(tokens, origins=[api.url]), trust_env=False, verify=PLAIN) as http:
        responses = await asyncio.gather(*(http.get(f"{api.url}/me") for _ in range(50)))
    assert {response.status_code for response in responses} == {200}
    assert len(api.requests) == 51


async def test_others_go_before_the_challenge_is_answered(api: Api, tokens: TokenSet) -> None:
    """The nonce that the first has learned serves all, while its own second transmission is held."""
    sent, hold = asyncio.Event(), asyncio.Event()

    async def hold_the_second(_request: Any) -> None:
        if api.requests:
            sent.set()
            await hold.wait()

    auth = DPoPAuth(tokens, origins=[api.url])
    hooks = {"request": [hold_the_second]}
    first = asyncio.create_task(send_async(auth, "GET", f"{api.url}/me", client={"event_hooks": hooks}))
    await sent.wait()
    assert auth._credentials._first_nonces[api.url].over  # which is what the others wait for
    assert (await send_async(auth, "GET", f"{api.url}/me")).status_code == 200
    hold.set()
    assert (await first).status_code == 200


async def test_threads_share_one_object(api: Api, tokens: TokenSet) -> None:
    """Each passes, while the nonce rotates."""
    with httpx2.Client(auth=DPoPAuth(tokens, origins=[api.url]), trust_env=False, verify=PLAIN) as http:

        def call() -> set[int]:
            return {http.get(f"{api.url}/me").status_code for _ in range(5)}

        for _ in range(3):
            answers = await asyncio.gather(*(asyncio.to_thread(call) for _ in range(8)))
            assert set().union(*answers) == {200}
            api.now += 3 * STEP
    assert 3 * 41 <= len(api.requests) <= 3 * 48


async def test_cancelled_requests_leave_the_turn_to_others(api: Api, tokens: TokenSet) -> None:
    """The one that went first is cancelled, and the next goes in its place."""
    arrived, hold = asyncio.Event(), asyncio.Event()

    async def wait(_request: Any) -> None:
        arrived.set()
        await hold.wait()

    auth = DPoPAuth(tokens, origins=[api.url])
    async with httpx2.AsyncClient(auth=auth, event_hooks={"request": [wait]}, trust_env=False, verify=PLAIN) as slow:
        first = asyncio.create_task(slow.get(f"{api.url}/me"))
        await arrived.wait()
        second = asyncio.create_task(send_async(auth, "GET", f"{api.url}/me"))
        first.cancel()
        assert (await second).status_code == 200
        await asyncio.wait([first])
        assert first.cancelled()


async def test_nonces_are_shared_with_a_middleware(api: Api, tokens: TokenSet) -> None:
    """Both clients know what one has learned."""
    nonces = NonceCache()
    middleware = DPoPMiddleware(tokens, origins=[api.url], nonces=nonces)
    async with ClientSession(middlewares=[middleware]) as session, session.get(f"{api.url}/me") as response:
        assert response.status == 200
    auth = DPoPAuth(tokens, origins=[api.url], nonces=nonces)
    for sender in (send_sync, send_async):
        assert (await sender(auth, "GET", f"{api.url}/me")).status_code == 200
    assert len(api.requests) == 2 + 1 + 1


@pytest.mark.parametrize(("headers", "error", "sent"), UNANSWERABLE)
async def test_a_challenge_that_cannot_be_answered(
    send: Any, api: Api, tokens: TokenSet, headers: dict[str, str], error: type[Exception], sent: int
) -> None:
    """A second challenge, or one without a usable nonce, is a typed error."""
    api.challenge = {"WWW-Authenticate": 'dPoP error="use_dpop_nonce"', **headers}
    with pytest.raises(error):
        await send(DPoPAuth(tokens, origins=[api.url]), "GET", f"{api.url}/me")
    assert len(api.requests) == sent


class Source:
    """Tokens of which the first are refused."""

    def __init__(self, *tokens: TokenSet) -> None:
        self._tokens = list(tokens)
        self.renewals = 0

    @property
    def tokens(self) -> TokenSet:
        return self._tokens[0]

    def is_renewable(self, _refused: TokenSet) -> bool:
        return True

    async def current(self) -> TokenSet:
        return self._tokens[0]

    async def renew(self, _refused: TokenSet) -> TokenSet:
        self.renewals += 1
        if len(self._tokens) > 1:
            del self._tokens[0]
        return self._tokens[0]


async def test_refused_token_is_renewed_once(api: Api, tokens: TokenSet) -> None:
    """The request goes again with the new token; a second refusal is the caller's."""
    source = Source(attrs.evolve(tokens, access_token=Secret("refused")), tokens)
    auth = DPoPAuth(source, origins=[api.url])
    assert (await send_async(auth, "POST", f"{api.url}/me", content=b"x")).status_code == 200
    assert source.renewals == 1
    api.tokens.clear()
    assert (await send_async(auth, "GET", f"{api.url}/me")).status_code == 401
    assert source.renewals == 2


async def test_token_is_renewed_with_one_connection_in_the_pool(api: Api, tokens: TokenSet) -> None:
    """The refused request holds none while the renewal calls an API through the same pool."""
    limits = httpx2.Limits(max_connections=1)
    async with httpx2.AsyncClient(limits=limits, trust_env=False, verify=PLAIN) as http:

        class Calling(Source):
            async def renew(self, refused: TokenSet) -> TokenSet:
                assert (await http.get(f"{api.url}/elsewhere", auth=DPoPAuth(tokens, origins=[api.url]))).is_success
                return await super().renew(refused)

        source = Calling(attrs.evolve(tokens, access_token=Secret("refused")), tokens)
        async with asyncio.timeout(10):
            response = await http.get(f"{api.url}/me", auth=DPoPAuth(source, origins=[api.url]))
    assert response.status_code == 200


async def test_refused_stream_is_not_sent_again(api: Api, tokens: TokenSet) -> None:
    """The refusal is the caller's: no token is renewed for a body that is used up."""
    source = Source(tokens)
    auth = DPoPAuth(source, origins=[api.url])
    assert (await send_async(auth, "GET", f"{api.url}/me")).status_code == 200
    api.tokens.clear()
    assert (await send_async(auth, "POST", f"{api.url}/me", content=async_pieces())).status_code == 401
    assert source.renewals == 0


async def test_refused_token_of_a_fixed_set_is_returned(send: Any, api: Api, tokens: TokenSet) -> None:
    """There is none to renew it with."""
    api.tokens.clear()
    assert (await send(DPoPAuth(tokens, origins=[api.url]), "GET", f"{api.url}/me")).status_code == 401
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "changes", [{"key": DPoPKey.generate()}, {"token_type": "Bearer"}, {"token_type": "Bearer", "key": None}]
)
async def test_renewed_tokens_of_another_key_are_refused(api: Api, tokens: TokenSet, changes: dict[str, Any]) -> None:
    """Tokens and key stay together, and a bound session never falls back to Bearer."""
    source = Source(tokens, attrs.evolve(tokens, **changes))
    auth = DPoPAuth(source, origins=[api.url])
    await source.renew(tokens)
    with pytest.raises(KeyMismatch):
        await send_async(auth, "GET", f"{api.url}/me")
    assert api.requests == []


async def test_source_of_tokens_needs_the_async_client(api: Api, tokens: TokenSet) -> None:
    """A ``Client`` cannot wait for a renewal: it sends nothing."""
    with pytest.raises(UsageError, match="AsyncClient") as caught:
        await send_sync(DPoPAuth(Source(tokens), origins=[api.url]), "GET", f"{api.url}/me")
    assert caught.value.argument == "tokens"
    assert api.requests == []


async def test_session_of_a_client_renews(make_api: Callable[..., Awaitable[Api]]) -> None:
    """Tokens of a tenant, renewed there when the API refuses them; ``on_refresh`` keeps the new ones."""
    ada = Email("ada@example.com")
    async with LocalTenant() as tenant, PasswordlessClient(tenant.url, tenant.public_client_id) as client:
        await client.start(ada)
        code = tenant.outbox.code_for(ada)
        tokens = await client.exchange(ada, code, scope="openid offline_access", audience=BOUND_API)
        api = await make_api(jkt=tokens.jkt, tokens=set())

        class Accepting(list[TokenSet]):
            def append(self, renewed: TokenSet) -> None:
                api.tokens.add(str(renewed.access_token))
                super().append(renewed)

        kept = Accepting()
        session = client.session(tokens, origins=[api.url], on_refresh=kept.append)
        response = await send_async(DPoPAuth(session, origins=[api.url]), "GET", f"{api.url}/me")
    assert (response.status_code, len(kept)) == (200, 1)


async def test_secrets_are_in_no_repr_and_no_log(
    send: Any, api: Api, tokens: TokenSet, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor in errors, copies and pickles; by name, a hook can read them."""
    read: list[str] = []

    def sync_hook(request: httpx2.Request) -> None:
        read.extend([request.headers["authorization"], request.headers.get("DPoP", "")])
        assert "DPoP" in request.headers

    async def async_hook(request: httpx2.Request) -> None:
        sync_hook(request)

    hook = sync_hook if send is send_sync else async_hook
    auth = DPoPAuth(tokens, origins=[api.url])
    with caplog.at_level(logging.DEBUG):
        response = await send(auth, "GET", f"{api.url}/me", client={"event_hooks": {"request": [hook]}})
        api.tokens.clear()
        refused = await send(auth, "GET", f"{api.url}/me")
    with pytest.raises(httpx2.HTTPStatusError) as caught:
        refused.raise_for_status()
    headers = response.request.headers
    shown = [auth, response, response.request, headers, dict(headers), caught.value, caught.value.request.headers]
    copies = [copy.copy(headers), copy.deepcopy(headers), headers.copy(), pickle.loads(pickle.dumps(headers))]  # noqa: S301 - our own
    printed = repr([*shown, *copies, *read]) + caplog.text + repr(headers.raw)
    assert str(tokens.access_token) not in printed
    assert "eyJ" not in printed
    assert [len(one.raw) for one in copies] == [len(headers.raw) - 2] * 4
    assert read[0] == f"DPoP {tokens.access_token}"
    assert read[1].startswith("eyJ")


async def test_tracebacks_with_locals_show_no_secret(send: Any, tokens: TokenSet) -> None:
    """Those of a connection that failed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(httpx2.ConnectError) as caught:
        await send(DPoPAuth(tokens, origins=[url]), "POST", f"{url}/me", content=b"x")
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    printed = "".join(report.format())
    assert "auth_flow = " in printed
    assert str(tokens.access_token) not in printed
    assert "eyJ" not in printed


async def test_header_fields_that_a_hook_sets_are_sent(api: Api, tokens: TokenSet) -> None:
    """As tracing libraries do; the credentials stay those of the auth."""

    async def hook(request: httpx2.Request) -> None:
        request.headers["traceparent"] = "00-1-2-01"
        request.headers["Authorization"] = "Basic eDp5"

    async with httpx2.AsyncClient(
        auth=DPoPAuth(tokens, origins=[api.url]), event_hooks={"request": [hook]}, trust_env=False, verify=PLAIN
    ) as http:
        assert (await http.get(f"{api.url}/me")).status_code == 200
    assert {CIMultiDict(r.headers)["traceparent"] for r in api.requests} == {"00-1-2-01"}


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"tokens": "an-access-token"}, "tokens"),
        ({"tokens": None}, "tokens"),
        ({"origins": "https://api.example"}, "origins"),
        ({"origins": ["http://api.example"]}, "origins"),
        ({"origins": ["https://api.example/path"]}, "origins"),
        ({"nonces": {}}, "nonces"),
    ],
)
def test_arguments_are_checked(tokens: TokenSet, changes: dict[str, Any], argument: str) -> None:
    """Each error names its argument, and shows no token."""
    arguments = {"tokens": tokens, "origins": ["https://api.example"], **changes}
    with pytest.raises(UsageError) as caught:
        DPoPAuth(arguments.pop("tokens"), **arguments)
    assert (caught.value.argument, "an-access-token" in str(caught.value)) == (argument, False)


def test_the_repr_shows_origins_alone(tokens: TokenSet) -> None:
    """Neither the token nor the key is in it."""
    assert repr(DPoPAuth(tokens, origins=["https://API.example:443"])) == "<DPoPAuth for https://api.example>"
