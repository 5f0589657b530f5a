"""The settings of a tenant, with their units and the values at Auth0 that the defaults follow.

If Auth0's behaviour is undocumented, a setting lets a test try each possibility.
"""

from __future__ import annotations

import enum
import functools
import secrets
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, get_type_hints

import attrs

from passwordless_async._common.secret import always_printable, conceal, redacted
from passwordless_async.errors import UsageError
from passwordless_async.testing.setting_types import PYTHON_WORDS, described, fits

PublicKeys = tuple[Mapping[str, Any], ...]
Number = TypeVar("Number", int, float, int | None, float | None)
_MAX_NUMBER = 10**12
_MAX_WRONG_SECONDS = 10**9  # more than thirty years; a date has to be written
_MAX_DIGITS = 40  # of a code

BOUND_API = "https://api.example"
"""An API of the tenant that binds tokens if a proof is sent."""

PLAIN_API = "https://plain.example"
"""An API of the tenant that binds no tokens."""

STRICT_API = "https://strict.example"
"""An API of the tenant that refuses to give tokens without a proof."""

MULTI_FACTOR = "http://schemas.openid.net/pape/policies/2007/06/multi-factor"
"""The authentication context class of a login with a second factor, as Auth0 names it (``acr_values``)."""


# The converters leave alone what they cannot convert: the check of the types refuses it, and names the setting.
def _several(given: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(given, str):
        return (given,)  # one text is no sequence of letters
    are_items = isinstance(given, Iterable) and not isinstance(given, Mapping)
    return tuple(given) if are_items else given  # type: ignore[return-value] # another one is refused


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    return _several(given)


def _copies(keys: Iterable[Mapping[str, Any]]) -> PublicKeys:
    return _each(lambda key: dict(key) if isinstance(key, Mapping) else key, keys)


def _each(convert: Callable[[Any], object], given: Iterable[Any]) -> tuple[Any, ...]:
    several = _several(given)
    return tuple(map(convert, several)) if isinstance(several, tuple) else several


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in attrs.fields(kind) if field.init}


def _check_types(values: RegisteredClient | TenantSettings) -> None:
    """Refuse a value that has another type than its annotation says; no message repeats it."""
    kind: type = type(values)
    for name, hint in _hints(kind).items():
        if not fits(getattr(values, name), hint):
            raise UsageError(name, f"must be {described(hint, None, PYTHON_WORDS)}")


class ApiPolicy(enum.StrEnum):
    """An API's sender-constraining policy."""

    NONE = "none"
    """Sender constraining is off: Bearer tokens, and a proof is ignored."""
    OPTIONAL = "optional"
    """Bound tokens for requests with a proof, Bearer tokens for the others."""
    REQUIRED = "required"
    """Requests without a proof are refused."""


class RateLimitStyle(enum.StrEnum):
    """The headers in which a 429 says when to retry."""

    X_RATELIMIT = "x-ratelimit"
    """``x-ratelimit-limit``, ``-remaining``, ``-reset`` (UNIX seconds); on successes too."""
    AUTH0 = "auth0-ratelimit"
    """``Auth0-RateLimit: client;q=10;t=1;r=9``."""
    RETRY_AFTER = "retry-after"
    """``Retry-After`` in seconds."""
    SILENT = "silent"
    """No header at all."""


_AssertionAlg = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256"]
_Enrolled = Literal["otp", "sms", "voice", "email", "push"]
METHOD_NONE = "none"
METHOD_POST = "client_secret_post"
METHOD_BASIC = "client_secret_basic"
METHOD_ASSERTION = "private_key_jwt"
METHOD_TLS = "tls_client_auth"
METHOD_SELF_SIGNED = "self_signed_tls_client_auth"


