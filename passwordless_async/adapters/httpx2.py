"""DPoP for API calls by httpx2, the maintained continuation of httpx (RFC 9449 §7); needs the extra ``httpx2``.

.. code-block:: python

    from passwordless_async.adapters.httpx2 import DPoPAuth

    async with httpx2.AsyncClient(auth=DPoPAuth(tokens, origins=["https://api.example"])) as http:
        response = await http.get("https://api.example/me")

:mod:`~passwordless_async.client.api.credentials` decides which credentials each request gets, as for
``DPoPMiddleware``.

Redirects: httpx2 follows them below its ``Auth``, with a copy of the first request's header fields. The copy has
neither token nor proof, so another origin gets none. A hop to a named origin is sent again with both if its method is
safe, or if the response was 401, because such a request had no effect.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from multidict import CIMultiDict
from yarl import URL

from passwordless_async._common.extras import missing_extra
from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import SecretBytes, SecretDict, always_printable
from passwordless_async.client.api.credentials import NAMES, ApiCredentials, concealed_tokens, target_of
from passwordless_async.errors import UsageError

try:
    import httpx2
except ModuleNotFoundError as _missing:
    raise missing_extra("httpx2", _missing, library="httpx2") from None

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterable

    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.api.credentials import TokenSource
    from passwordless_async.dpop import NonceCache

__all__ = ["DPoPAuth"]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "TRACE"})  # RFC 9110 §9.2.1, RFC 10008
_RAW_NAMES = frozenset(name.lower().encode() for name in NAMES)
_Multipart = type(httpx2.Request("POST", "https://api.example", files={"file": b""}).stream)


@always_printable
class DPoPAuth(httpx2.Auth):
    """Sends an access token with a proof: ``httpx2.AsyncClient(auth=DPoPAuth(...))``, or ``httpx2.Client``.

    Requests and redirects to other origins carry neither token nor proof. A nonce challenge is answered if its nonce is
    new, up to three in one call. With ``AsyncClient`` a 401 ``invalid_token`` is answered once with renewed tokens if
    they can be renewed. An unbound token is sent as ``Bearer`` without a proof; a bound one never is.

    ``AsyncClient`` must run on asyncio. The threads of a ``Client`` may share one object.

    Args:
        tokens: The tokens, with their key if they are bound to one; for ``AsyncClient`` also their source.
        origins: The origins that the access token is for: ``https://api.example``; plain http on loopback only.
        nonces: The servers' nonces, to share them with other clients; a new cache if None.

    Raises:
        UsageError: An argument has a wrong type, or an origin is not one.
    """

    def __init__(
        self, tokens: TokenSet | TokenSource, *, origins: Iterable[str], nonces: NonceCache | None = None
    ) -> None:
        tokens = concealed_tokens(tokens)
        self._credentials = ApiCredentials(tokens, origins=origins, nonces=nonces)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Send one request of a ``Client``, and send it again if the server demands another nonce.

        Raises:
            UsageError: The tokens have a source: renewing them needs ``AsyncClient``.
            UseDPoPNonce: The server demands another nonce and the body, a stream, is used up. The nonce is kept: send
                the request again with a new body.
            NonceChallengeRepeated: The server challenges again with a nonce that was used, or a fourth time.
            MalformedAnswer: The server demands a nonce and gives none.
        """
        tokens = self._credentials.fixed_tokens
        if tokens is None:
            raise UsageError("tokens", "must be a TokenSet for httpx2.Client: a source of tokens needs AsyncClient")
        call: _Call | None = _Call(self._credentials, request)
        while call is not None:
            transmission: httpx2.Request | None = call.begin(tokens)
            while transmission is not None:
                response = yield transmission
                transmission = call.proceed(response)
            call = call.next_hop(response)

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send one request of an ``AsyncClient``, and send it again if the server demands it or refuses the token.

        Raises:
            KeyMismatch: The source's tokens are not bound to the key of the first ones.
            PasswordlessError: What the source raises, and what :meth:`auth_flow` does.
        """
        renewed: TokenSet | None = None
        call: _Call | None = _Call(self._credentials, request)
        while call is not None:
            tokens = None if call.is_foreign else renewed or await self._credentials.current()
            async with self._credentials.turn(call.origin) as answered:
                transmission: httpx2.Request | None = call.begin(tokens)
                while transmission is not None:
                    response = yield transmission
                    answered(call.answer(response).status_code)
                    transmission = call.proceed(response)
            if tokens is not None and renewed is None and call.calls_for_renewal(response, tokens):
                # Its connection goes with it: on_refresh may call APIs through the same pool.
                await response.aread()
                renewed = await self._credentials.renew(tokens)
            else:
                call, renewed = call.next_hop(response), None

    def __repr__(self) -> str:
        return f"<DPoPAuth for {self._credentials}>"


class _Call:
    """One request to one URL, until its response is neither a challenge nor a refused token."""

    def __init__(self, credentials: ApiCredentials, request: httpx2.Request) -> None:
        self._credentials = credentials
        self._request = request
        self._url = _url(request)
        self._transmissions: Generator[SecretDict, HttpResponse, object] | None = None
        self.origin = str(self._url.origin())
        self.is_foreign = not credentials.is_for(self.origin)
        if self.is_foreign:
            credentials.log_unnamed(self.origin)

    def begin(self, tokens: TokenSet | None) -> httpx2.Request:
        """Return the first transmission."""
        headers = httpx2.Headers(self._request.headers)
        # A proof that the caller set would be sent again unchanged, here and on the next hop.
        headers.pop("DPoP", None)
        if self.is_foreign or tokens is None:
            if self._credentials.is_revealed_by(headers.get("Authorization", "")):
                del headers["Authorization"]
            self._request.headers = headers
            return self._request
        headers.pop("Authorization", None)
        self._request.headers = headers
        self._transmissions = self._credentials.transmissions(tokens, self.origin, self._request.method, self._url)
        return self._with(next(self._transmissions))

    def _with(self, fields: SecretDict) -> httpx2.Request:
        self._request.headers = _AuthorizedHeaders(self._request.headers, fields)
        return self._request

    def proceed(self, response: httpx2.Response) -> httpx2.Request | None:
        """Return the next transmission; None if the response is no challenge."""
        if self._transmissions is None:
            return None
        try:
            fields = self._transmissions.send(_head(self.answer(response)))
        except StopIteration:
            return None
        if not _is_repeatable(self._request):
            raise self._credentials.body_is_used_up(self.origin)
        return self._with(fields)

    def answer(self, response: httpx2.Response) -> httpx2.Response:
        """Return what answered the last transmission: ``response``, unless it was a redirect that httpx2 followed."""
        chain = [*response.history, response]
        return chain[self._place(chain)]

    def _place(self, chain: list[httpx2.Response]) -> int:
        return max(place for place, hop in enumerate(chain) if hop.request is self._request)

    def calls_for_renewal(self, response: httpx2.Response, tokens: TokenSet) -> bool:
        """Return whether the token was refused, and the request can be sent again with another one."""
        refused = self._credentials.calls_for_renewal(_head(self.answer(response)), tokens)
        return refused and _is_repeatable(self._request)

    def next_hop(self, response: httpx2.Response) -> _Call | None:
        """Return the first hop of a redirect that has to be sent again, with the token and a proof."""
        chain = [*response.history, response]
        for hop in chain[self._place(chain) + 1 :]:
            had_no_effect = hop.request.method in _SAFE_METHODS or hop.status_code == HTTPStatus.UNAUTHORIZED
            call = _Call(self._credentials, hop.request)
            if had_no_effect and not call.is_foreign and _is_repeatable(hop.request):
                return call
        return None


class _AuthorizedHeaders(httpx2.Headers):
    """The header fields of one transmission: the transport finds the credentials in ``raw``, a copy has none.

    So they follow no redirect, and are in no repr. By name they can be read, as secrets.
    """

    def __init__(self, headers: httpx2.Headers, fields: SecretDict) -> None:
        super().__init__(headers)
        self._fields = fields

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """All fields, as they are sent."""
        others = [(name, value) for name, value in super().raw if name.lower() not in _RAW_NAMES]
        return others + [(name.encode(), SecretBytes(value.encode())) for name, value in self._fields.items()]

    def __getitem__(self, key: str) -> str:
        value = self._credential(key)
        return super().__getitem__(key) if value is None else value

    def __contains__(self, key: object) -> bool:
        return self._credential(key) is not None or super().__contains__(key)

    def _credential(self, key: object) -> str | None:
        for name, value in self._fields.items():
            if isinstance(key, str) and name.lower() == key.lower():
                credential: str = value
                return credential
        return None

    def __reduce__(self) -> tuple[type[httpx2.Headers], tuple[list[tuple[str, str]]]]:
        return httpx2.Headers, (self.multi_items(),)


def _url(request: httpx2.Request) -> URL:
    """Return the URL as it is sent, for the proof."""
    url = request.url
    return target_of(URL(f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}", encoded=True))


def _head(response: httpx2.Response) -> HttpResponse:
    return HttpResponse(response.status_code, CIMultiDict(response.headers.multi_items()))


def _is_repeatable(request: httpx2.Request) -> bool:
    """Return whether the body can be sent again: it is in memory, or made of files that can be rewound."""
    stream = request.stream
    if isinstance(stream, _Multipart):
        files = [getattr(field, "file", b"") for field in getattr(stream, "fields", [])]
        return bool(files) and all(isinstance(file, (str, bytes)) or _is_seekable(file) for file in files)
    return isinstance(stream, httpx2.ByteStream)


def _is_seekable(file: object) -> bool:
    seekable = getattr(file, "seekable", None)
    return callable(seekable) and bool(seekable())
