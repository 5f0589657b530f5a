"""The signing keys of an issuer: where they are (RFC 8414, OpenID Connect Discovery), and when they are fetched.

Without I/O: a fetch is a generator that yields requests. Invariants:

- The metadata is the issuer's own: its ``issuer`` is the configured one, to the letter (RFC 8414 §3.3).
- The key set is read by https, or by plain http where the issuer itself is plain http on loopback.
- Cached keys are used during an outage for as long as :class:`~passwordless_async.auth0.jwks.SigningKeys` allows.
- If there are no keys, a failing issuer is not asked again for a moment: each request would wait for it.
- An unknown ``kid`` causes few fetches, then a pause: a flood of forged tokens costs no more than that.
- A failed fetch is logged once: requests that wait for keys are answered 503, without the reason.
"""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs
from yarl import URL

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.origin import parse_origin
from passwordless_async._common.secret import conceal
from passwordless_async.auth0.jwks import SigningKeys
from passwordless_async.auth0.metadata import endpoint_of
from passwordless_async.errors import MalformedAnswer, PasswordlessError, UsageError

if TYPE_CHECKING:
    from passwordless_async.auth0.jwks import SigningKey
    from passwordless_async.auth0.tenant import Flow

RETRY_SECONDS = 5.0  # after a fetch that failed, while there are no keys
_METADATA_SECONDS = 86_400.0  # that the place of the key set is remembered; a fetch that fails forgets it
_MAX_ISSUER = 2048  # characters
_log = logging.getLogger("passwordless_async")


def _issuer_url(value: object) -> URL:
    # Concealed: a URL that is refused may have credentials.
    text = _check.text("issuer", conceal(value), at_most=_MAX_ISSUER)
    if "://" not in text or "?" in text or "#" in text or "@" in text:
        # RFC 8414 §2.
        raise UsageError(
            "issuer", "must be the iss of its tokens, a URL without query and fragment: https://acme.eu.auth0.com/"
        )
    scheme, _, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    origin = parse_origin("issuer", f"{scheme}://{host}")
    if not slash and (origin.host or "").endswith(".auth0.com"):
        # Others, such as Google's, have none.
        raise UsageError(
            "issuer", "must end with a slash, as the iss of Auth0's tokens does: https://acme.eu.auth0.com/"
        )
    return URL(f"{origin}{slash}{path}", encoded=True)


@attrs.define(eq=False, repr=False)
class IssuerKeys:
    """The signing keys of one issuer; kept for the server's lifetime.

    Attributes:
        issuer: The ``iss`` of its tokens.
        algorithms: The accepted algorithms.
        signing: The keys.
        generation: Counts how often the keys changed.
    """

    issuer: str
    algorithms: tuple[str, ...]
    _base: URL = attrs.field(init=False)
    signing: SigningKeys = attrs.field(init=False)
    generation: int = attrs.field(default=0, init=False)
    _learned: bytes = attrs.field(default=b"", init=False)
    _jwks_url: URL | None = attrs.field(default=None, init=False)
    _located_at: float = attrs.field(default=-math.inf, init=False)
    _rests_until: float = attrs.field(default=-math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        self._base = _issuer_url(self.issuer)
        self.signing = SigningKeys(self.algorithms)

    def get(self, kid: str, alg: str) -> SigningKey | None:
        """Return a key; None if it is unknown or the keys are too old."""
        return self.signing.get(kid, alg)

    @property
    def is_remote(self) -> bool:
        """Whether the issuer is reached by https; it is on this machine otherwise."""
        return self._base.scheme == "https"

    @property
    def must_wait(self) -> bool:
        """Whether there are no keys, and the issuer failed a moment ago."""
        return self.signing.empty and _clock.monotonic() < self._rests_until

    def fetch(self, *, revalidate: bool = False) -> Flow[None]:
        """Fetch the key set, and before it the metadata if that is due; failures are recorded, not raised.

        With ``revalidate``, caches on the way must ask the issuer before they answer (RFC 9111 §5.2.1.4).
        """
        headers = {"Cache-Control": "no-cache"} if revalidate else {}
        try:
            if self._jwks_url is None or _clock.monotonic() - self._located_at >= _METADATA_SECONDS:
                self._jwks_url = yield from self._locate()
                self._located_at = _clock.monotonic()
            response = yield HttpRequest("GET", self._jwks_url, headers, shareable=True)
            self.signing.learn(response)
        except PasswordlessError as error:
            self.failed(error)
            return
        if response.body != self._learned:
            self.generation, self._learned = self.generation + 1, bytes(response.body)

    def failed(self, error: PasswordlessError) -> None:
        """Record that a fetch failed, and log the reason, which the API's clients do not get."""
        _log.warning("The signing keys of %s cannot be fetched: %s", self.issuer, error)
        self.signing.failed(error)
        self._jwks_url = None
        self._rests_until = _clock.monotonic() + RETRY_SECONDS

    def _locate(self) -> Flow[URL]:
        """Read where the key set is."""
        for url in self._metadata_urls():
            response = yield HttpRequest("GET", url, {}, shareable=True)
            if response.status != HTTPStatus.NOT_FOUND:
                break
        return self._read_metadata(response)

    def _metadata_urls(self) -> tuple[URL, URL]:
        origin, path = str(self._base.origin()), self._base.raw_path.removesuffix("/")
        return (
            URL(f"{origin}{path}/.well-known/openid-configuration", encoded=True),  # OpenID Connect Discovery §4
            URL(f"{origin}/.well-known/oauth-authorization-server{path}", encoded=True),  # RFC 8414 §3
        )

    def _read_metadata(self, response: HttpResponse) -> URL:
        status = response.status
        if status != HTTPStatus.OK:
            raise MalformedAnswer("the issuer's metadata cannot be read", status=status)
        document = response.require_json_object()
        issuer = document.get("issuer")
        if issuer != self.issuer:
            with_slash = f"{self.issuer}/"
            hint = f": it is {with_slash}, with a slash" if issuer == with_slash else ""
            raise MalformedAnswer(f"the metadata's issuer is not {self.issuer}{hint}", status=status)
        return endpoint_of("jwks_uri", document.get("jwks_uri"), status, scheme=self._base.scheme)

    def __repr__(self) -> str:
        return f"<IssuerKeys of {self.issuer}>"
