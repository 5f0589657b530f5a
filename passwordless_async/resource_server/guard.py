"""Decides whether a request may pass, and builds the response to one that may not, in one place for all adapters.

RFC 6750, RFC 9449 §7. Invariants:

- A request has one ``Authorization`` header. Tokens in a query or a form are never read (RFC 6750 §2.2, §2.3).
- A bound token sent as ``Bearer`` is refused in every mode: a thief would have stripped the proof.
- An unbound token sent as ``DPoP`` is refused.
- Unless the mode is ``off``, a ``DPoP`` header beside ``Bearer`` is refused.
- A refusal contains its response. The error code is in the challenge of the scheme that was used (RFC 9449 §7.2). There
  is none if the request had no credentials, or their scheme is not accepted (RFC 6750 §3.1).
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import attrs

from passwordless_async._common.secret import Secret, redacted
from passwordless_async.dpop.server.checked import BIND, PresentedToken
from passwordless_async.dpop.server.fields import Headers, ProofFields, values_of
from passwordless_async.dpop.server.refusal import Offer, Scheme, nonce_headers, told_in_body
from passwordless_async.dpop.server.replay import user_of
from passwordless_async.errors import (
    InsufficientScope,
    InsufficientUserAuthentication,
    InvalidDPoPProof,
    InvalidToken,
    TemporarilyUnavailable,
    UsageError,
    UseDPoPNonce,
)
from passwordless_async.resource_server.access_token import AccessToken, refused
from passwordless_async.resource_server.requirements import NOTHING, LoginClaims, Required, require

if TYPE_CHECKING:
    from yarl import URL

    from passwordless_async.auth0.tenant import DPoPMode
    from passwordless_async.dpop.server.checked import CheckedProof
    from passwordless_async.dpop.server.verifier import DPoPVerifier

Validator: TypeAlias = Callable[
    [Secret], AccessToken | Mapping[str, Any] | Awaitable[AccessToken | Mapping[str, Any] | None] | None
]
Refusal: TypeAlias = (
    InvalidToken
    | InsufficientScope
    | InsufficientUserAuthentication
    | InvalidDPoPProof
    | UseDPoPNonce
    | TemporarilyUnavailable
)
REFUSALS: tuple[type[Refusal], ...] = get_args(Refusal)
"""The errors that refuse a request; each has ``status``, ``headers`` and ``body`` for the response."""

_log = logging.getLogger("passwordless_async")
_SCHEMES: dict[DPoPMode, tuple[Scheme, ...]] = {
    "required": ("dpop",),
    "preferred": ("dpop", "bearer"),
    "off": ("bearer",),
}
_SCHEME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §11.1, §5.6.2
_BY_NAME: dict[str, Scheme] = {"dpop": "dpop", "bearer": "bearer"}
_TOKEN68 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"  # RFC 9110 §11.2
# For an operator, and never with what the client sent: a token may come without its scheme.
_NOTHING_CAME = "There was no Authorization header: have the client send its access token."
_NOT_ACCEPTED: dict[Scheme, str] = {
    "bearer": "It came as Bearer: have the client send a bound token as DPoP with a proof, or set dpop to 'preferred'.",
    "dpop": "It came as DPoP: set dpop to 'preferred' or 'required', or have the client get tokens that are not bound.",
}
_SEND_AS_DPOP = "It came as Bearer: have the client send it as DPoP with a proof by its key."
_SEND_NO_PROOF = "It came as Bearer: have the client send no DPoP header with it, or get bound tokens."
_GET_BOUND = f"It came as DPoP. {BIND}"


@attrs.frozen
class Authorized:
    """An authorized request.

    Attributes:
        claims: The claims of the access token; read-only.
        subject: The user, or the application that acts for itself; empty if your own validator returned no ``sub``.
        client_id: The application that the token was issued to (``client_id`` or ``azp``); None if the token does not
            say.
        scopes: The scopes that the user granted the application.
        permissions: The permissions that the API gives the user (Auth0's ``permissions``).
        proof: The checked proof; None for a Bearer token.
        headers: Header fields for the response, such as a newer ``DPoP-Nonce``.
    """

    claims: Mapping[str, Any] = attrs.field(repr=False)
    subject: str = attrs.field(repr=False)
    client_id: str | None
    scopes: frozenset[str]
    permissions: frozenset[str]
    proof: CheckedProof | None
    headers: Mapping[str, str] = attrs.field(repr=False)


def schemes_of(mode: DPoPMode) -> tuple[Scheme, ...]:
    """Return the schemes that a mode accepts; an unknown mode raises :class:`UsageError`."""
    if not isinstance(mode, str) or mode not in _SCHEMES:
        raise UsageError("dpop", f"must be one of {', '.join(_SCHEMES)}")
    return _SCHEMES[mode]


@attrs.frozen
class Presented:
    """The header fields with the credentials of a request, wrapped as secrets."""

    authorization: tuple[Secret, ...] = attrs.field(repr=redacted)
    proofs: ProofFields = attrs.field(repr=redacted)


@attrs.frozen
class Guard:
    """Decides about requests to one API.

    Args:
        verifier: Checks proofs; None if DPoP is not accepted.
        offer: The accepted schemes, and what challenges say.
        logins: How its tokens say when and how their users logged in.
    """

    verifier: DPoPVerifier | None
    offer: Offer
    logins: LoginClaims = attrs.field(factory=LoginClaims)

    @classmethod
    def of(
        cls, mode: DPoPMode, verifier: DPoPVerifier | None, realm: str, resource_metadata: str | None = None
    ) -> Guard:
        """Return a guard that offers what the mode accepts."""
        return cls(verifier, Offer(schemes_of(mode), realm, resource_metadata))

    async def authorize(
        self,
        method: str,
        url: str | URL,
        headers: Headers | Presented | None,
        validate: Validator,
        required: Required = NOTHING,
    ) -> Authorized:
        """Check a request.

        Args:
            method: The request's method, in its original case.
            url: The request's path and query, not decoded, or its URL.
            headers: The request's header fields, or the result of :func:`presented_by`.
            validate: Returns the token or its claims, or None if it is not valid; sync or async.
            required: What the request requires of its token.

        Raises:
            InvalidToken: There is no token, or more than one, or it is not valid.
            InsufficientScope: The token lacks a scope or a permission.
            InsufficientUserAuthentication: The user must log in again, or in a stronger way.
            InvalidDPoPProof: The proof is refused.
            UseDPoPNonce: The proof needs a nonce.
            TemporarilyUnavailable: The token cannot be checked at the moment.
            UsageError: An argument, or what ``validate`` returned, is of a wrong type.
        """
        presented, headers = presented_by(headers), ()
        if presented is None:
            raise UsageError("headers", "must be a mapping or an iterable of (name, value), each str or bytes")
        credentials, proof = self._credentials(presented), None
        try:
            token = await _validated(validate, credentials.access_token)
            proof = await self._check_binding(token, credentials, method, url)
            require(token, required, self.logins)
        except REFUSALS as error:
            self._answer(error, (credentials.scheme,))
            error.headers = {**error.headers, **nonce_headers(proof)}
            raise
        return Authorized(
            token.own_claims(),
            token.subject,
            token.client_id,
            token.scopes,
            token.permissions,
            proof,
            nonce_headers(proof),
        )

    def without(self, base_urls: Collection[str]) -> Guard:
        """Return a guard that accepts no proof for some of the base URLs."""
        if not base_urls or self.verifier is None:
            return self
        rest = (base for base in self.verifier.base_urls if base not in base_urls)
        return attrs.evolve(self, verifier=self.verifier.__replace__(base_urls=rest))

    def require(self, passed: Authorized, required: Required) -> None:
        """Check the requirements of a request that has passed; raises :class:`InsufficientScope` and its like."""
        try:
            require(passed, required, self.logins)
        except REFUSALS as error:
            self._answer(error, ("bearer" if passed.proof is None else "dpop",))
            raise

    def _credentials(self, presented: Presented) -> _Credentials:
        """Read the one access token of a request."""
        values, schemes = presented.authorization, self.offer.schemes
        if len(values) > 1:
            raise self._answer(_malformed("the request has more than one Authorization header"), schemes)
        named = _SCHEME.match(values[0]) if values else None
        scheme = None if named is None else _BY_NAME.get(named[0].lower())
        if scheme is None or scheme not in schemes:
            # RFC 6750 §3.1: no error code, for nothing was tried.
            told = _malformed(f"the request has no {self._accepted} access token", 401)
            raise self._answer(told.with_facts(advice=self._advice_on(scheme, values)), ())
        token = _token_of(values[0])
        if token is None:
            raise self._answer(_malformed("the Authorization header is malformed"), (scheme,))
        return _Credentials(scheme, token, presented.proofs)

    async def _check_binding(
        self, token: AccessToken, credentials: _Credentials, method: str, url: str | URL
    ) -> CheckedProof | None:
        """Check that the token came under its own scheme, and its proof; return the proof."""
        if credentials.scheme == "bearer":
            if token.is_bound:
                raise refused("is bound to a key and came as a Bearer token", advice=_SEND_AS_DPOP)
            # RFC 9449 §7.2: a client that sends a proof does not have a bearer token.
            if credentials.proofs and self.verifier is not None:
                raise refused("is a Bearer token and came with a DPoP header", advice=_SEND_NO_PROOF)
            return None
        if token.confirmation is None:
            problem = "is bound in a way that is not supported" if token.is_bound else "is not bound to a key"
            raise refused(problem, advice=_GET_BOUND)
        return await self._verifier.verify(
            method,
            url,
            credentials.proofs,
            confirmation=token.confirmation,
            access_token=credentials.access_token,
            owner=user_of(token.claims),
        )

    @property
    def _verifier(self) -> DPoPVerifier:
        if self.verifier is None:
            raise UsageError("verifier", "is needed where DPoP is accepted")
        return self.verifier

    def _advice_on(self, scheme: Scheme | None, values: tuple[Secret, ...]) -> str:
        """Return the advice about a scheme that is not accepted, or is none."""
        if scheme is not None:
            return _NOT_ACCEPTED[scheme]
        return f"It came with another scheme, or with none: {self._accepted} is accepted." if values else _NOTHING_CAME

    @property
    def _accepted(self) -> str:
        return " or ".join({"dpop": "DPoP", "bearer": "Bearer"}[scheme] for scheme in self.offer.schemes)

    def _answer(self, error: Refusal, failed: Collection[Scheme]) -> Refusal:
        """Give an error the response that it is answered with, and return it."""
        error.headers = self.offer.headers(error, failed)
        error.body = told_in_body(error) if failed else {}
        # At this level, for anyone can cause it. No description repeats what the client sent; a validator's may.
        # An advice for this case may name an origin or an issuer that the client sent, checked by form.
        advice = "" if error.advice == type(error).advice else f". {error.advice}"
        _log.debug("a request was refused: %d %a (%a)%s", error.status, error.error, error.error_description, advice)
        return error


@attrs.frozen
class _Credentials:
    """The access token of a request, its scheme, and the proofs beside it; none of them is checked."""

    scheme: Scheme
    access_token: PresentedToken = attrs.field(repr=redacted)
    proofs: ProofFields = attrs.field(repr=redacted)


def presented_by(headers: Headers | Presented | None) -> Presented | None:
    """Return the credentials among header fields; None if these are none.

    Call it in the first statement of each public function: after it, no frame of the library holds a bare token.
    """
    if headers is None or isinstance(headers, Presented):
        return headers
    try:
        authorization, proofs = values_of(headers, "Authorization", "DPoP")
    except UsageError:
        return None
    return Presented(tuple(map(Secret, authorization)), ProofFields([("DPoP", Secret(proof)) for proof in proofs]))


def _token_of(authorization: Secret) -> PresentedToken | None:
    """Return the token of credentials: a scheme, spaces, token68 (RFC 9449 §7.1, RFC 6750 §2.1); None for others.

    It raises nothing: the parts of a secret are not wrapped, and a traceback would show them.
    """
    scheme, _, rest = authorization.partition(" ")
    token = rest.lstrip(" ")
    body = token.rstrip("=").encode("utf-8", "surrogatepass")
    # Faster than a regular expression: a token has a thousand characters.
    is_right = scheme.lower() in _BY_NAME and body and not body.translate(None, _TOKEN68)
    return PresentedToken(token) if is_right else None


async def _validated(validate: Validator, access_token: Secret) -> AccessToken:
    token = validate(access_token)
    if type(token) is not dict and inspect.isawaitable(token):  # which takes longer to ask
        token = await token
    if token is None:
        raise refused("is not valid")
    if isinstance(token, AccessToken):
        return token
    if not isinstance(token, (dict, Mapping)):  # an abstract class takes longer to ask
        raise UsageError("token_info", "must return a mapping, or None for a token that is not valid")
    return AccessToken.of(token)


def _malformed(problem: str, status: int = 400) -> InvalidToken:
    return InvalidToken(status=status, error="invalid_request", error_description=problem)
