"""The rows of the table of faults that are about tokens and the keys that sign them."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.testing.faults.faults import ClaimFault, Fault, KeySetFault
from passwordless_async.testing.faults.play import Play
from passwordless_async.testing.state.signing import Forgery
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from passwordless_async.testing.faults.faults import AnyFault, FaultOptions

    Claims = dict[str, Any]
    Jwks = list[dict[str, Any]]

_SOMEBODY_ELSE = User("email", "somebody.else@example.com")
_OTHER_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # RFC 9449 §6.1, figure 7
_RSA_BYTES = 256  # of a modulus


def _evolve(**changes: Any) -> Play:  # noqa: ANN401 - members of Grant
    return Play(twist=lambda grant: attrs.evolve(grant, **changes))


def _claims(change: Callable[[Claims], Claims]) -> Play:
    return _evolve(id_token_twist=lambda claims: {**claims, **change(claims)})


def _claim(**claims: Any) -> Play:  # noqa: ANN401 - claims
    return _claims(lambda _: claims)


def _jwks(change: Callable[[Jwks, FaultOptions], Jwks]) -> Play:
    async def after(response: web.Response, options: FaultOptions) -> web.Response:
        members = json.loads(response.body) if isinstance(response.body, bytes) else {}
        if "keys" in members:
            response.body = json.dumps({**members, "keys": change(members["keys"], options)}).encode()
        return response

    return Play(after=after)


def _other_modulus() -> str:
    number = bytearray(secrets.token_bytes(_RSA_BYTES))
    number[0] |= 0x80
    number[-1] |= 1
    return base64.urlsafe_b64encode(number).rstrip(b"=").decode()


def _huge(keys: Jwks, options: FaultOptions) -> Jwks:
    filler = {**keys[0], "n": _other_modulus(), "kid": "filler"}
    number = options.size // len(json.dumps(filler)) + 1
    return [*({**filler, "kid": f"filler-{count}"} for count in range(number)), *keys]


def _duplicates(keys: Jwks, _options: FaultOptions) -> Jwks:
    return [*({**key, "kty": "RSA", "e": "AQAB", "n": _other_modulus()} for key in keys), *keys]


def _symmetric(keys: Jwks, _options: FaultOptions) -> Jwks:
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    return [{"kty": "oct", "k": key, "kid": public["kid"], "use": "sig", "alg": "HS256"} for public in keys]


TOKEN_PLAYS: Mapping[AnyFault, Play] = {
    Fault.BEARER_TOKEN: _evolve(thumbprint=None),
    Fault.TOKEN_OF_OTHER_KEY: _evolve(thumbprint=_OTHER_THUMBPRINT),
    Fault.ID_TOKEN_OF_OTHER_USER: _claim(sub=_SOMEBODY_ELSE.subject, **_SOMEBODY_ELSE.claims),
    Fault.ID_TOKEN_OF_OTHER_ISSUER: _claim(iss="https://elsewhere.example/"),
    Fault.ID_TOKEN_ISSUER_WITHOUT_SLASH: _claims(lambda claims: {"iss": claims["iss"].rstrip("/")}),
    Fault.ID_TOKEN_OF_OTHER_CLIENT: _claim(aud="another-client"),
    Fault.ID_TOKEN_OF_TWO_CLIENTS: _claims(lambda claims: {"aud": [claims["aud"], "another-client"]}),
    Fault.ID_TOKEN_FOR_OTHER_PARTY: _claims(
        lambda claims: {"aud": [claims["aud"], "another-client"], "azp": "another-client"}
    ),
    ClaimFault.ID_TOKEN_OF_OTHER_NONCE: _claim(nonce="another-nonce"),
    Fault.ID_TOKEN_WITHOUT_SUB: _claim(sub=None),
    Fault.ID_TOKEN_EXPIRED: _claim(iat=1_000_000_000, exp=1_000_003_600),
    Fault.ID_TOKEN_FROM_THE_FUTURE: _claims(lambda claims: {"iat": claims["iat"] + 3600}),
    Fault.ID_TOKEN_EXP_IS_TEXT: _claims(lambda claims: {"exp": str(claims["exp"])}),
    ClaimFault.ID_TOKEN_OF_AN_OLD_LOGIN: _claims(lambda claims: {"auth_time": claims["iat"] - 86_400}),
    Fault.ID_TOKEN_TAMPERED: _evolve(id_token_forgery=Forgery.TAMPERED),
    Fault.ID_TOKEN_UNSIGNED: _evolve(id_token_forgery=Forgery.UNSIGNED),
    Fault.ID_TOKEN_SIGNED_WITH_PUBLIC_KEY: _evolve(id_token_forgery=Forgery.PUBLIC_KEY),
    Fault.ID_TOKEN_OF_OTHER_KEY: _evolve(id_token_forgery=Forgery.OTHER_KEY),
    Fault.ID_TOKEN_OF_UNKNOWN_KID: _evolve(id_token_forgery=Forgery.UNKNOWN_KID),
    KeySetFault.JWKS_HUGE: _jwks(_huge),
    KeySetFault.JWKS_DUPLICATE_KIDS: _jwks(_duplicates),
    KeySetFault.JWKS_SYMMETRIC_KEY: _jwks(_symmetric),
}