@always_printable
@attrs.frozen(kw_only=True)
class RegisteredClient:
    """An application of a tenant, in addition to the built-in ones; its credential says how it authenticates itself.

    Args:
        client_id: Its identifier.
        secret: Its secret, for ``client_secret_post`` and ``client_secret_basic``.
        keys: Its public keys as JWKs, for ``private_key_jwt``.
        certificate_subject: The subject of its certificate as RFC 4514 writes it, for ``tls_client_auth``.
        certificate_thumbprints: The SHA-256 thumbprints of its certificates, for ``self_signed_tls_client_auth``.

    Raises:
        UsageError: It has no identifier, more than one kind of credential, or a value of another type.
    """

    client_id: str
    secret: str | None = attrs.field(default=None, converter=conceal, repr=redacted)
    keys: PublicKeys | None = attrs.field(default=None, converter=attrs.converters.optional(_copies))
    certificate_subject: str | None = None
    certificate_thumbprints: tuple[str, ...] | None = attrs.field(
        default=None, converter=attrs.converters.optional(_texts)
    )

    def __attrs_post_init__(self) -> None:
        _check_types(self)
        if not self.client_id:
            raise UsageError("client_id", "must not be empty")
        if self.secret is not None and not self.secret:
            raise UsageError("secret", "must not be empty")
        if len(self._credentials) > 1:
            raise UsageError("clients", f"{self.client_id} has more than one kind of credential")

    @property
    def methods(self) -> tuple[str, ...]:
        """How it authenticates itself, as in ``token_endpoint_auth_methods_supported``."""
        return next(iter(self._credentials), (METHOD_NONE,))

    @property
    def _credentials(self) -> list[tuple[str, ...]]:
        given: dict[tuple[str, ...], object] = {
            (METHOD_POST, METHOD_BASIC): self.secret,
            (METHOD_ASSERTION,): self.keys,
            (METHOD_TLS,): self.certificate_subject,
            (METHOD_SELF_SIGNED,): self.certificate_thumbprints,
        }
        return [methods for methods, credential in given.items() if credential is not None]


_READY_APIS = {BOUND_API: ApiPolicy.OPTIONAL, PLAIN_API: ApiPolicy.NONE, STRICT_API: ApiPolicy.REQUIRED}


def _policy(given: ApiPolicy | str) -> ApiPolicy:
    return ApiPolicy(given) if given in tuple(ApiPolicy) else given  # type: ignore[return-value] # is refused


def _style(given: RateLimitStyle | str) -> RateLimitStyle:
    return RateLimitStyle(given) if given in tuple(RateLimitStyle) else given  # type: ignore[return-value] # is refused


def _apis(given: Mapping[str, ApiPolicy | str]) -> Mapping[str, ApiPolicy]:
    policies: object = given
    if isinstance(policies, Mapping):
        if "" in policies:
            raise UsageError("apis", "an audience must not be empty: userinfo_policy is that of no audience")
        policies = types.MappingProxyType({audience: _policy(policy) for audience, policy in policies.items()})
    return policies  # type: ignore[return-value] # another one is refused


def _clients(given: Iterable[RegisteredClient | Mapping[str, Any]]) -> tuple[RegisteredClient, ...]:
    return _each(_client, given)


def _client(given: object) -> object:
    # A tenant process is given mappings: JSON has no applications.
    if not isinstance(given, Mapping):
        return given
    known = _hints(RegisteredClient)
    if "client_id" not in given or not given.keys() <= known.keys():
        raise UsageError("clients", f"each must have client_id and may have others of {', '.join(known)}")
    return RegisteredClient(**given)


