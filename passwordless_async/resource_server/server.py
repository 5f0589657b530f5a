"""A resource server: checks the requests of an API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import always_printable
from passwordless_async.auth0.clocks import checked_skew
from passwordless_async.dpop.server.refusal import Offer
from passwordless_async.dpop.server.uri import base_urls
from passwordless_async.dpop.server.verifier import DPoPVerifier
from passwordless_async.errors import UsageError
from passwordless_async.resource_server.access_token import (
    AccessToken,
    TokenRules,
    check_times,
    read_claims,
    read_header,
    token_hash,
    verify,
)
from passwordless_async.resource_server.fetching import KeyFetcher
from passwordless_async.resource_server.guard import Authorized, Guard, presented_by, schemes_of
from passwordless_async.resource_server.keys import IssuerKeys
from passwordless_async.resource_server.metadata import ResourceMetadata, metadata_path, metadata_url
from passwordless_async.resource_server.requirements import LoginClaims, Required, Requirements, names
from passwordless_async.resource_server.verified import Verified, VerifiedTokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import ClientSession
    from yarl import URL

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.tenant import DPoPMode
    from passwordless_async.dpop.server.fields import Headers
    from passwordless_async.dpop.server.nonce_issuer import NonceIssuer
    from passwordless_async.dpop.server.replay import ReplayStore
    from passwordless_async.resource_server.guard import Validator

ALGORITHMS = ("RS256", "RS512", "PS256", "ES256")
_KNOWN_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384")
_MAX_NAMES = 100  # of issuers, and of audiences


@attrs.frozen
class Parts:
    """The parts of a resource server, for the adapters, which check their arguments once.

    Attributes:
        guards: The guard of each base URL.
        validate: Validates an access token.
        issuers: The accepted issuers.
        metadata: The metadata to publish; None: nothing.
        scopes: The scopes that are known to be required, in order, for documents; an adapter adds its own.
    """

    guards: Mapping[str, Guard]
    validate: Validator
    issuers: tuple[str, ...]
    metadata: ResourceMetadata | None
    scopes: dict[str, None] = attrs.field(init=False)

    @scopes.default
    def _published(self) -> dict[str, None]:
        return dict.fromkeys(self.metadata.scopes_supported if self.metadata else ())


def _rules(issuers: Iterable[str], audiences: Iterable[str], algorithms: Iterable[str]) -> TokenRules:
    return TokenRules(frozenset(issuers), frozenset(audiences), frozenset(algorithms))


def _claim(argument: str, value: object) -> str:
    """Return the name of a claim; a challenge quotes it."""
    if not isinstance(value, str) or names(argument, value) != (value,):
        raise UsageError(argument, "must be the name of a claim, without spaces")
    return value


def parts_of(server: object) -> Parts:
    """Return the parts of a resource server; anything else raises :class:`UsageError`."""
    if not isinstance(server, ResourceServer):
        raise UsageError("server", "must be a ResourceServer")
    return server._parts  # noqa: SLF001 - a function of the class's module


@always_printable
class ResourceServer:
    """Checks the requests of an API: access tokens, proofs, scopes and logins. Create one for the lifetime of the API.

    Access tokens are JWTs of the RFC 9068 profile or of the Auth0 profile. Signing keys are found through discovery,
    cached, and fetched again for a new ``kid``. You need not close it, and may use it in several event loops, one after
    the other.

    Args:
        issuer: The exact ``iss`` of accepted tokens, or several. Auth0's ends with a slash:
            ``https://acme.eu.auth0.com/``. If it is missing for a domain of ``auth0.com``, :class:`UsageError` is
            raised. If a slash is missing or superfluous for another domain, each token is refused, and the
            ``error_description`` says so.
        audience: The API's identifier, or several: a token must be for at least one of them.
        base_url: The URL that clients use, or several, as for :class:`~passwordless_async.DPoPVerifier`.
        dpop: ``required`` accepts only bound tokens with a proof. ``preferred`` also accepts unbound Bearer tokens.
            ``off`` accepts only Bearer tokens. A bound token is never accepted as a Bearer token.
        replay: Remembers used proofs, for the lifetime of the API; all its processes must share it. Not needed for
            ``off``.
        nonces: Issues nonces for proofs; without it, a ``nonce`` in a proof is ignored.
        require_nonce: Whether a proof must have a nonce if ``nonces`` is given.
        proof_max_age: The oldest accepted proof by its ``iat``, in seconds.
        algorithms: The accepted signature algorithms of tokens: some of RS256, RS384, RS512, PS256, PS384, PS512,
            ES256, ES384.
        clock_skew: Seconds by which this machine's clock and another one's may differ: from 0 to 600. It applies to the
            times of tokens and of proofs.
        metadata: The metadata to publish about the API (RFC 9728): challenges then point to it, and you must serve
            :meth:`metadata_documents`. None: nothing.
        auth_time_claim: The claim of access tokens that says when the user logged in, for ``max_age``. Auth0 adds none
            and reserves the plain name: an Action sets one with a namespace, ``https://api.example/auth_time``.
        acr_claim: The claim that says how the user logged in, for ``acr_values``; the same applies.
        http: A session to fetch signing keys with, for example one with a proxy; it must verify certificates. By
            default, each fetch opens its own session.
        clock: The wall clock: seconds since the UNIX epoch.

    Raises:
        UsageError: An argument has a wrong type or value.
    """

    __slots__ = (
        "_clock",
        "_fetchers",
        "_guards",
        "_login_claims",
        "_metadata",
        "_mode",
        "_parts",
        "_rules",
        "_skew",
        "_verified",
    )

    def __init__(  # noqa: PLR0913 - what a resource server is made of, each with its default
        self,
        *,
        issuer: str | Iterable[str],
        audience: str | Iterable[str],
        base_url: str | URL | Iterable[str | URL],
        dpop: DPoPMode = "required",
        replay: ReplayStore | None = None,
        nonces: NonceIssuer | None = None,
        require_nonce: bool = True,
        proof_max_age: float = 60,
        algorithms: Iterable[str] = ALGORITHMS,
        clock_skew: float = 10,
        metadata: ResourceMetadata | None = None,
        auth_time_claim: str = "auth_time",
        acr_claim: str = "acr",
        http: ClientSession | None = None,
        clock: Callable[[], float] = _clock.now,
    ) -> None:
        self._skew, self._clock, self._mode, self._metadata = checked_skew(clock_skew), clock, dpop, metadata
        accepted, issuers = _algorithms(algorithms), _one_or_several("issuer", issuer)
        self._rules = _rules(issuers, _one_or_several("audience", audience), accepted)
        self._fetchers = {each: KeyFetcher(IssuerKeys(each, accepted), http) for each in issuers}
        if "dpop" not in schemes_of(dpop):
            verifier = None
        elif replay is None:
            raise UsageError("replay", "must be a ReplayStore for the lifetime of the API: MemoryReplayStore()")
        else:
            verifier = DPoPVerifier(
                replay=replay,
                base_url=base_url,
                nonces=nonces,
                require_nonce=require_nonce,
                max_age=_check.at_least_zero("proof_max_age", proof_max_age),
                skew=self._skew,
                clock=clock,
            )
        self._login_claims = _login_claims(self._skew, clock, auth_time_claim, acr_claim)
        self._guards, self._verified = self._made_guards(verifier, base_urls(base_url)), VerifiedTokens()
        self._parts = Parts(self._guards, self._validate, issuers, metadata)

    def _made_guards(self, verifier: DPoPVerifier | None, bases: Iterable[str]) -> dict[str, Guard]:
        """Return a guard for each base URL."""
        published = self._metadata is not None
        if published:
            _check.instance("metadata", self._metadata, ResourceMetadata, named="a ResourceMetadata")
        schemes = schemes_of(self._mode)
        return {
            base: Guard(verifier, Offer(schemes, base, metadata_url(base) if published else None), self._login_claims)
            for base in bases
        }

    async def authorize(
        self, method: str, url: str | URL, headers: Headers, **requirements: Unpack[Requirements]
    ) -> Authorized:
        """Check a request, and spend its proof.

        Pass scopes, permissions and classes as an iterable of strings, or as one string separated by spaces. A name in
        an iterable may have a comma (RFC 6749 §3.3); one string with a comma is refused.

        Args:
            method: The request's method, in its original case.
            url: The request's path and query, not decoded, or its URL.
            headers: The request's header fields, names in any case: a multi-value mapping, or pairs of ``str`` or
                ``bytes``.
            requirements: ``scopes``: the token must have all; ``any_scope``: at least one; ``permissions``: all;
                ``max_age``: the maximum age of the user's login in seconds; ``acr_values``: the login must have one of
                these authentication context classes (RFC 9470).

        Returns:
            The caller, and what they may do.

        Raises:
            OAuthError: The request is refused: all errors below but the last. ``status``, ``headers`` and ``body`` are
                the response.
            InvalidToken: There is no token, or more than one, or it is invalid; ``status`` is 401 or 400.
            InsufficientScope: The token lacks a scope or a permission; ``status`` is 403.
            InsufficientUserAuthentication: The user must log in again, or more strongly; ``status`` is 401.
            InvalidDPoPProof: The proof is refused; ``status`` is 401, or 503 if the replay store cannot record it.
            UseDPoPNonce: The proof needs a nonce; ``status`` is 401.
            TemporarilyUnavailable: The signing keys cannot be fetched; ``status`` is 503.
            UsageError: An argument has a wrong type or value.
        """
        presented, headers = presented_by(headers), ()
        required = Required.of(requirements)
        return await self._guard_of(url).authorize(method, url, presented, self._validate, required)

    def metadata_documents(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the metadata documents to serve, by their paths (RFC 9728 §3); empty without ``metadata``.

        If base URLs of several hosts have the same path, serve :meth:`metadata_document` for the host of each request.
        """
        return {metadata_path(base): self.metadata_document(base) for base in self._guards if self._metadata}

    def metadata_document(self, base_url: str | URL) -> Mapping[str, Any]:
        """Return the metadata of one base URL (RFC 9728 §2).

        Raises:
            UsageError: It is none of the server's base URLs, or the server has no ``metadata``.
        """
        (base,) = base_urls(base_url)
        if self._metadata is None:
            raise UsageError("metadata", "was not given")
        if base not in self._guards:
            raise UsageError("base_url", "is none of the server's")
        return self._metadata.document(base, issuers=self._fetchers, mode=self._mode)

    def _guard_of(self, url: object) -> Guard:
        """Return the guard of the base URL that a request came to, by its URL; of the first if that does not say."""
        text = str(url)
        # One base URL may be the beginning of another.
        base = max((base for base in self._guards if text.startswith(f"{base}/")), key=len, default=None)
        return next(iter(self._guards.values())) if base is None else self._guards[base]

    async def _validate(self, token: Secret) -> AccessToken:
        """Check a token; the signature of one that was verified before, with the same keys, is not checked again.

        Its times are, and other keys of its issuer void it.
        """
        digest = token_hash(token)
        known = self._verified.get(digest)
        if known is not None:
            await known.fetcher.refresh()
        if known is None or not known.is_current:
            known = await self._verify(token)
            self._verified.put(digest, known)
        check_times(known.token.claims, self._clock(), self._skew)
        return known.token

    async def _verify(self, token: Secret) -> Verified:
        header = read_header(token, self._rules)
        claims = read_claims(token, self._rules)
        fetcher = self._fetchers[claims["iss"]]
        key = await fetcher.find(header.kid, header.alg)
        generation = fetcher.keys.generation
        return Verified(verify(token, header, claims, key, self._rules), fetcher, generation, len(token))

    def __repr__(self) -> str:
        return f"<ResourceServer for {', '.join(self._guards)}, dpop={self._mode}>"


def _login_claims(skew: float, clock: Callable[[], float], auth_time: object, acr: object) -> LoginClaims:
    return LoginClaims(skew, clock, _claim("auth_time_claim", auth_time), _claim("acr_claim", acr))


def _one_or_several(argument: str, given: object) -> tuple[str, ...]:
    values = given if isinstance(given, Iterable) and not isinstance(given, str | bytes) else (given,)
    texts = tuple(dict.fromkeys(_check.printable(argument, each, at_most=_check.MAX_AUDIENCE) for each in values))
    if not 0 < len(texts) <= _MAX_NAMES:
        raise UsageError(argument, f"must be one to {_MAX_NAMES} strings")
    return texts


def _algorithms(given: object) -> tuple[str, ...]:
    # A text is iterable: "RS256" without brackets and comma would be five algorithms.
    algorithms = () if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if not algorithms or any(alg not in _KNOWN_ALGORITHMS for alg in algorithms):
        raise UsageError("algorithms", f"must be some of {', '.join(_KNOWN_ALGORITHMS)}, in a list")
    return algorithms
