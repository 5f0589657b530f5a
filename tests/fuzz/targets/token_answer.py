"""Answers of the token endpoint, through a whole grant: tokens, refusals, MFA demands and nonce challenges."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
from multidict import CIMultiDict
from yarl import URL

from fuzz.engine import Target
from fuzz.mutator import b64
from fuzz.parts import Signer, drive
from passwordless_async import DPoPKey, MfaRequired, NoClientAuth, PasswordlessError, TokenSet
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.secret import Secret, SecretBytes
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.grant import GrantRequest, grant
from passwordless_async.auth0.tenant import Tenant
from passwordless_async.errors import NotSent, OAuthError, OutcomeUnknown, ProtocolError

if TYPE_CHECKING:
    from fuzz.mutator import Mutator
    from passwordless_async.auth0.tenant import DPoPMode

MARK = "TheSecret"  # in each token: no error and no repr shows it
APPLICATION = Application("tenant.example", "client", NoClientAuth())
REQUESTED = GrantRequest(scope="openid offline_access", audience=None)
MODES: tuple[DPoPMode, ...] = ("required", "preferred", "off")
ID_TOKEN = {"iss": "https://tenant.example/", "aud": "client", "sub": "ada", "iat": 0, "exp": 253_402_300_799}
REFUSALS: tuple[dict[str, Any], ...] = (
    {"error": "invalid_grant", "error_description": "Wrong email or verification code."},
    {"error": "mfa_required", "mfa_token": MARK, "mfa_requirements": {"challenge": [{"type": "otp"}], "enroll": []}},
    {"error": "use_dpop_nonce", "error_description": "Authorization server requires nonce in DPoP proof"},
    {"error": "invalid_client"},
    {"error": "too_many_attempts", "error_description": "blocked"},
)
NEAR = [
    *("DPoP", "Bearer", "dpop", "mac", MARK, f"e30.{MARK}.c2ln", 0, -1, 86_400, "86400", "1e9", ["openid"], "openid"),
    *("invalid_grant", "mfa_required", "use_dpop_nonce", "unsupported_grant_type", "slow_down", "expired_token"),
]
NONCES = ((), ("n1",), ("n2",), ("n3",), ("n1", "n2"), ("",), ("é",), ("a" * 1025,))
DATES = ("Tue, 14 Nov 2023 22:13:20 GMT", "x", "Tue, 14 Nov 99999 22:13:20 GMT", "")


@attrs.frozen
class Given:
    """Answers, the last of which comes again and again, and what the client asks for."""

    mode: DPoPMode
    answers: list[tuple[int, list[tuple[str, str]], bytes]]
    open_: bool  # whether a text that errors show was drawn with a token in it


class TokenAnswer:
    """An application that logs in with one key."""

    def __init__(self) -> None:
        self.key, self.signer = DPoPKey.generate(), Signer("ec")
        self.jwks = HttpResponse(200, body=json.dumps({"keys": [self.signer.jwk]}).encode())
        header, claims = ({"alg": "ES256", "kid": "ec"}, ID_TOKEN)
        signing_input = b".".join(b64(json.dumps(part).encode()) for part in (header, claims))
        cnf = b64(json.dumps({"cnf": {"jkt": self.key.thumbprint}}).encode()).decode()
        self.tokens = {
            "access_token": f"e30.{cnf}.{MARK}",
            "token_type": "DPoP",
            "expires_in": 86_400,
            "scope": "openid offline_access",
            "refresh_token": MARK,
            "id_token": (signing_input + b"." + b64(self.signer.sign(signing_input))).decode(),
        }

    def draw(self, mutator: Mutator) -> Given:
        answers, open_ = [], False
        for _ in range(mutator.choice((1, 1, 1, 2))):
            status = mutator.choice((200, 200, 200, 400, 401, 403, 429, 500, 501, 204, 302))
            near = [*NEAR, self.tokens["id_token"]]
            body: Any = self.tokens if status < 300 or mutator.often(0.1) else mutator.choice(REFUSALS)
            body = mutator.value(body, near)
            if isinstance(body, dict):
                open_ |= any(MARK in repr(value) for name, value in body.items() if "token" not in name.lower())
            fields = [("DPoP-Nonce", nonce) for nonce in mutator.choice(NONCES)]
            fields += [("Date", mutator.choice(DATES))] * mutator.often(0.3)
            fields.append(("Content-Type", "application/json" if mutator.often(0.9) else mutator.text("text/html")))
            answers.append((status, fields, mutator.encoded(body)))
        return Given(mutator.choice(MODES), answers, open_)

    def check(self, given: Given) -> str:
        tenant = Tenant(APPLICATION, dpop=given.mode)
        tenant.keys.learn(self.jwks)
        left = list(given.answers)

        def respond(request: HttpRequest) -> HttpResponse:
            if request.url.path != "/oauth/token":
                return HttpResponse(200)
            status, fields, body = left.pop(0) if len(left) > 1 else left[0]
            return HttpResponse(status, CIMultiDict(fields), SecretBytes(body))

        try:
            tokens = drive(grant(tenant, None if given.mode == "off" else self.key, build, REQUESTED), respond)
        except (ProtocolError, OAuthError, OutcomeUnknown, NotSent) as error:
            self._check_error(error, given)
            return type(error).__name__
        return self._tokens(tokens, given)

    def _tokens(self, tokens: TokenSet, given: Given) -> str:
        assert tokens.bound or given.mode != "required"
        assert (tokens.key is self.key) is tokens.bound
        assert MARK not in repr(tokens) or given.open_
        return f"tokens, {'bound' if tokens.bound else 'not bound'}, {'an' if tokens.id_token else 'no'} ID token"

    def _check_error(self, error: PasswordlessError, given: Given) -> None:
        shown = f"{error!r} {error} {error.args}"
        assert MARK not in shown or given.open_
        if isinstance(error, MfaRequired) and error.state is not None:
            assert error.state.requirements is not None
            assert MARK not in repr(error.state) or given.open_


def build() -> HttpRequest:
    """Build the request."""
    return HttpRequest("POST", URL("https://tenant.example/oauth/token"), {}, secrets=(Secret("123456"),))


def make() -> Target:
    """Return the target."""
    token_answer = TokenAnswer()
    return Target(token_answer.draw, token_answer.check)