def _between(least: float, most: float) -> Callable[[object, attrs.Attribute[Any], float | None], None]:
    def check(_instance: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
        if isinstance(value, int | float) and not least <= value <= most:  # a NaN is not
            raise UsageError(attribute.name, f"must be {least} to {most}, not {value}")

    return check


def _positive(default: Number, most: float = _MAX_NUMBER) -> Number:
    return attrs.field(default=default, validator=_between(1, most))


def _not_negative(default: Number) -> Number:
    return attrs.field(default=default, validator=_between(0, _MAX_NUMBER))


def _namespaced(default: str | None) -> str | None:
    return attrs.field(default=default, validator=_check_namespace)


def _check_namespace(_instance: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if isinstance(value, str) and not value.startswith(("https://", "http://", "urn:")):
        raise UsageError(attribute.name, "must have a namespace: Auth0 adds no claim of a reserved name")


@always_printable
@attrs.frozen(kw_only=True)
class TenantSettings:
    """How a :class:`~passwordless_async.testing.LocalTenant` behaves; every argument is keyword-only.

    Args:
        public_client_id: The ``client_id`` of the application without a secret.
        confidential_client_id: The ``client_id`` of the application with a secret, sent in the body or by HTTP Basic.
        confidential_client_secret: Its secret; random unless given.
        private_key_jwt_client_id: The ``client_id`` of the application that signs assertions.
        private_key_jwt_keys: Its public keys as JWKs; None: the built-in ones;
            ``tenant.client_for("private_key_jwt")`` returns their private keys.
        private_key_jwt_algs: The algorithms that an assertion may be signed with (Auth0: RS256, RS384, PS256).
        assertion_lifetime: Seconds that an assertion's ``exp`` may be ahead (Auth0: 5 minutes).
        tls_client_id: The ``client_id`` of the application with a certificate by a CA (RFC 8705 §2.1).
        tls_client_subject: The subject of its certificate, as RFC 4514 writes it.
        self_signed_client_id: The ``client_id`` of the application with self-signed certificates (RFC 8705 §2.2).
        self_signed_certificates: The SHA-256 thumbprints of its certificates (``x5t#S256``), for example
            ``ThrowAwayCa.self_signed("…").thumbprint``.
        clients: Further applications, each with an identifier and credential of its own.
        web_origins: The origins whose pages may call the tenant (Auth0: the applications' Allowed Web Origins), such
            as ``https://app.example``. Without any, a browser's preflight is refused.
        mtls_alias: Whether clients with certificates have endpoints of their own (RFC 8705 §5): the tenant listens on
            a second port and names it in ``mtls_endpoint_aliases``. The first port then ignores certificates.
        basic_auth_at_start: Whether ``/passwordless/start`` and ``/otp/challenge`` accept HTTP Basic (undocumented).
        grant_enabled: Whether the applications may use the passwordless OTP grant (else 403 ``unauthorized_client``).
        redirect_uri_required: Whether the OTP grant requires ``redirect_uri`` (documented, not observed).
        allow_signup: Whether a code is sent to an unknown user.
        start_error_shape: The members of start's error bodies: ``error`` + ``error_description``, ``code`` +
            ``description`` or ``errorCode`` + ``message``.
        start_answer: The response of a successful start: the ``full`` 200 body, 200 ``{}`` (``empty``), 201
            (``created``) or 204 (``no_content``); all occur.
        code_length: Digits of a code (Auth0: 6).
        code_lifetime: Seconds that a code is valid (Auth0: 3 minutes).
        max_attempts: Failures after which a code no longer works (Auth0: 3).
        callback_urls: Where a link may lead; the first is the default.
        authorization_code_lifetime: Seconds.
        database_connections: The connections that ``/otp/challenge`` knows.
        captcha: The solution of the captcha; until it is given, start refuses with 401 ``requires_verification``.
            None: start requires none.
        failures_before_block: Wrong codes of a user in a row after which every login is refused with 429
            ``too_many_attempts`` (Auth0: 10), until ``tenant.users.unblock(who)``; None: off.
        mfa_policy: Who needs a second factor: users who are ``enrolled``, or ``always`` everyone.
            ``tenant.users.add(who, mfa=[…])`` enrols a user.
        mfa_status: The status of ``mfa_required`` (both occur).
        mfa_requirements: The shape of ``mfa_requirements``: ``{"challenge": [{"type"}]}`` and
            ``{"enroll": [{"type"}]}``, or ``{"challenge_types": […]}`` (both occur).
        mfa_rounds: How many factors in a row a login needs; each one except the last leads to another ``mfa_required``.
        mfa_enrolls: The factors that a user without one may enrol.
        mfa_at_authorization_code: Whether the grant of an authorization code demands a factor (undocumented): the
            service's own pages ask for one before they give a code.
        mfa_token_lifetime: Seconds (Auth0: 10 minutes).
        mfa_code_lifetime: Seconds that an out-of-band factor challenge is valid (Auth0: 5 minutes).
        mfa_polls_per_minute: Polls that a login allows (Auth0: 12); the next one is refused with ``slow_down``.
        mfa_max_attempts: Wrong factors that end a login.
        mfa_denial: The refusal of a login that the user denied (both occur).
        mfa_key_bound: Whether the proof must be by the key of the first request (undocumented).
        basic_auth_at_mfa: Whether ``/mfa/challenge`` accepts HTTP Basic (undocumented); the other MFA endpoints take
            the ``mfa_token`` in that header.
        public_nonce_required: Whether a public client's proof needs a nonce (Auth0: yes).
        confidential_nonce_required: Whether a confidential client's proof needs one (Auth0: no).
        userinfo_nonce_required: Whether a proof at ``/userinfo`` needs one.
        nonce_rotation: Token requests after which the nonce changes; None: it changes with the time.
        nonce_lifetime: Seconds after which the nonce changes when ``nonce_rotation`` is None.
        accepted_previous_nonces: How many previous nonces are still accepted.
        single_use_nonces: Whether every response has another nonce, each of which is accepted once.
        nonce_in_answers: Whether a response to a request with a proof carries the nonce: ``always``, only when it
            ``changed`` from the one in the proof (RFC 9449 §8.2), or ``never`` except in a challenge.
        stale_nonce_error: The error code of ``/userinfo`` for an invalid nonce (both occur).
        proof_max_age: Seconds that a proof may be old.
        proof_skew: Seconds that a proof may be ahead of the tenant's clock.
        nonce_replaces_iat: With a valid nonce the ``iat`` of the proof is not checked (RFC 9449 §11.1).
        resource_parameter: Whether ``resource`` stands for ``audience`` (the compatibility profile).
        access_token_lifetime: Seconds (Auth0: a day).
        id_token_lifetime: Seconds (Auth0: ten hours).
        token_dialect: The profile of access tokens for an API (Auth0 has both, by API): ``access_token`` is Auth0's
            own, a JWT of ``typ`` ``JWT`` with ``azp``; ``rfc9068_profile`` is one of ``typ`` ``at+jwt`` with
            ``client_id`` (RFC 9068 §2).
        token_type: The ``token_type`` of a bound token.
        scope_in_answer: Whether the response repeats the scope (no scope means the requested one).
        id_token_alg: The algorithm of ID tokens: RS256, PS256, ES256, or HS256 for the application with a secret.
        auth_time_in_id_token: Whether an ID token has ``auth_time`` even without ``max_age``.
        auth_time_claim: The claim of access tokens for an API that says when the user logged in, as a post-login Action
            sets it; None: none. Auth0 adds no claim of a reserved name, so this one has a namespace:
            ``https://api.example/auth_time``.
        acr_claim: The claim that says that a second factor passed, by the value ``MULTI_FACTOR``; namespaced, too.
        apis: Audience to policy, case-sensitive; the built-in ones are ``https://api.example`` (optional),
            ``https://plain.example`` (none) and ``https://strict.example`` (required).
        userinfo_policy: The policy for a request without an audience: its access token is only for ``/userinfo``.
        unused_proof: The effect of a proof if the policy is ``none`` (undocumented). It is ``ignored``, as if it had
            not been sent, or ``checked``, nonce included, and the refresh token is bound to its key. The proof for a
            grant that is already bound is always checked.
        discovery: Members of ``/.well-known/openid-configuration`` that replace the tenant's own; None leaves one out.
        refresh_rotation: Whether each refresh returns a new refresh token.
        refresh_leeway: Seconds in which a replaced refresh token still works (Auth0's Rotation Overlap Period: 0); only
            the one before the newest does.
        refresh_lifetime: Seconds after the login at which its refresh tokens end (Auth0: 30 days); None: never.
        refresh_idle_lifetime: Seconds without a refresh after which they end (Auth0: 15 days); None: never.
        excess_scope: Whether a refresh that asks for more scope than was granted is ``refused`` (RFC 6749 §6), or the
            excess ``dropped`` (undocumented).
        other_key_error: The refusal of a grant that is bound to another key: 400 ``invalid_dpop_proof`` or 403
            ``invalid_grant``; only the description is known.
        revocation_ends_access_tokens: Whether ``/userinfo`` refuses the access tokens of a revoked family.
        requests_per_second: Limit of the whole tenant; None: off.
        starts_per_hour: Limit of ``/passwordless/start`` per IP address (Auth0: 50); None: off.
        challenges_per_hour: Limit of ``/otp/challenge`` per user; None: off.
        userinfo_burst: Requests to ``/userinfo`` that each user has at once (Auth0: 10); None: off.
        userinfo_per_minute: How many more requests each user gains per minute (Auth0: 5).
        trust_forwarded_for: Whether the tenant uses ``auth0-forwarded-for`` of an application that sends its secret.
        forwarded_for_by_assertion: Whether it also uses that of one that signs an assertion (undocumented).
        rate_limit_style: The headers of a limit.
        clock_wrong_by: Seconds that the tenant's clock is ahead of the machine's (negative: behind), as its ``Date``
            headers say; ``tenant.clock.go_wrong`` moves it later.
        max_body: Bytes that a request's body may have.
        requests_kept: How many of the newest requests ``tenant.requests`` holds.
        messages_kept: How many of the newest messages ``tenant.outbox`` holds.

    Raises:
        UsageError: A number is out of its range, or a setting has another type or none of its possible values.
    """

    # Applications, one for each way to authenticate
    public_client_id: str = "public-client"
    confidential_client_id: str = "confidential-client"
    confidential_client_secret: str = attrs.field(
        factory=lambda: secrets.token_urlsafe(32), converter=conceal, repr=redacted
    )
    private_key_jwt_client_id: str = "private-key-jwt-client"
    private_key_jwt_keys: PublicKeys | None = attrs.field(default=None, converter=attrs.converters.optional(_copies))
    private_key_jwt_algs: tuple[_AssertionAlg, ...] = attrs.field(
        default=("RS256", "RS384", "PS256", "ES256"), converter=_several
    )
    assertion_lifetime: float = _positive(300.0)
    tls_client_id: str = "tls-client"
    tls_client_subject: str = "CN=tls-client"
    self_signed_client_id: str = "self-signed-tls-client"
    self_signed_certificates: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    clients: tuple[RegisteredClient, ...] = attrs.field(default=(), converter=_clients)
    web_origins: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    mtls_alias: bool = False
    basic_auth_at_start: bool = False

    # Start, codes and links
    grant_enabled: bool = True
    redirect_uri_required: bool = False
    allow_signup: bool = True
    start_error_shape: Literal["error", "code", "errorCode"] = "error"
    start_answer: Literal["full", "empty", "created", "no_content"] = "full"
    code_length: int = _positive(6, _MAX_DIGITS)
    code_lifetime: float = _positive(180.0)
    max_attempts: int = _positive(3)
    callback_urls: tuple[str, ...] = attrs.field(default=("https://app.example/callback",), converter=_texts)
    authorization_code_lifetime: float = _positive(60.0)
    database_connections: tuple[str, ...] = attrs.field(default=("Username-Password-Authentication",), converter=_texts)
    captcha: str | None = None
    failures_before_block: int | None = _positive(None)

    # Second factors
    mfa_policy: Literal["enrolled", "always"] = "enrolled"
    mfa_status: Literal[401, 403] = 403
    mfa_requirements: Literal["challenge", "challenge_types"] = "challenge"
    mfa_rounds: int = _positive(1)
    mfa_enrolls: tuple[_Enrolled, ...] = attrs.field(
        default=("otp", "sms", "voice", "email", "push"), converter=_several
    )
    mfa_at_authorization_code: bool = False
    mfa_token_lifetime: float = _positive(600.0)
    mfa_code_lifetime: float = _positive(300.0)
    mfa_polls_per_minute: int = _positive(12)
    mfa_max_attempts: int = _positive(10)
    mfa_denial: Literal["invalid_grant", "access_denied"] = "invalid_grant"
    mfa_key_bound: bool = True
    basic_auth_at_mfa: bool = False

    # Nonces and proofs
    public_nonce_required: bool = True
    confidential_nonce_required: bool = False
    userinfo_nonce_required: bool = False
    nonce_rotation: int | None = _positive(None)
    nonce_lifetime: float = _positive(300.0)
    accepted_previous_nonces: int = _not_negative(1)
    single_use_nonces: bool = False
    nonce_in_answers: Literal["always", "changed", "never"] = "always"
    stale_nonce_error: Literal["use_dpop_nonce", "invalid_dpop_nonce"] = "use_dpop_nonce"
    proof_max_age: float = _not_negative(60.0)
    proof_skew: float = _not_negative(10.0)
    nonce_replaces_iat: bool = False

    # Tokens and APIs
    resource_parameter: bool = False
    access_token_lifetime: int = _positive(86_400)
    id_token_lifetime: int = _positive(36_000)
    token_dialect: Literal["access_token", "rfc9068_profile"] = attrs.field(default="access_token")
    token_type: str = attrs.field(default="DPoP")
    scope_in_answer: bool = True
    id_token_alg: Literal["RS256", "PS256", "ES256", "HS256"] = attrs.field(default="RS256")
    auth_time_in_id_token: bool = False
    auth_time_claim: str | None = _namespaced(None)
    acr_claim: str | None = _namespaced(None)
    apis: Mapping[str, ApiPolicy] = attrs.field(default=_READY_APIS, converter=_apis)
    userinfo_policy: ApiPolicy = attrs.field(default=ApiPolicy.OPTIONAL, converter=_policy)
    unused_proof: Literal["ignored", "checked"] = "ignored"
    discovery: Mapping[str, Any] = attrs.field(factory=dict)
    refresh_rotation: bool = True
    refresh_leeway: float = _not_negative(0.0)
    refresh_lifetime: float | None = _positive(2_592_000.0)
    refresh_idle_lifetime: float | None = _positive(1_296_000.0)
    excess_scope: Literal["refused", "dropped"] = "refused"
    other_key_error: Literal["invalid_dpop_proof", "invalid_grant"] = "invalid_dpop_proof"
    revocation_ends_access_tokens: bool = True

    # Limits, the clock, and how much is kept
    requests_per_second: int | None = _positive(None)
    starts_per_hour: int | None = _positive(None)
    challenges_per_hour: int | None = _positive(None)
    userinfo_burst: int | None = _positive(None)
    userinfo_per_minute: int = _positive(5)
    trust_forwarded_for: bool = True
    forwarded_for_by_assertion: bool = False
    rate_limit_style: RateLimitStyle = attrs.field(default=RateLimitStyle.X_RATELIMIT, converter=_style)
    clock_wrong_by: float = attrs.field(default=0.0, validator=_between(-_MAX_WRONG_SECONDS, _MAX_WRONG_SECONDS))
    max_body: int = _positive(65_536)
    requests_kept: int = _positive(10_000)
    messages_kept: int = _positive(10_000)

    _by_client_id: dict[str, RegisteredClient] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        _check_types(self)
        applications = [*self._ready_clients(), *self.clients]
        self._by_client_id.update({application.client_id: application for application in applications})
        if len(self._by_client_id) < len(applications):
            raise UsageError("clients", "two applications have the same client_id")

    def client(self, client_id: object) -> RegisteredClient | None:
        """Return an application, a ready one or another; None: there is none of that name."""
        return self._by_client_id.get(client_id) if isinstance(client_id, str) else None

    def _ready_clients(self) -> list[RegisteredClient]:
        return [
            RegisteredClient(client_id=self.public_client_id),
            RegisteredClient(client_id=self.confidential_client_id, secret=self.confidential_client_secret),
            RegisteredClient(client_id=self.private_key_jwt_client_id, keys=self.private_key_jwt_keys or ()),
            RegisteredClient(client_id=self.tls_client_id, certificate_subject=self.tls_client_subject),
            RegisteredClient(
                client_id=self.self_signed_client_id, certificate_thumbprints=self.self_signed_certificates
            ),
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON object, the secret included: the setup of a tenant process."""
        clients = [attrs.asdict(client) for client in self.clients]
        values = {field.name: getattr(self, field.name) for field in attrs.fields(TenantSettings) if field.init}
        return {**values, "apis": dict(self.apis), "clients": clients}
